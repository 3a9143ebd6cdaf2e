"""A model that hangs, a disk that is full, a volume that goes, memory that ends."""

import contextlib
import os
import resource
import subprocess
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from tests.faults import namespaces
from tests.faults.worker_ends import STAGES
from tests.faults.worker_scene import (
    DEADLINE_S,
    HeldWorker,
    Trial,
    WorkerScene,
    opened_for_writing,
)
from tests.platform import until
from tests.volumes import VOLUME
from volume_bootstrap.layout import manifest_of

LIMIT_S = 3
DISK_MB = 4
FREE_BYTES = {"fetch": 500_000, "decode": 1_400_000}
"""What the disk has left: the file of the sample takes 960 kB, its samples 770 kB."""
SPARE_BYTES = 2_000_000
"""Memory that a worker has left when it runs out: less than a batch of any model."""


def wedged(trial: Trial) -> str:
    """A thread that hangs in the system with the device: only the process's end frees that."""
    scene = trial.scene
    with scene.worker("embedding", SPEECH_JOB_TIMEOUT_S=str(LIMIT_S)) as worker:
        job = trial.submit()
        worker.reached()
        trial.expect(job, "TIMEOUT")
        trial.expect_exit(worker, 1)
        trial.check(not worker.children(), "the ping process lives on")
    posted = scene.platform.results(job)[0]["body"]
    trial.check(posted.get("stopPod"), "the platform was not asked for a fresh worker")
    with scene.worker():
        trial.expect(trial.submit())
    return "TIMEOUT, exit code 1; a fresh worker serves"


def full_disk(trial: Trial, stage: str) -> str:
    scene = trial.scene
    disk = scene.folder / "disk"
    disk.mkdir(exist_ok=True)
    ballast = disk / "ballast"
    size = DISK_MB * 2**20 - FREE_BYTES[stage]
    with (
        namespaces.small_disk(disk, DISK_MB) as prefix,
        scene.worker(None, prefix, TMPDIR=str(disk), SPEECH_MAX_AUDIO_MB="3"),
    ):
        trial.expect(trial.submit())
        _run(prefix, "sh", "-c", f'head -c {size} /dev/zero >"$1"', "sh", str(ballast))
        trial.expect(trial.submit(), "AUDIO_TOO_LARGE")
        _run(prefix, "rm", str(ballast))
        left = _run(prefix, "find", str(disk), "-type", "f")
        trial.check(not left, f"left over: {left}")
        trial.expect(trial.submit())
    return "AUDIO_TOO_LARGE; nothing is left over, the next job is right"


def read_only_volume(trial: Trial) -> str:
    scene = trial.scene
    root = str(scene.volume.root)
    with (
        namespaces.own_mount(scene.volume.root) as prefix,
        scene.worker("asr", prefix) as worker,
    ):
        job = trial.submit()
        worker.reached()
        _run(prefix, "mount", "-o", "remount,ro,bind", root)
        worker.release()
        trial.expect(job)
        trial.expect(trial.submit())
    return "this job and the next are right"


def gone_volume(trial: Trial) -> str:
    """Something empty takes the volume's place; the packages lie on another one."""
    scene = trial.scene
    places = [str(scene.volume.root), str(VOLUME.root)]
    with (
        namespaces.own_mount(scene.volume.root) as prefix,
        scene.worker("vad", prefix) as worker,
    ):
        job = trial.submit()
        worker.reached()
        for place in places:
            _run(prefix, "mount", "-t", "tmpfs", "none", place)
        worker.release()
        trial.expect(job)
        trial.expect(trial.submit(), "MODEL_NOT_PROVISIONED")
        for place in places:
            _run(prefix, "umount", place)
        trial.expect(trial.submit())
    return "the job is right; the next MODEL_NOT_PROVISIONED until it is back"


def damaged_recogniser(trial: Trial) -> str:
    """A worker that has the model goes on with it; one that starts does not take it."""
    scene = trial.scene
    with _damaged(_file(scene, "whisper-tiny-en", "model.bin")) as (damage, mend):
        with scene.worker():
            trial.expect(trial.submit())
            damage()
            trial.expect(trial.submit())
        with scene.worker():
            trial.expect(trial.submit(), "MODEL_NOT_PROVISIONED")
            diarized = scene.platform.wait(trial.submit(task="diarization"), DEADLINE_S)
            trial.check(diarized["status"] == "COMPLETED", f"diarization ended as {diarized}")
            mend()
            trial.expect(trial.submit())
    return (
        "who has it serves on; fresh: MODEL_NOT_PROVISIONED, but diarization works; mended: right"
    )


def damaged_embedding(trial: Trial) -> str:
    """Without it a worker is of no use: it says so and ends, before it takes a job."""
    scene = trial.scene
    job = trial.submit()
    with _damaged(_file(scene, "campplus-zh-en", "model.onnx")) as (damage, mend):
        damage()
        with HeldWorker(scene, None, (), {}) as worker:
            trial.expect_exit(worker, 1)
            trial.check("damaged" in worker.log(), "the log does not say what is damaged")
            trial.check(not worker.num_takes(), "it took jobs")
        mend()
        with scene.worker():
            trial.expect(job)
    return "exit code 1 before the first take; mended, a fresh worker does the job"


def killed_in_load(trial: Trial) -> str:
    """The job's worker reads a file of the model, which is a FIFO, and is killed there."""
    scene = trial.scene
    path = _file(scene, "whisper-tiny-en", "model.bin")
    with _damaged(path) as (damage, _):
        damage()  # or it would be loaded before the first job
        with scene.worker() as worker:
            aside = path.rename(path.with_suffix(".aside"))
            os.mkfifo(path)
            job = trial.submit()
            gate = opened_for_writing(path)
            worker.kill()
            os.close(gate)
            aside.rename(path)
    trial.expect_taken_over(job)
    return "another worker did it"


def out_of_memory(trial: Trial, stage: str) -> str:
    """The address space ends where it is when the job comes to the stage."""
    scene = trial.scene
    with scene.worker(stage) as worker:
        # A first job, after which libraries have what they take once: CTranslate2 is not ready for
        # its first threads to get nothing, and crashes.
        first = trial.submit()
        worker.reached()
        worker.release()
        trial.expect(first)
        worker.hold_again()
        job = trial.submit()
        worker.reached()
        soft, hard = resource.prlimit(worker.pid, resource.RLIMIT_AS)
        mapped = int(Path(f"/proc/{worker.pid}/statm").read_text().split()[0])
        limit = mapped * resource.getpagesize() + SPARE_BYTES
        resource.prlimit(worker.pid, resource.RLIMIT_AS, (limit, hard))
        worker.release()
        until(lambda: scene.platform.results(job) or worker.has_ended(), DEADLINE_S)
        if worker.has_ended():
            raise RuntimeError(f"the worker died with {worker.wait()}")
        resource.prlimit(worker.pid, resource.RLIMIT_AS, (soft, hard))
        is_error = "error" in scene.platform.status(job)
        trial.expect(job, "OUT_OF_MEMORY" if is_error else None)
        trial.expect(trial.submit())
        trial.expect_clean(worker)
    outcome = "OUT_OF_MEMORY" if is_error else "right with what was left"
    return f"{outcome}; the next job of the same worker is right"


def _run(prefix: Sequence[str], *command: str) -> str:
    """Run a command where the worker is; what it prints."""
    done = subprocess.run([*prefix, *command], check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip()


def _file(scene: WorkerScene, alias: str, name: str) -> Path:
    """A file of a model."""
    record = manifest_of(scene.volume, "demo").model(alias)
    if record is None:
        raise RuntimeError(f"the demo has no model {alias}")
    return scene.volume.models / record.folder / name


@contextlib.contextmanager
def _damaged(path: Path) -> Iterator[tuple[Callable[[], None], Callable[[], None]]]:
    """Yield what damages a file in place, one byte of it, and what mends it."""
    middle = path.stat().st_size // 2
    right = path.read_bytes()[middle : middle + 1]

    def write(byte: bytes) -> None:
        with path.open("r+b") as file:
            file.seek(middle)
            file.write(byte)

    try:
        yield partial(write, bytes([right[0] ^ 0xFF])), partial(write, right)
    finally:
        write(right)


ROWS: dict[str, Callable[[Trial], str]] = {
    "a model that never returns": wedged,
    "kill -9 while a model loads": killed_in_load,
    **{f"the temporary folder is full in {s}": partial(full_disk, stage=s) for s in FREE_BYTES},
    "the volume turns read-only in asr": read_only_volume,
    "the volume goes in vad, and comes back": gone_volume,
    "the model that recognises is damaged between jobs": damaged_recogniser,
    "the model of voices is damaged before a worker starts": damaged_embedding,
    **{f"memory runs out in {stage}": partial(out_of_memory, stage=stage) for stage in STAGES},
}
"""By the name that they have in the table."""
