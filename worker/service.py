"""One job from request to reply: validated, planned, worked on, answered.

Errors become replies here and nowhere else.
"""

import importlib
import logging
import secrets
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from worker.control import JobControl
from worker.device import Device
from worker.errors import ModelNotProvisionedError, WorkerError
from worker.job import Job
from worker.model_cache import ModelCache
from worker.model_store import ModelStore
from worker.planning import Planner
from worker.replies import Reply
from worker.schema import parse
from worker.settings import Settings

logger = logging.getLogger(__name__)

FIRST_JOB_IMPORTS = ("av", "kaldi_native_fbank", "scipy.cluster.hierarchy")


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
        self._planner = Planner(store, ModelCache(store, device))
        self._occupied = threading.Lock()

    def preload(self) -> None:
        """Load the default models, and import what the first job would import.

        What is missing is only logged: the worker starts, each job says what to do, and a
        volume that is repaired meanwhile serves the next one.
        """
        with ThreadPoolExecutor(3) as pool:
            imports = pool.map(importlib.import_module, FIRST_JOB_IMPORTS)
            try:
                tasks = ["diarization", "asr"] if self._planner.defaults().asr else ["diarization"]
                for _ in pool.map(self._load, tasks):
                    pass
            except ModelNotProvisionedError as error:
                logger.error("%s", error.reply)  # noqa: TRY400 - the message says all
            list(imports)  # raises what failed

    def _load(self, task: str) -> None:
        self._planner.plan(parse({"task": task, "audio": "volume://none"}))

    def answer(
        self,
        job_input: object,
        control: JobControl | None = None,
        envelope: Envelope = NO_PLATFORM,  # noqa: ARG002 - the delivery is still to come
    ) -> Reply:
        """Run one job; never raises."""
        try:
            request = parse(job_input)
            plan = self._planner.plan(request)
            job = Job(
                request,
                plan,
                self._settings,
                self._device,
                self._occupied,
                control or JobControl(),
            )
            outcomes = [o if isinstance(o, dict) else self._refusal(o) for o in job.run()]
        except Exception as error:  # noqa: BLE001 - the worker answers, whatever happened
            return self._refusal(error)
        if not isinstance(job_input, dict) or not isinstance(job_input["audio"], list):
            return outcomes[0]
        return {
            "results": [
                {"id": source.id, "ok": "error" not in outcome}
                | (outcome if "error" in outcome else {"output": outcome})
                for source, outcome in zip(request.audio, outcomes, strict=True)
            ]
        }

    def _refusal(self, error: Exception) -> Reply:
        """What a failed job, or one recording of it, is answered."""
        if isinstance(error, WorkerError):
            logger.warning("%s", error.reply)
            return {"error": error.reply}
        reference = secrets.token_hex(6)
        logger.error("internal error %s", reference, exc_info=error)
        return {
            "error": f"INTERNAL: the worker failed on this job, reference {reference}; the "
            "worker's log has the details under it. Try again; if it stays, report it."
        }
