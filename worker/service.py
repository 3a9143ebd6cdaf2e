"""One job from request to reply: validate, fetch, decode, diarize, recognise, format.

Errors become replies here and nowhere else.
"""

import importlib
import logging
import secrets
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from worker import replies
from worker.control import JobControl
from worker.device import Device
from worker.errors import CancelledError, ModelNotProvisionedError, WorkerError
from worker.model_cache import ModelCache
from worker.model_store import ModelStore
from worker.planning import Plan, Planner
from worker.recordings import Recording, read_ahead
from worker.replies import Reply as Reply
from worker.schema import JobRequest, parse
from worker.segments import Segment, Turn, Utterance
from worker.settings import Settings
from worker.transcription import punctuation
from worker.transcription.transcriber import Engine, Transcriber, Transcript
from worker.transcription.utterances import build

logger = logging.getLogger(__name__)

FIRST_JOB_IMPORTS = ("av", "kaldi_native_fbank", "scipy.cluster.hierarchy")


@dataclass(frozen=True, slots=True)
class _Work:
    """A recording and what is known of it."""

    recording: Recording
    turns: list[Turn]
    transcript: Transcript | None

    @property
    def is_complete(self) -> bool:
        return self.transcript is None or self.transcript.pending == 0


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

    def answer(self, job_input: object, control: JobControl | None = None) -> Reply:
        """Run one job; never raises."""
        try:
            request = parse(job_input)
            outcomes = self._run(request, control or JobControl())
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

    def _run(self, request: JobRequest, control: JobControl) -> list[Reply]:
        """Answer for each recording of the job, in order."""
        plan = self._planner.plan(request)
        transcriber = None
        if plan.recognition:
            engine = Engine(
                plan.recognition.recogniser,
                plan.recognition.options,
                self._device,
                self._occupied,
            )
            transcriber = Transcriber(engine, control, len(request.audio))
        outcomes: list[Reply] = [{} for _ in request.audio]
        waiting: dict[int, _Work] = {}

        def conclude() -> None:
            """Answer for the recordings whose last segment was recognised."""
            for index in [i for i, work in waiting.items() if work.is_complete]:
                outcomes[index] = self._outcome(request, plan, waiting.pop(index), control)

        with (
            tempfile.TemporaryDirectory(prefix="speech-job-") as folder,
            ExitStack() as opened,
            closing(read_ahead(request.audio, Path(folder), self._settings, control)) as recordings,
        ):
            for index, recording in enumerate(recordings):
                if isinstance(recording, WorkerError):
                    outcomes[index] = self._refusal(recording)
                    continue
                opened.callback(recording.close)
                try:
                    turns, segments = self._listen(recording, plan, control)
                except CancelledError:
                    raise
                except Exception as error:  # noqa: BLE001 - the other recordings go on
                    recording.close()
                    outcomes[index] = self._refusal(error)
                    continue
                transcript = None
                if transcriber:
                    transcript = transcriber.add(recording.audio.waveform, segments)
                waiting[index] = _Work(recording, turns, transcript)
                conclude()
            if transcriber:
                transcriber.finish()
            conclude()
        return outcomes

    def _listen(
        self, recording: Recording, plan: Plan, control: JobControl
    ) -> tuple[list[Turn], list[Segment]]:
        """Find the speech of a recording, and whose it is where the job asks for it."""
        waveform, stopwatch = recording.audio.waveform, recording.stopwatch
        with stopwatch.stage("wait"):
            self._occupied.acquire()
        try:
            with stopwatch.stage("vad"):
                segments = plan.vad(waveform, plan.vad_options, control)
            if plan.diarizer is None:
                return [], segments
            return plan.diarizer(waveform, segments, plan.diarization, stopwatch, control), segments
        finally:
            self._occupied.release()

    def _outcome(self, request: JobRequest, plan: Plan, work: _Work, control: JobControl) -> Reply:
        """Answer for one recording, and give its disk space back."""
        recording = work.recording
        try:
            utterances = self._utterances(plan, work, control)
            reply = replies.build(request, plan, recording, work.turns, utterances)
        except CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - the other recordings go on
            return self._refusal(error)
        finally:
            recording.close()
        logger.info(
            "%s: %.1f s of audio, %d turns, %d utterances, in %.2f s",
            request.task,
            recording.audio.duration,
            len(work.turns),
            len(utterances),
            recording.stopwatch.total,
        )
        return reply

    def _utterances(self, plan: Plan, work: _Work, control: JobControl) -> list[Utterance]:
        """Punctuate what was said, and give it to the speakers."""
        transcript, recognition = work.transcript, plan.recognition
        if transcript is None or recognition is None:
            return []
        stopwatch = work.recording.stopwatch
        stopwatch.seconds["wait"] += transcript.waited_s
        stopwatch.seconds["asr"] = transcript.seconds
        spoken = transcript.in_order()
        if recognition.bare:
            spoken = punctuation.remove(spoken)
        elif recognition.punctuator:
            control.check()
            with stopwatch.stage("punctuation"), self._occupied:
                spoken = punctuation.restore(spoken, recognition.punctuator)
        return build(spoken, work.turns if plan.diarizer else None)

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
