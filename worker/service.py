"""One job from request to reply: validated, planned, worked on, answered.

Errors become replies here and nowhere else.
"""

import importlib
import logging
import secrets
import threading
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

from worker import health
from worker.control import JobControl
from worker.deliver import Delivery
from worker.device import Device
from worker.errors import (
    ModelNotProvisionedError,
    OutOfMemoryError,
    WorkerError,
    describe_internal,
)
from worker.faults import FaultWatch
from worker.job import Job
from worker.memory import is_out_of_memory
from worker.model_cache import ModelCache
from worker.model_store import ModelStore
from worker.parsing import parse
from worker.planning import Planner
from worker.replies import Reply
from worker.s3_account import Account
from worker.schema import JobRequest
from worker.settings import Settings
from worker.telemetry import Record, Tally

logger = logging.getLogger(__name__)

FIRST_JOB_IMPORTS = (("av",), ("scipy.fft", "scipy.sparse"))
"""At once, but the parts of one package in order: two threads in it would meet half of it."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """What the platform says of a job beside its input.

    id : names the job's files; the same for each delivery of the job.
    s3_config : where the caller keeps results, as `s3Config` of the call has it; not validated.
    """

    id: str | None = None
    s3_config: object = None


NO_PLATFORM = Envelope()


class Service:
    """Answers jobs with the models of one project."""

    def __init__(self, settings: Settings, store: ModelStore, device: Device) -> None:
        self._settings = settings
        self._device = device
        self._cache = ModelCache(
            store, device, settings.gpu_memory_fraction, settings.idle_unload_s
        )
        self._planner = Planner(store, self._cache)
        self._pinned = ExitStack()
        self._occupied = threading.Lock()
        self._store = store
        self._tally = Tally()
        self._faults = FaultWatch()

    def preload(self, tasks: Collection[str] | None = None) -> None:
        """Load the default models of tasks, and import what the first job would.

        They stay loaded as long as the worker runs. What is missing is only logged: the worker
        starts, each job says what to do, and a volume that is repaired meanwhile serves the next
        one.

        Parameters
        ----------
        tasks : such as ``asr``; None: those that the project names for it.
        """
        with ThreadPoolExecutor(3) as pool:
            imports = pool.map(_import_in_order, FIRST_JOB_IMPORTS)
            try:
                wanted = self._planner.defaults().preloaded if tasks is None else tasks
                for _ in pool.map(self._pin, wanted):
                    pass
            except (ModelNotProvisionedError, OutOfMemoryError) as error:
                logger.error("%s", error.reply)  # noqa: TRY400 - the message says all
            list(imports)  # raises what failed

    def _pin(self, task: str) -> None:
        request = parse({"task": task, "audio": "volume://none"})
        self._pinned.enter_context(self._planner.plan(request, JobControl()))

    def answer(
        self,
        job_input: object,
        control: JobControl | None = None,
        envelope: Envelope = NO_PLATFORM,
    ) -> Reply:
        """Run one job, or tell how the worker is; never raises."""
        try:
            if health.is_asked_for(job_input):
                return health.describe(
                    self._settings, self._store, self._device, self._cache, self._tally
                )
        except Exception as error:  # noqa: BLE001 - as below
            return self._refusal(error)
        with self._tally.job() as record:
            reply = self._reply(job_input, control or JobControl(), envelope, record)
            record.outcome = str(reply.get("error", "COMPLETED")).partition(":")[0]
        return reply

    def rehearse(self, job_input: object) -> Reply:
        """Run one job that does not count."""
        return self._reply(job_input, JobControl(), NO_PLATFORM, Record())

    def _reply(
        self, job_input: object, control: JobControl, envelope: Envelope, record: Record
    ) -> Reply:
        """Run one job; what its stages took goes into the record."""
        try:
            request = parse(job_input)
            if request.timeout_s is not None:
                control.limit(request.timeout_s)
            delivery = Delivery(request, envelope.id, envelope.s3_config, self._settings, control)
            delivery.check()
            outcomes = self._work(request, control, delivery.account)
            replies = [o if isinstance(o, dict) else self._refusal(o) for o in outcomes]
            for each in replies:
                record.add(each.get("timings", {}))
            reply = replies[0]
            if isinstance(job_input, dict) and isinstance(job_input["audio"], list):
                reply = _listed(request, replies)
            reply = delivery.deliver(reply)
            record.num_bytes = delivery.num_bytes
        except Exception as error:  # noqa: BLE001 - the worker answers, whatever happened
            outcomes, reply = [error], self._refusal(error)
        if self._faults.is_lost(outcomes):
            logger.error("the device fails one job after the other: the worker is to be replaced")
            reply["refresh_worker"] = True
        return reply

    def _work(
        self, request: JobRequest, control: JobControl, account: Account | None
    ) -> list[Reply | Exception]:
        """Run the job; its models are held no longer than this takes."""
        memory = self._cache.memory
        with self._planner.plan(request, control) as plan:
            job = Job(request, plan, self._settings, memory, self._occupied, control, account)
            return job.run()

    def _refusal(self, error: Exception) -> Reply:
        """What a failed job, or one recording of it, is answered."""
        # What has a class is what that says: of a damaged file, FFmpeg asks for absurd amounts.
        if not isinstance(error, WorkerError) and is_out_of_memory(error):
            logger.warning("memory ran out", exc_info=error)
            self._cache.release_idle()
            error = self._cache.memory.lack("The job", error)
        if isinstance(error, WorkerError):
            logger.warning("%s", error.reply)
            return {"error": error.reply}
        reference = secrets.token_hex(6)
        logger.error("internal error %s", reference, exc_info=error)
        return {"error": describe_internal(reference)}


def _import_in_order(names: Sequence[str]) -> None:
    for name in names:
        importlib.import_module(name)


def _listed(request: JobRequest, outcomes: Sequence[Reply]) -> Reply:
    """The answer to a list: each recording's outcome, in order."""
    return {
        "results": [
            {"id": source.id, "ok": "error" not in outcome}
            | (outcome if "error" in outcome else {"output": outcome})
            for source, outcome in zip(request.audio, outcomes, strict=True)
        ]
    }
