"""The entrypoint as a process: RunPod's SDK drives the real handler."""

import hashlib
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.platform import WorkerProcess

ROOT = Path(__file__).resolve().parent.parent
JOB = {"input": {"task": "diarization", "audio": "volume://samples/sample.wav"}}


def environment(volume: Path, **more: str) -> dict[str, str]:
    """What a worker sees: nothing of this session's RunPod, SPEECH and MODELSCOPE variables."""
    ours = ("RUNPOD_", "SPEECH_", "MODELSCOPE_")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    settings = {"SPEECH_VOLUME": str(volume), "SPEECH_PROJECT": "demo", "SPEECH_DEVICE": "cpu"}
    return {**kept, **settings, **more}


def run(arguments: list[str], env: dict[str, str], cwd: Path = ROOT) -> subprocess.CompletedProcess:
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, check=False, env=env, cwd=cwd, capture_output=True, text=True, timeout=120
    )


def test_a_real_job_needs_neither_torch_nor_funasr(volume):
    program = """
import runpy, sys
try:
    runpy.run_path("handler.py", run_name="__main__")
except SystemExit as stop:
    print("EXIT", stop.code)
print("HEAVY", sorted({"torch", "funasr", "modelscope", "librosa"} & set(sys.modules)))
import onnxruntime
print("FROM", onnxruntime.__file__)
"""
    done = run(["-c", program], environment(volume.root))
    assert "EXIT 0" in done.stdout, done.stderr
    assert "HEAVY []" in done.stdout
    assert f"FROM {volume.generations.resolve()}" in done.stdout
    assert "SPEAKER_01" in done.stdout


def test_threads_share_two_heaps(volume):
    program = """
import ctypes, sys, threading, handler
handler.share_heaps()
meeting = threading.Barrier(8)
def allocate():
    meeting.wait()
    held = [bytes(100_000) for _ in range(100)]
    meeting.wait()
threads = [threading.Thread(target=allocate) for _ in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
libc = ctypes.CDLL(None)
libc.fdopen.restype = ctypes.c_void_p
libc.malloc_info(0, ctypes.c_void_p(libc.fdopen(1, b"w")))
libc.fflush(None)
"""
    done = run(["-c", program], environment(volume.root))
    assert done.returncode == 0, done.stderr
    assert 1 <= done.stdout.count("<heap nr=") <= 2


def test_the_local_run_fails_on_a_bad_job(volume):
    bad = json.dumps({"input": {"task": "diarization"}})
    done = run(["handler.py", "--test_input", bad], environment(volume.root))
    assert done.returncode == 1
    assert "INVALID_INPUT: audio: required, but missing." in done.stdout


def test_a_job_leaves_nothing_on_disk(volume, tmp_path):
    folders = {name: tmp_path / name.lower() for name in ("HOME", "TMPDIR")}
    for folder in folders.values():
        folder.mkdir()
    own = {name: str(folder) for name, folder in folders.items()}
    done = run(["handler.py"], environment(volume.root, PYTHONDONTWRITEBYTECODE="1", **own))
    assert done.returncode == 0, done.stderr
    for folder in folders.values():
        assert list(folder.rglob("*")) == []


def test_an_empty_volume_is_one_sentence(tmp_path):
    done = run(["handler.py"], environment(tmp_path))
    assert done.returncode == 1
    assert done.stderr.startswith("The worker cannot start. ")
    assert "python -m volume_bootstrap setup" in done.stderr
    assert "Traceback" not in done.stderr


def test_cuda_without_a_gpu_is_one_sentence(volume):
    done = run(["handler.py"], environment(volume.root, SPEECH_DEVICE="cuda"))
    assert done.returncode == 1
    assert re.fullmatch(r"The worker cannot start\. SPEECH_DEVICE=cuda, but .*\n", done.stderr)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def api(volume) -> Iterator[str]:
    """The SDK's local API around the real handler, as a process of its own."""
    port = free_port()
    command = [sys.executable, "handler.py", "--rp_serve_api", "--rp_api_port", str(port)]
    process = subprocess.Popen(
        command,
        env=environment(volume.root),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(600):
            with socket.socket() as probe:
                if probe.connect_ex(("localhost", port)) == 0:
                    break
            assert process.poll() is None, "the worker ended"
            time.sleep(0.1)
        yield f"http://localhost:{port}"
    finally:
        process.terminate()
        process.wait(30)


def post(url: str, job: object) -> dict:
    request = urllib.request.Request(url, json.dumps(job).encode(), method="POST")
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=120) as response:
        return json.load(response)


def test_runsync_answers(api):
    reply = post(f"{api}/runsync", JOB)
    assert reply["status"] == "COMPLETED"
    assert len(reply["output"]["speakers"]) == 2


def test_runsync_answers_a_bad_job_with_its_error(api):
    reply = post(f"{api}/runsync", {"input": {"task": "diarization", "audio": "volume://none"}})
    assert reply["status"] == "FAILED"
    assert reply["error"].startswith("FETCH_FAILED: ")


def test_run_and_status_answer(api):
    job = post(f"{api}/run", JOB)
    reply = post(f"{api}/status/{job['id']}", {})
    assert reply["status"] == "COMPLETED"
    assert len(reply["output"]["turns"]) > 4


def test_whatever_fails_at_start_is_told(platform, tmp_path, own_volume):
    """ONNX Runtime raises errors of its own: here on a model that was provisioned as nonsense."""
    model = next(own_volume.models.glob("hub/iic/*/model.onnx"))
    whole = model.read_bytes()
    model.write_bytes(bytes(len(whole)))
    digests = [hashlib.sha256(content).hexdigest() for content in (whole, model.read_bytes())]
    for manifest in own_volume.metadata.rglob("*.json"):
        manifest.write_text(manifest.read_text().replace(*digests))
    with WorkerProcess(platform, tmp_path, own_volume.root) as worker:
        assert worker.wait() == 1
        (ping,) = platform.records("ping", worker.id)
        (line,) = [line for line in worker.log_lines() if "traceback" in line]
    assert ping["query"]["status"] == "unhealthy"
    assert ping["query"]["reason"].startswith("StartupError: The worker failed while it started")
    assert "onnxruntime" in line["traceback"]
