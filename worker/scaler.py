"""RunPod's loop with what its SDK lacks: no dead time between jobs, a clean end, no lost result.

Import this inside a function: the SDK must stay out of the worker's other imports.
"""

import asyncio
import contextlib
import logging
import multiprocessing
import os
import secrets
import signal
import sys
from http import HTTPStatus
from typing import Any

import runpod.serverless
from runpod.http_client import AsyncClientSession, ClientSession
from runpod.serverless.modules import rp_http, rp_job, rp_scale

from worker import pings
from worker.errors import describe_internal
from worker.outbox import Addresses, Outbox
from worker.parts import Payload, serialise
from worker.poll import Poll
from worker.runpod_app import Job, JobRunner
from worker.settings import Settings

logger = logging.getLogger(__name__)

LAST_ANSWER_S = 0.25
"""An ending worker reads answers for so long: jobs that were sent to it before would be lost."""
ABANDONED_S = 3.0
"""Time that abandoned jobs have to clean up; with the default grace that makes 28 s, of the 30 s
that containers usually have."""


def start(config: dict[str, Any]) -> None:
    """Start the SDK with this loop in place of its own, for which it has no setting.

    Parameters
    ----------
    config : what `worker.runpod_app.make_config` made.
    """
    rp_scale.JobScaler = Scaler
    pings.use()
    runpod.serverless.start(config)


class Scaler(rp_scale.JobScaler):  # type: ignore[misc]  # the SDK has no types
    """Takes jobs, has them run, delivers their results.

    The signals are the SDK's, and its calls of the stop channel.

    Parameters
    ----------
    config : what `start` was given.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config)
        settings: Settings = config["settings"]
        self.current_concurrency = settings.concurrency
        self._grace_s = settings.grace_s
        self._results = settings.layout.results
        self._runner: JobRunner = config["runner"]
        self._addresses = Addresses(rp_http.JOB_DONE_URL, rp_http.JOB_STREAM_URL)
        # Unlike the SDK's jobs_tasks, which may be stopped, these go on until the result is posted.
        self._working: dict[str, asyncio.Task[None]] = {}
        # Delivered anew while the run that was stopped still ends.
        self._again: dict[str, Job] = {}
        self._freed = asyncio.Event()

    async def run(self) -> None:
        """Serve until SIGTERM, SIGINT or `kill_worker`, then let running jobs end.

        Where a thread still works after that, the process ends here: Python would wait for it. The
        exit code is then 1 if the thread is wedged, else 0.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.kill_worker)  # wakes the loop, unlike the SDK's
        async with AsyncClientSession() as session:
            taking = asyncio.create_task(self.get_jobs(session))
            stopping = asyncio.create_task(self.monitor_stop_signals(session))
            ending = asyncio.create_task(self._shutdown_event.wait())
            # The first two end by themselves only where they fail; then the worker ends as well.
            await asyncio.wait({taking, stopping, ending}, return_when=asyncio.FIRST_COMPLETED)
            self.kill_worker()
            await asyncio.wait({taking}, timeout=LAST_ANSWER_S)
            taking.cancel()
            await asyncio.wait({taking})
            are_stuck = await self._finish()
            for task in (stopping, ending):
                task.cancel()
            ended = await asyncio.gather(taking, stopping, ending, return_exceptions=True)
        if self._runner.wedged or are_stuck:
            _leave(1 if self._runner.wedged else 0)
        for error in ended:
            if isinstance(error, Exception):
                raise error

    async def get_jobs(self, session: ClientSession) -> None:
        """Take a job whenever there is room for one."""
        poll = Poll("no job could be taken", self.jobs_fetcher_timeout)
        while self.is_alive():
            room = self.current_concurrency - len(self._working)
            if room <= 0:
                self._freed.clear()
                await self._freed.wait()
                continue
            jobs = await poll.ask(_ask(session, room))
            began = [self._begin(session, job) for job in jobs]
            await poll.pause(any(began))

    async def monitor_stop_signals(self, session: ClientSession) -> None:
        """Stop the jobs that the platform names.

        The SDK's own writes the address with its query into the log, once a second.
        """
        if rp_job._job_stop_url() is None:  # noqa: SLF001
            logger.warning("RUNPOD_WEBHOOK_GET_JOB names no stop channel: no job can be cancelled")
            await self._shutdown_event.wait()
        poll = Poll("the stop channel does not answer", self.stop_signals_fetcher_timeout)
        while self.is_alive():
            names = await poll.ask(self.stop_signals_fetcher(session))
            for name in names:
                await self.stop_job(name)
            await poll.pause(bool(names))

    async def stop_job(self, name: str) -> bool:
        """Stop a job, and what was delivered anew of it.

        The SDK's own prints the id, which ends it where stdout cannot encode that.
        """
        self._again.pop(name, None)
        task = self.jobs_tasks.get(name)
        if task is None:
            return False
        logger.info("job %r is stopped", name)
        task.cancel()
        return True

    def _begin(self, session: ClientSession, job: object) -> bool:
        """Start on a job, unless it is none or is in work already."""
        name = job.get("id") if isinstance(job, dict) else None
        if not isinstance(job, dict) or not isinstance(name, str) or not name:
            logger.error("the platform sent a job without an id; nobody can be answered")
            return False
        if name in self._working and self._working[name].cancelling():
            logger.info("job %r came again while it is being stopped; it is run after that", name)
            self._again[name] = job
            return False
        if name in self._working:
            logger.warning("job %r came again while it is in work; its one result will do", name)
            return False
        self.job_progress.add(name)  # the pings list it
        task = asyncio.create_task(self._work(session, name, job))
        self._working[name] = self.jobs_tasks[name] = task
        task.add_done_callback(lambda ended: self._end(session, name, ended))
        return True

    def _end(self, session: ClientSession, name: str, task: asyncio.Task[None]) -> None:
        del self._working[name]
        self.jobs_tasks.pop(name, None)
        self.job_progress.remove(name)
        self._freed.set()
        if not task.cancelled() and (error := task.exception()):
            logger.error("job %r ended without a result", name, exc_info=error)
        if self._runner.wedged:
            self.kill_worker()
        again = self._again.pop(name, None)
        if again is not None and self.is_alive():
            self._begin(session, again)

    async def _work(self, session: ClientSession, name: str, job: Job) -> None:
        """Run a job and deliver its result; a job that is stopped has none."""
        outbox = Outbox(session, self._addresses, name, self._results)
        try:
            payload = _payload(await self._runner.handle(job, outbox))
            body = serialise(payload)
        except Exception:  # noqa: BLE001 - whatever it is, the job is answered
            payload = {"error": _internal_error()}
            body = serialise(payload)
        # It is too late to stop it.
        self.jobs_tasks.pop(name, None)
        await outbox.result(body)
        if "stopPod" in payload:
            logger.error("the worker ends, to be replaced by a fresh one")
            self.kill_worker()

    async def _finish(self) -> bool:
        """Let running jobs end, and abandon what is left; tell whether some do not even then."""
        working = set(self._working.values())
        if working:
            logger.info("%d jobs have %g s to end", len(working), self._grace_s)
            await asyncio.wait(working, timeout=self._grace_s)
        left = {task for task in working if not task.done()}
        for task in left:
            task.cancel()
        if left:
            logger.warning("%d jobs are abandoned; the platform delivers them again", len(left))
            await asyncio.wait(left, timeout=ABANDONED_S)
        return not all(task.done() for task in left)


async def _ask(session: ClientSession, room: int) -> list[object]:
    """Ask for at most so many jobs; the platform answers when there are some, or after a while.

    The SDK's own get_job loses a job without input, and passes in silence over what is no JSON.
    """
    async with session.get(rp_job._job_get_url(room)) as response:  # noqa: SLF001
        if response.status in (HTTPStatus.NO_CONTENT, HTTPStatus.BAD_REQUEST):
            return []  # 400 is how the platform says it with FlashBoot
        response.raise_for_status()
        jobs = await response.json(content_type=None)
    if jobs is None:
        return []  # an answer without content
    return jobs if isinstance(jobs, list) else [jobs]


def _payload(reply: Payload) -> Payload:
    """What the platform is posted for a reply, as the SDK makes it."""
    output = {k: v for k, v in reply.items() if k not in ("error", "refresh_worker")}
    payload: Payload = {"output": output} if output else {}
    if reply.get("error"):
        payload["error"] = reply["error"]
    if reply.get("refresh_worker"):
        payload["stopPod"] = True
    return payload


def _internal_error() -> str:
    """Log the exception in work and describe it: the SDK would post its traceback."""
    reference = secrets.token_hex(6)
    logger.exception("internal error %s", reference)
    return describe_internal(reference)


def _leave(code: int) -> None:
    """End the process, whatever its threads do."""
    # The SDK's ping process would outlive this one, and tell the platform that all is well.
    for child in multiprocessing.active_children():
        child.kill()
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)
