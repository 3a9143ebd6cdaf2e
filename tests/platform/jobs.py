"""What the platform knows of its jobs, and how they change; no HTTP in here."""

import asyncio
import time
import uuid
from collections import defaultdict, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")
JSON = Any

MAX_RESULT_BYTES = {False: 10_000_000, True: 20_000_000}
"""Largest result of a job, by whether it came through /runsync."""
MAX_PART_BYTES = 1_000_000
"""Largest message of a stream."""
ENDED = {"COMPLETED", "FAILED", "CANCELLED"}


@dataclass(eq=False)
class Job:
    """One job as the platform sees it. Times are seconds since the epoch."""

    payload: JSON
    """What the worker is given: a dict with `id` and `input`, unless a test wants otherwise."""
    id: str | None = None
    is_sync: bool = False
    status: str = "IN_QUEUE"
    output: JSON = None
    error: JSON = None
    worker: str | None = None
    """Who has it, or had it last."""
    last_sign: float = 0.0
    """When it was taken, or last named by a ping."""
    workers: list[str] = field(default_factory=list)
    """Who got it, one entry a delivery."""
    results: list[dict[str, Any]] = field(default_factory=list)
    """Every result: `worker`, `time`, `size`, `body`; the first one counts."""
    progress: list[dict[str, Any]] = field(default_factory=list)
    """Every IN_PROGRESS update, likewise."""
    parts: list[JSON] = field(default_factory=list)
    """Everything streamed."""
    parts_read: int = 0

    @property
    def in_work(self) -> bool:
        return bool(self.workers) and not self.results and self.status == "IN_PROGRESS"

    def answer(self) -> dict[str, Any]:
        """What GET /status tells."""
        known = {"workerId": self.worker, "output": self.output, "error": self.error}
        told = {name: value for name, value in known.items() if value is not None}
        return {"id": self.id, "status": self.status, **told}


class Jobs:
    """The queue and all jobs ever seen.

    Delivery is at least once: a job in work that no ping has named for `redeliver_after_s` is
    queued again.
    """

    def __init__(self, redeliver_after_s: float) -> None:
        self._redeliver_after_s = redeliver_after_s
        self._queue: deque[Job] = deque()
        self._stops: defaultdict[str, list[str]] = defaultdict(list)
        self._changed = asyncio.Event()
        self.by_id: dict[str, Job] = {}

    async def until(self, ready: Callable[[], T], timeout_s: float) -> T:
        """Wait until `ready` returns something; after `timeout_s` return what it says then."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while not (found := ready()):
                    await self._changed.wait()
                return found
        return ready()

    def submit(self, payload: dict[str, Any], *, is_sync: bool) -> Job:
        """Queue a client's request: `input` and whatever goes along with it."""
        id_ = ("sync-" if is_sync else "") + str(uuid.uuid4())
        job = Job({"id": id_, **payload}, id_, is_sync)
        self.by_id[id_] = job
        self._enqueue(job)
        return job

    def submit_raw(self, payload: JSON) -> None:
        """Queue what is to be handed to a worker as it is, however wrong.

        With the id of a known job it is that job's duplicate, even when that has ended.
        """
        id_ = payload.get("id") if isinstance(payload, dict) else None
        job = Job(payload, id_ if isinstance(id_, str) else None)
        if job.id is not None:
            job = self.by_id.setdefault(job.id, job)
            job.payload = payload
        self._enqueue(job)

    def redeliver(self, job: Job) -> None:
        """Queue a job again, in work or not."""
        self._enqueue(job)

    def _enqueue(self, job: Job) -> None:
        self._queue.append(job)
        self._notify()

    def take(self, worker: str, count: int) -> list[JSON]:
        """Hand out up to `count` jobs."""
        taken: list[JSON] = []
        while self._queue and len(taken) < count:
            job = self._queue.popleft()
            job.workers.append(worker)
            if job.status not in ENDED:
                job.status, job.worker, job.last_sign = "IN_PROGRESS", worker, time.time()
            taken.append(job.payload)
        return taken

    def take_stops(self, worker: str) -> list[str]:
        """Hand out the ids that this worker shall stop."""
        return self._stops.pop(worker, [])

    def ping(self, worker: str, ids: list[str]) -> None:
        """Note that the worker still has these jobs."""
        for id_ in ids:
            if (job := self.by_id.get(id_)) and job.worker == worker:
                job.last_sign = time.time()

    def pardon(self) -> None:
        """Count every job's silence from now: it was the platform that could not be reached."""
        for job in self.by_id.values():
            job.last_sign = time.time()

    def redeliver_lost(self) -> None:
        """Queue again what its worker no longer speaks of."""
        lost = time.time() - self._redeliver_after_s
        for job in self.by_id.values():
            if job.in_work and job.last_sign < lost and job not in self._queue:
                self._enqueue(job)

    def forget(self, job: Job) -> None:
        """Know nothing of a job any more, as of one that ended half an hour ago."""
        self._withdraw(job)
        self.by_id.pop(str(job.id), None)

    def cancel(self, job: Job) -> None:
        """End a job for its client, and have its worker told."""
        if job.status == "IN_PROGRESS" and job.worker:
            self._stops[job.worker].append(str(job.id))
        if job.status not in ENDED:
            job.status = "CANCELLED"
        self._withdraw(job)
        self._notify()

    def done(self, job: Job, worker: str, message: dict[str, Any], size: int) -> None:
        """Take in a result or an update that came as `size` bytes.

        The first result counts. An update that comes after it replaces it: so does the platform.
        """
        entry = {"worker": worker, "time": time.time(), "size": size, "body": message}
        if message.get("status") == "IN_PROGRESS":
            job.progress.append(entry)
            job.status, job.output = "IN_PROGRESS", message.get("output")
        else:
            job.results.append(entry)
            if len(job.results) == 1 and job.status != "CANCELLED":
                _settle(job, message, size)
            self._withdraw(job)
        self._notify()

    def stream(self, job: Job, message: dict[str, Any]) -> None:
        """Take in a part of a streamed answer."""
        job.parts.append(message.get("output"))
        self._notify()

    def _withdraw(self, job: Job) -> None:
        """Deliver a job that has ended no more."""
        with suppress(ValueError):
            self._queue.remove(job)

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def _settle(job: Job, message: dict[str, Any], size: int) -> None:
    job.output = job.error = None
    if size > MAX_RESULT_BYTES[job.is_sync]:
        job.status = "COMPLETED"  # with no data and no word of it
        return
    job.error, job.output = message.get("error"), message.get("output")
    job.status = "FAILED" if job.error is not None else "COMPLETED"
