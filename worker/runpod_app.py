"""RunPod's side of the worker: an async handler, and the SDK's loop."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from worker.device import choose
from worker.model_cache import ModelCache
from worker.model_store import ModelStore
from worker.service import Reply, Service
from worker.settings import Settings
from worker.telemetry import job_id

Handler = Callable[[dict[str, Any]], Awaitable[Reply]]


def start_service(settings: Settings, project: str) -> Service:
    """Choose the device and load the default models.

    Raises
    ------
    StartupError
        The device that was asked for cannot be used.
    """
    device = choose(settings.device, settings.num_threads)
    store = ModelStore(settings.layout, project)
    service = Service(settings, store, ModelCache(store, device))
    service.preload()
    return service


def make_handler(service: Service) -> Handler:
    """Make what the SDK calls for each job.

    It is async and works in a thread: a plain function would run on the SDK's
    event loop and stop it from taking, pinging and cancelling.
    """

    async def handler(job: dict[str, Any]) -> Reply:
        job_id.set(job.get("id"))
        return await asyncio.to_thread(service.answer, job.get("input"))

    return handler


def build_config(settings: Settings, project: str) -> dict[str, Any]:
    """Make what ``runpod.serverless.start`` takes, with the models loaded.

    Raises
    ------
    StartupError
        The device that was asked for cannot be used.
    """
    handler = make_handler(start_service(settings, project))
    return {"handler": handler, "concurrency_modifier": lambda _: settings.concurrency}
