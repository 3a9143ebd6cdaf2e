"""Where workers meet faults: a platform, a media server, a volume; and what became of the jobs."""

import contextlib
import errno
import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults.report import tell
from tests.media_server import MediaServer
from tests.platform import Platform, WorkerProcess, until
from tests.volumes import copy_volume
from tests.wheels import ROOT
from volume_bootstrap.layout import Volume

DATA = ROOT / "tests" / "data"
DEADLINE_S = 90.0
"""For all that takes seconds at most."""
AUDIO_S = 12.0
"""Of the sample conversation, two voices."""
FOR_EVER = 100_000
TAKES = ("job-take", "job-take-batch")
HELD = ("-m", "tests.faults.worker_held")


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """One fault: what happened, its jobs, the results that were posted, jobs without any."""

    fault: str
    happened: str
    jobs: int
    results: int
    lost: int
    seconds: float
    problems: Sequence[str] = ()


class WorkerScene:
    """Where workers are started, and what they shall answer.

    Parameters
    ----------
    folder : for logs, temporary files and the volume.
    """

    def __init__(self, platform: Platform, media: MediaServer, folder: Path, volume: Volume):
        self.platform = platform
        self.media = media
        self.folder = folder
        self.volume = volume
        self.undisturbed: Any = None
        """The result of the usual job where nothing is wrong."""

    def job(self, source: str = "/files/sample.wav", **changes: object) -> dict[str, Any]:
        """The usual job: all stages, on audio of the media server."""
        audio = {"url": self.media.url(source), "duration": AUDIO_S}
        return {"task": "transcript", "audio": audio, **changes}

    @contextlib.contextmanager
    def worker(
        self, stage: str | None = None, prefix: Sequence[str] = (), **variables: str
    ) -> Iterator["HeldWorker"]:
        """Start a worker, killed when the block ends; with a `stage` its first job stops there."""
        with HeldWorker(self, stage, prefix, variables) as worker:
            worker.ready(DEADLINE_S)
            yield worker

    def learn(self) -> None:
        """Find out what the usual job gives.

        Raises
        ------
        RuntimeError
            It fails without any fault.
        """
        with self.worker():
            job = self.platform.wait(self.platform.submit(self.job()), DEADLINE_S)
        if job["status"] != "COMPLETED":
            raise RuntimeError(f"the usual job fails without any fault: {job}")
        self.undisturbed = comparable(job["output"])

    def kept(self, job: str) -> Path:
        """Where a worker keeps a result that the platform does not take."""
        return self.volume.results / f"{job}.json"


class HeldWorker(WorkerProcess):
    """A worker of a scene."""

    def __init__(
        self,
        scene: WorkerScene,
        stage: str | None,
        prefix: Sequence[str],
        variables: dict[str, str],
    ) -> None:
        self._held = scene.folder / f"held-{time.monotonic_ns()}"
        self._held.mkdir()
        os.mkfifo(self._held / "gate")
        if stage:
            variables = {"HELD_STAGE": stage, "HELD_FOLDER": str(self._held), **variables}
        super().__init__(
            scene.platform,
            scene.folder,
            scene.volume.root,
            *(HELD if stage else ()),
            prefix=prefix,
            **variables,
        )

    def reached(self) -> None:
        """Wait until its job stands still in the stage."""
        until((self._held / "reached").exists, DEADLINE_S)

    def release(self) -> None:
        """Let the job go on."""
        os.close(opened_for_writing(self._held / "gate"))

    def hold_again(self) -> None:
        """Let the next job stop in the stage, too."""
        (self._held / "reached").unlink()


def opened_for_writing(fifo: Path) -> int:
    """Wait until somebody opens a FIFO for reading; a descriptor of its other end."""
    found: list[int] = []

    def is_there() -> bool:
        try:
            found.append(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK))
        except OSError as error:
            if error.errno != errno.ENXIO:  # nobody reads yet
                raise
        return bool(found)

    until(is_there, DEADLINE_S)
    return found[0]


class Trial:
    """One fault in work: its jobs, and what was not as it should be."""

    def __init__(self, scene: WorkerScene, fault: str) -> None:
        tell(fault)
        scene.platform.reset()
        self.scene = scene
        self.problems: list[str] = []
        self._fault = fault
        self._jobs: list[str] = []
        self._began = time.monotonic()

    def submit(self, source: str = "/files/sample.wav", **changes: object) -> str:
        """Send the usual job, with changes."""
        return self.submit_input(self.scene.job(source, **changes))

    def submit_input(self, job_input: object, **envelope: object) -> str:
        """Send a job; `envelope` goes beside its input."""
        job = self.scene.platform.submit(job_input, **envelope)
        self._jobs.append(job)
        return job

    def submit_raw(self, payload: dict[str, Any]) -> None:
        """Hand out a job with an id as it is."""
        self.scene.platform.submit_raw(payload)
        if payload["id"] not in self._jobs:
            self._jobs.append(payload["id"])

    def check(self, is_so: object, problem: str) -> None:
        if not is_so:
            self.problems.append(problem)

    def expect(self, job: str, code: str | None = None, *, posts: int = 1) -> dict[str, Any]:
        """Wait for a job's end: it is the result without the fault, or an error with this code.

        It was posted so often; its last status is returned.
        """
        try:
            ended = self.scene.platform.wait(job, DEADLINE_S)
        except TimeoutError as error:
            self.problems.append(str(error))
            return {}
        if code:
            error_of = str(ended.get("error"))
            self.check(error_of.startswith(f"{code}:"), f"a job ended as {ended}, not with {code}")
        else:
            self.check(
                comparable(ended.get("output")) == self.scene.undisturbed,
                f"a job ended as {ended}",
            )
        found = len(self.scene.platform.results(job))
        self.check(found == posts, f"{found} results were posted for a job, not {posts}")
        return ended

    def expect_taken_over(self, job: str, **variables: str) -> None:
        """A fresh worker does what a dead one had; after it, no temporary file is left."""
        with self.scene.worker(**variables) as fresh:
            self.expect(job)
            self.expect_clean(fresh)
        deliveries = len(self.scene.platform.job(job)["workers"])
        self.check(deliveries == 2, f"{deliveries} deliveries, not 2")

    def expect_kept(self, job: str, worker: WorkerProcess) -> None:
        """The right result lies on the volume, and the log says so."""
        path = self.scene.kept(job)
        until(path.exists, 2 * DEADLINE_S)
        payload = json.loads(path.read_bytes())
        right = comparable(payload.get("output")) == self.scene.undisturbed
        self.check(right, f"{path.name} holds another result")
        until(lambda: f"is kept as {path}" in worker.log(), DEADLINE_S)

    def expect_exit(self, worker: WorkerProcess, code: int) -> None:
        found = worker.wait(DEADLINE_S)
        self.check(found == code, f"the worker ended with {found}, not {code}")

    def expect_clean(self, worker: WorkerProcess) -> None:
        """Nothing is left among the worker's temporary files."""
        left = [path.name for path in worker.leftovers()]
        self.check(not left, f"left over: {', '.join(left)}")

    def row(self, happened: str) -> WorkerRow:
        """Count, and look for jobs that have neither a result nor a file that keeps it."""
        jobs = {job: self.scene.platform.job(job) for job in self._jobs}
        lost = [j for j, told in jobs.items() if not told["results"] and not self._is_kept(j)]
        self.check(not lost, f"{len(lost)} jobs have no result: {', '.join(lost)}")
        results = sum(len(told["results"]) for told in jobs.values())
        seconds = time.monotonic() - self._began
        return WorkerRow(
            self._fault, happened, len(jobs), results, len(lost), seconds, self.problems
        )

    def _is_kept(self, job: str) -> bool:
        return self.scene.kept(job).exists()


def comparable(output: Any) -> Any:
    """A result without the times that its stages took, which differ from run to run."""
    if isinstance(output, dict):
        return {name: comparable(value) for name, value in output.items() if name != "timings"}
    return [comparable(value) for value in output] if isinstance(output, list) else output


@contextlib.contextmanager
def worker_scene(folder: Path) -> Iterator[WorkerScene]:
    """Make a scene in `folder`."""
    folder.mkdir()
    volume = copy_volume(folder / "volume")
    with Platform() as platform, MediaServer(DATA) as media:
        scene = WorkerScene(platform, media, folder, volume)
        scene.learn()
        yield scene
