"""RunPod's side of the worker: jobs in threads, what they tell meanwhile, when they end."""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor, wait
from contextvars import copy_context
from functools import partial
from typing import Any, Protocol

from worker import s3_account
from worker.control import JobControl
from worker.device import choose
from worker.errors import JobTimeoutError
from worker.model_store import ModelStore
from worker.outbox import Outbox
from worker.replies import Reply
from worker.service import Envelope, Service
from worker.settings import Settings
from worker.telemetry import job_id

Job = dict[str, Any]

PROGRESS_S = 1.0
"""Least time between two reports of progress."""
WEDGED_S = 300.0
"""A job that goes on for so long after it had to end will not end: its thread hangs in a model. To
load a large one from a slow volume, or to run a batch of it on a slow CPU, takes minutes, and looks
the same from here."""


class Answers(Protocol):
    """What does the work: `worker.service.Service`."""

    def answer(self, job_input: object, control: JobControl, envelope: Envelope) -> Reply:
        """Run one job in the caller's thread; never raises."""


class JobRunner:
    """Runs each job in a thread: on the SDK's event loop it would stop that from cancelling it.

    Parameters
    ----------
    concurrency : jobs at a time; each has a thread.
    limit_s : time that a job may take.
    wedged_s : time after which a thread that had to end is given up.

    Raises
    ------
    RuntimeError
        There is no memory for so many threads.
    """

    def __init__(
        self, service: Answers, concurrency: int, limit_s: float, wedged_s: float = WEDGED_S
    ) -> None:
        self._service = service
        self._threads = _threads(concurrency)
        self._limit_s = limit_s
        self._wedged_s = wedged_s
        self.wedged = False
        """Whether a thread was given up: it holds what it holds until the process ends."""

    async def handle(self, job: Job, outbox: Outbox | None = None) -> Reply:
        """Run a job; where this is cancelled, it returns when the job has ended.

        Parameters
        ----------
        outbox : gets progress and parts of the result, each awaited before the next and before the
            result is returned: a late one would overwrite that. Without a platform there is none:
            the SDK's local runs call this with the job alone.
        """
        job_id.set(job.get("id"))
        news = News()
        control = JobControl(news.report, news.parts.append)
        control.limit(self._limit_s)
        # The job's id goes along, into the log.
        envelope = Envelope(job.get("id"), job.get("s3Config"))
        answer = partial(
            copy_context().run, self._service.answer, job.get("input"), control, envelope
        )
        work = asyncio.get_running_loop().run_in_executor(self._threads, answer)
        try:
            reply = await self._follow(work, control, news, outbox)
        except BaseException:  # whatever it is, nobody would watch the thread any more
            control.cancel()
            if not await _has_ended(work, self._wedged_s):
                self.wedged = True
            raise
        if outbox and streams(job) and "error" not in reply:
            await outbox.whole(reply)
        return reply

    async def _follow(
        self,
        work: asyncio.Future[Reply],
        control: JobControl,
        news: "News",
        outbox: Outbox | None,
    ) -> Reply:
        """Tell of a job until it ends."""
        while not (await asyncio.wait({work}, timeout=PROGRESS_S))[0]:
            if control.left_s < -self._wedged_s:
                self.wedged = True
                error = JobTimeoutError(
                    f"The job did not end within {self._wedged_s:g} s of its time limit, so the "
                    "worker is replaced. Send less audio at a time; if it stays, report it."
                )
                return {"error": error.reply, "refresh_worker": True}
            await news.tell(outbox)
        reply = work.result()
        await news.tell(outbox, parts_alone=True)
        return reply


class News:
    """What a job's thread reported and nobody was told yet."""

    def __init__(self) -> None:
        self.parts: deque[Reply] = deque()
        self._latest: Reply | None = None

    def report(self, stage: str, share: float) -> None:
        self._latest = {"stage": stage, "progress": round(share, 3)}

    async def tell(self, outbox: Outbox | None, *, parts_alone: bool = False) -> None:
        """Post what there is, parts in their order; only the latest progress counts."""
        while self.parts:
            part = self.parts.popleft()
            if outbox:
                await outbox.part(part)
        progress, self._latest = self._latest, None
        if progress and outbox and not parts_alone:
            await outbox.progress(progress)


def _threads(number: int) -> ThreadPoolExecutor:
    """Start threads, all at once.

    Where memory is short, an executor that starts one when a job comes raises, and has queued the
    job all the same: it would run later, unwatched.
    """
    threads = ThreadPoolExecutor(number, thread_name_prefix="job")
    meeting = threading.Barrier(number)
    try:
        wait([threads.submit(meeting.wait) for _ in range(number)])
    except RuntimeError:
        meeting.abort()  # those that did start end with the process
        raise
    return threads


def streams(job: Job) -> bool:
    """Whether the job's input asks for a stream."""
    job_input = job.get("input")
    return isinstance(job_input, dict) and job_input.get("stream") is True


async def _has_ended(work: asyncio.Future[Reply], within_s: float) -> bool:
    """Wait for a thread, however often that is cancelled."""
    give_up = time.monotonic() + within_s
    while not work.done() and (left_s := give_up - time.monotonic()) > 0:
        try:
            await asyncio.wait({work}, timeout=left_s)
        except asyncio.CancelledError:
            continue
    return work.done()


def start_service(
    settings: Settings, project: str, tasks: Collection[str] | None = None
) -> Service:
    """Choose the device and load the default models of the tasks, as `Service.preload` does.

    Raises
    ------
    StartupError
        The device that was asked for cannot be used, or SPEECH_OUTPUT has no keys.
    """
    s3_account.check(settings)
    precision = None if settings.precision == "auto" else settings.precision
    device = choose(settings.device, settings.num_threads, precision)
    service = Service(settings, ModelStore(settings.layout, project), device)
    service.preload(tasks)
    return service


def make_config(service: Answers, settings: Settings, wedged_s: float = WEDGED_S) -> dict[str, Any]:
    """Make what `worker.scaler.start` takes, and ``runpod.serverless.start`` for local runs."""
    runner = JobRunner(service, settings.concurrency, settings.job_timeout_s, wedged_s)
    return {"handler": runner.handle, "runner": runner, "settings": settings}
