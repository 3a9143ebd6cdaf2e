"""One job from request to reply: validate, fetch, decode, diarize, format.

Errors become replies here and nowhere else.
"""

import importlib
import logging
import secrets
import tempfile
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from volume_bootstrap.layout import ModelRecord
from worker import audio, formats
from worker.diarization.clustering import SpeakerBounds
from worker.diarization.pipeline import DiarizationOptions, Diarizer
from worker.engines.embedding import SpeakerEmbedding
from worker.engines.vad import FsmnVad, VadOptions
from worker.errors import InvalidInputError, ModelNotProvisionedError, WorkerError
from worker.fetch import fetch
from worker.model_cache import ModelCache
from worker.model_store import ModelStore
from worker.naming import name_of
from worker.schema import DiarizationDefaults, JobRequest, parse
from worker.segments import Turn
from worker.settings import Settings
from worker.telemetry import Stopwatch

logger = logging.getLogger(__name__)

Reply = dict[str, Any]

FIRST_JOB_IMPORTS = ("av", "kaldi_native_fbank", "scipy.cluster.hierarchy")


class Service:
    """Answers jobs with the models of one project."""

    def __init__(self, settings: Settings, store: ModelStore, cache: ModelCache) -> None:
        self._settings = settings
        self._store = store
        self._cache = cache
        self._device = threading.Lock()

    def preload(self) -> None:
        """Load the default models, and import what the first job would import.

        What is missing is only logged: the worker starts, each job says what to do, and a
        volume that is repaired meanwhile serves the next one.
        """
        with ThreadPoolExecutor(1) as importer:
            imports = importer.map(importlib.import_module, FIRST_JOB_IMPORTS)
            try:
                self._diarizer(self._defaults(), None)
            except ModelNotProvisionedError as error:
                logger.error("%s", error.reply)  # noqa: TRY400 - the message says all
            list(imports)  # raises what failed

    def answer(self, job_input: object) -> Reply:
        """Run one job; never raises."""
        try:
            return self._run(parse(job_input))
        except WorkerError as error:
            logger.warning("%s", error.reply)
            return {"error": error.reply}
        except Exception:
            reference = secrets.token_hex(6)
            logger.exception("internal error %s", reference)
            return {
                "error": f"INTERNAL: the worker failed on this job, reference {reference}; the "
                "worker's log has the details under it. Try again; if it stays, report it."
            }

    def _run(self, request: JobRequest) -> Reply:
        stopwatch = Stopwatch()
        # The options and models come first: nothing is fetched for a job that cannot run.
        defaults = self._defaults()
        options = _options(request, defaults)
        with stopwatch.stage("load"):
            diarizer, models = self._diarizer(defaults, request.model)

        with tempfile.TemporaryDirectory(prefix="speech-job-") as folder:
            with stopwatch.stage("fetch"):
                path = fetch(request.audio.url, Path(folder), self._settings)
            with stopwatch.stage("decode"):
                recording = audio.decode(
                    path,
                    max_seconds=self._settings.max_audio_s,
                    offset=request.audio.offset,
                    duration=request.audio.duration,
                )
        with stopwatch.stage("wait"):
            self._device.acquire()
        try:
            turns = diarizer(recording.waveform, options, stopwatch)
        finally:
            self._device.release()
        logger.info(
            "%s: %.1f s of audio, %d turns, in %.2f s",
            request.task,
            recording.duration,
            len(turns),
            stopwatch.total,
        )
        return _result(request, recording, turns, models, stopwatch)

    def _defaults(self) -> DiarizationDefaults:
        defaults = self._store.manifest().defaults
        try:
            return DiarizationDefaults.model_validate(defaults["diarization"])
        except (KeyError, TypeError, ValidationError) as error:
            raise ModelNotProvisionedError(
                f"the manifest's defaults for diarization are damaged. {self._store.remedy}"
            ) from error

    def _diarizer(
        self, defaults: DiarizationDefaults, wanted: str | None
    ) -> tuple[Diarizer, dict[str, ModelRecord]]:
        vad = self._store.find("vad", defaults.models.vad)
        embedding = self._store.find("embedding", defaults.models.embedding, wanted)
        diarizer = Diarizer(
            FsmnVad(self._cache.session(vad)), SpeakerEmbedding(self._cache.session(embedding))
        )
        return diarizer, {"vad": vad, "embedding": embedding}


def _options(request: JobRequest, defaults: DiarizationDefaults) -> DiarizationOptions:
    """What the job asks for, and what the project says where it does not."""
    vad = {
        **defaults.vad.model_dump(exclude_none=True),
        **request.vad.model_dump(exclude_none=True),
    }
    diarization = {
        **defaults.diarization.model_dump(exclude_none=True),
        **request.diarization.model_dump(exclude_none=True),
    }
    speakers = SpeakerBounds(
        minimum=request.num_speakers or request.min_speakers or 1,
        maximum=request.num_speakers or request.max_speakers,
    )
    options = DiarizationOptions(vad=VadOptions(**vad), speakers=speakers, **diarization)
    if options.shift_s > options.window_s:
        raise InvalidInputError(
            f"diarization.shift_s: {options.shift_s} is larger than window_s "
            f"({options.window_s}), which would leave speech out; choose a smaller shift."
        )
    return options


def _result(
    request: JobRequest,
    recording: audio.Audio,
    turns: Sequence[Turn],
    models: Mapping[str, ModelRecord],
    stopwatch: Stopwatch,
) -> Reply:
    """Build the reply: plain values only, so that it always serialises."""
    by_speaker: dict[str, list[Turn]] = {}
    for turn in turns:
        by_speaker.setdefault(turn.label, []).append(turn)
    timings = {**stopwatch.seconds, "total": stopwatch.total}
    if recording.duration:
        worked = stopwatch.total - stopwatch.seconds["wait"]
        timings["rtf"] = worked / recording.duration
    result: Reply = {
        "task": request.task,
        "audio": {
            "id": request.audio.id,
            "duration": round(recording.duration, 3),
            "sample_rate": recording.sample_rate,
            "channels": recording.channels,
            "codec": recording.codec,
        },
        "speakers": [
            {
                "speaker": label,
                "duration": round(sum(t.duration for t in own), 3),
                "turns": len(own),
            }
            for label, own in by_speaker.items()
        ],
        "turns": [{"start": t.start, "end": t.end, "speaker": t.label} for t in turns],
        "models": {role: record.reference for role, record in models.items()},
        "timings": {stage: round(seconds, 4) for stage, seconds in timings.items()},
    }
    name = request.audio.id or name_of(request.audio.url)
    if files := formats.render(request.formats, turns, name):
        result["files"] = files
    return result
