"""Out of memory: recognised, tried again with less, said; really, under a limit of the process."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fake_models import counted_tensors
from worker import gpu_memory
from worker.device import Device
from worker.errors import CancelledError, FetchFailedError, OutOfMemoryError, StartupError
from worker.faults import FaultWatch, is_device_fault
from worker.memory import Memory, is_out_of_memory, requested_bytes

ROOT = Path(__file__).resolve().parent.parent
MESSAGES = {
    "DefaultCPUAllocator: can't allocate memory: you tried to allocate 43581440 bytes. Error": (
        43_581_440
    ),
    "BFCArena::AllocateRawInternal(size_t) Failed to allocate memory for requested buffer of size "
    "63998720\n": 63_998_720,
    "mkl_malloc: failed to allocate memory": 0,
    "[ONNXRuntimeError] : 1 : FAIL : std::bad_alloc": 0,
    "can't start new thread": 0,
    "libgomp.so.1.0.0: failed to map segment from shared object": 0,
    "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of 3 GiB": (
        2_684_354_560
    ),
    "CUDA failed with error out of memory": 0,
}
"""What libraries were made to say, and the last two, as their manuals have it."""


@pytest.fixture
def freed() -> list[str]:
    return []


@pytest.fixture
def memory(freed) -> Memory:
    return Memory(Device("cpu", 1, "float32"), lambda: freed.append("idle"))


@pytest.mark.parametrize("message", MESSAGES)
def test_each_library_is_understood(message):
    error = RuntimeError(message)
    assert is_out_of_memory(error)
    assert requested_bytes(error) == MESSAGES[message]


def test_other_signs_of_it():
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(OSError(errno.ENOMEM, "Cannot allocate memory"))
    caused = ValueError("cannot be read")
    caused.__cause__ = MemoryError("Unable to allocate 7.45 GiB for an array")
    assert is_out_of_memory(caused)
    assert requested_bytes(caused) == round(7.45 * 2**30)


def test_what_is_no_lack_of_memory():
    for error in (IndexError("list"), OSError(errno.ENOSPC, "No space"), RuntimeError("bad")):
        assert not is_out_of_memory(error)
    assert not is_out_of_memory(OutOfMemoryError("memory: out of memory"))


def test_less_is_tried_each_time_after_idle_models_went(memory, freed):
    seen = []

    def work(parts: int) -> str:
        seen.append((parts, len(freed)))
        if parts < 4:
            raise MemoryError
        return "done"

    assert memory.attempt("asr", work) == "done"
    assert seen == [(1, 0), (2, 1), (4, 2)]


def test_after_three_more_attempts_it_is_said(memory):
    seen = []

    def work(parts: int) -> None:
        seen.append(parts)
        raise RuntimeError("you tried to allocate 5000000 bytes: can't allocate memory")

    with pytest.raises(OutOfMemoryError, match=r"vad on cpu needed 5 MB at once.* MB are free"):
        memory.attempt("vad", work)
    assert seen == [1, 2, 4, 8]
    with pytest.raises(OutOfMemoryError, match="needed 80 MB at once"):
        memory.attempt("asr", work, lambda parts: 640e6 / parts)


@pytest.mark.parametrize("error", [ValueError("odd"), CancelledError("ended")], ids=repr)
def test_another_error_goes_on_at_once(memory, freed, error):
    def work(_: int) -> None:
        raise error

    with pytest.raises(type(error)):
        memory.attempt("vad", work)
    assert freed == []


def test_a_failed_attempt_holds_no_memory_when_the_next_begins(memory):
    tensors = counted_tensors()
    seen = []

    def work(_: int) -> None:
        tensor = tensors()
        seen.append(tensor.alive)
        raise MemoryError

    with pytest.raises(OutOfMemoryError):
        memory.attempt("vad", work)
    assert seen == [1, 1, 1, 1]


FAULT = RuntimeError("CUDA error: device-side assert triggered")


def test_a_driver_that_answers_no_more_is_a_fault():
    with pytest.raises(StartupError, match="CUDA error 700") as failed:
        gpu_memory._check("cuMemGetInfo", 700)
    assert is_device_fault(failed.value)


def test_a_lack_is_told_where_the_device_does_not_say_what_is_free(monkeypatch):
    def fails(_: int) -> tuple[int, int]:
        gpu_memory._check("cuMemGetInfo", 700)
        raise AssertionError

    monkeypatch.setattr(gpu_memory, "free_and_total", fails)
    memory = Memory(Device("cuda:0", 1, "float16"), lambda: None)
    told = str(memory.lack("asr", MemoryError(), 5e6))
    assert told.startswith("asr on cuda:0 needed 5 MB at once, and memory ran out. Send less audio")


def test_the_second_fault_in_a_row_means_that_the_device_is_lost():
    assert is_device_fault(FAULT)
    assert not is_device_fault(RuntimeError("CUDA out of memory"))
    watch = FaultWatch()
    assert not watch.is_lost([FAULT])
    assert not watch.is_lost([ValueError("the job's own")])  # says nothing of the device
    assert watch.is_lost([FAULT])
    assert watch.is_lost([FAULT, {}])
    assert not watch.is_lost([{}])
    assert not watch.is_lost([FAULT])


def test_what_a_caller_wrote_is_no_fault_of_the_device():
    told = FetchFailedError("the endpoint refused")
    told.__cause__ = RuntimeError("An error occurred: illegal memory access")
    assert not is_device_fault(told)
    caused = ValueError("a model failed")
    caused.__cause__ = FAULT
    assert is_device_fault(caused)


def test_a_lost_device_asks_for_another_worker(make_settings, monkeypatch):
    from worker.engines.vad import FsmnVad
    from worker.runpod_app import start_service

    service = start_service(make_settings(), "demo")
    job = {"task": "diarization", "audio": "volume://samples/sample.wav"}

    def fails(*_: object) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    with monkeypatch.context() as broken:
        broken.setattr(FsmnVad, "__call__", fails)
        first, second = service.answer(job), service.answer({**job, "audio": [job["audio"]]})
    assert first["error"].startswith("INTERNAL: ")
    assert set(first) == {"error"}
    assert second["refresh_worker"] is True
    assert second["error"].startswith("INTERNAL: ")
    assert "refresh_worker" not in service.answer(job)


@pytest.mark.parametrize(
    ("project", "stage", "left_bytes", "fields"),
    [
        ("demo", "vad", 2_000_000, {"task": "diarization"}),
        ("demo", "embedding", 500_000, {"task": "diarization", "diarization": {"window_s": 3}}),
        ("demo", "asr", 2_000_000, {"task": "asr"}),
        ("demo-funasr", "asr", 8_000_000, {"task": "asr"}),
    ],
    ids=["vad", "embedding", "asr: Whisper", "asr: SenseVoice"],
)
def test_a_worker_that_ran_out_of_memory_does_the_next_job(project, stage, left_bytes, fields):
    job = json.dumps({"audio": "volume://samples/sample.wav", **fields})
    command = [sys.executable, "-m", "tests.scarce_worker", project, stage, str(left_bytes), job]
    # One arena: what other threads freed in theirs would still serve.
    environment = {**os.environ, "MALLOC_ARENA_MAX": "1"}
    ran = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=True
    )
    scarce, done = json.loads(ran.stdout)
    assert "Trying again" in ran.stderr  # memory did run out
    for reply in (scarce, done):
        reply.pop("timings", None)
    # Smaller batches may have been enough, and then nothing is different.
    assert scarce == done or scarce["error"].startswith("OUT_OF_MEMORY: "), scarce
    if fields["task"] == "diarization":
        assert sum(speaker["duration"] for speaker in done["speakers"]) > 20
    else:
        assert len(done["text"].split()) > 30
