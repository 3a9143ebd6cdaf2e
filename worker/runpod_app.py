"""RunPod's side of the worker: an async handler, its progress, and the SDK's loop."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Any

from worker.control import JobControl
from worker.device import choose
from worker.model_store import ModelStore
from worker.replies import Reply
from worker.service import Envelope, Service
from worker.settings import Settings
from worker.telemetry import job_id

logger = logging.getLogger(__name__)

Job = dict[str, Any]
Handler = Callable[[Job], Awaitable[Reply]]
Post = Callable[[Job, Reply], Awaitable[None]]

PROGRESS_S = 1.0
"""Least time between two reports of progress."""
POST_TIMEOUT_S = 5.0


def start_service(settings: Settings, project: str) -> Service:
    """Choose the device and load the default models.

    Raises
    ------
    StartupError
        The device that was asked for cannot be used.
    """
    precision = None if settings.precision == "auto" else settings.precision
    device = choose(settings.device, settings.num_threads, precision)
    service = Service(settings, ModelStore(settings.layout, project), device)
    service.preload()
    return service


def make_handler(service: Service, post: Post, concurrency: int) -> Handler:
    """Make what the SDK calls for each job.

    It is async and works in a thread: a plain function would run on the SDK's
    event loop and stop it from taking, pinging and cancelling. A job that the
    SDK cancels ends at its next step.

    Parameters
    ----------
    post : sends progress of a job to the platform. It is awaited before the next is sent and
        before the job's result is returned: none can come late and overwrite that.
    concurrency : jobs at a time; each has a thread.
    """
    threads = ThreadPoolExecutor(concurrency, thread_name_prefix="job")

    async def handler(job: Job) -> Reply:
        job_id.set(job.get("id"))
        latest: dict[str, Any] = {}

        def report(stage: str, share: float) -> None:
            latest.update(stage=stage, progress=round(share, 3))

        control = JobControl(report)
        # The job's id goes along, into the log.
        envelope = Envelope(job.get("id"), job.get("s3Config"))
        answer = partial(copy_context().run, service.answer, job.get("input"), control, envelope)
        work = asyncio.get_running_loop().run_in_executor(threads, answer)
        try:
            sent: dict[str, Any] = {}
            while not (await asyncio.wait({work}, timeout=PROGRESS_S))[0]:
                if latest != sent:
                    sent = dict(latest)
                    await _post_in_time(post, job, sent)
            return work.result()
        except BaseException:
            control.cancel()
            raise

    return handler


async def _post_in_time(post: Post, job: Job, progress: Reply) -> None:
    """Post progress; the job must neither wait nor fail for it, and the next report says more."""
    try:
        await asyncio.wait_for(post(job, progress), POST_TIMEOUT_S)
    except Exception:
        logger.warning("progress could not be posted", exc_info=True)


async def post_progress(job: Job, progress: Reply) -> None:
    """Tell the platform how far a job is; outside of it there is nobody to tell."""
    from runpod.http_client import AsyncClientSession
    from runpod.serverless.modules import rp_http

    if rp_http.JOB_DONE_URL.startswith("http"):
        async with AsyncClientSession() as session:
            await rp_http.send_result(session, {"status": "IN_PROGRESS", "output": progress}, job)


def build_config(settings: Settings, project: str) -> dict[str, Any]:
    """Make what ``runpod.serverless.start`` takes, with the models loaded.

    Raises
    ------
    StartupError
        The device that was asked for cannot be used.
    """
    service = start_service(settings, project)
    handler = make_handler(service, post_progress, settings.concurrency)
    return {"handler": handler, "concurrency_modifier": lambda _: settings.concurrency}
