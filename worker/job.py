"""The recordings of one job: read, listened to, recognised in common batches, answered."""

import logging
import threading
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

from worker import replies
from worker.control import Exclusive, JobControl
from worker.diarization.enrollment import alike
from worker.diarization.pipeline import Diarization
from worker.errors import JobEndedError
from worker.faults import is_device_fault
from worker.listening import Listener
from worker.memory import Memory
from worker.naming import quote_name
from worker.planning import Plan
from worker.recordings import Recording, read_ahead
from worker.replies import Reply
from worker.report import speech
from worker.report.speech import Sound
from worker.s3_account import Account
from worker.schema import JobRequest
from worker.segments import Turn, Utterance
from worker.settings import Settings
from worker.telemetry import Stopwatch
from worker.transcription import punctuation
from worker.transcription.spoken import Spoken
from worker.transcription.transcriber import (
    POOL_S,
    STREAM_POOL_S,
    Engine,
    Transcriber,
    Transcript,
)
from worker.transcription.utterances import build
from worker.workspace import workspace

logger = logging.getLogger(__name__)

MAX_ALIKE = 5
"""Pairs of voices that sound alike which the notes name; a hundred voices have 4,950 pairs."""
MAX_WAITING_S = 7200.0
"""Audio whose last segments wait for a full pool: 460 MB on the disk. What has little speech would
otherwise wait for the end of the list."""


@dataclass(frozen=True, slots=True)
class Work:
    """A recording and what is known of it."""

    index: int
    recording: Recording
    diarization: Diarization
    transcript: Transcript | None

    @property
    def is_complete(self) -> bool:
        return self.transcript is None or self.transcript.pending == 0


class Job:
    """One job, with the models of its plan.

    Parameters
    ----------
    occupied : held by the job that computes on the device.
    account : for audio of ``s3://``.
    """

    def __init__(
        self,
        request: JobRequest,
        plan: Plan,
        settings: Settings,
        memory: Memory,
        occupied: threading.Lock,
        control: JobControl,
        account: Account | None = None,
    ) -> None:
        self._request = request
        self._account = account
        self._plan = plan
        self._settings = settings
        self._memory = memory
        self._control = control
        self._occupied = Exclusive(occupied, control)
        self._listener = Listener(plan, memory, self._occupied, control)
        self._options = plan.diarization
        self._untold_s: dict[str, float] = {}
        self._waiting: list[Work] = []
        self._outcomes: list[Reply | Exception] = [RuntimeError("left out") for _ in request.audio]
        self._transcriber: Transcriber | None = None
        if recognition := plan.recognition:
            engine = Engine(recognition.recogniser, recognition.options, memory, self._occupied)
            pool_s = STREAM_POOL_S if request.stream else POOL_S
            self._transcriber = Transcriber(engine, control, len(request.audio), pool_s)

    def run(self) -> list[Reply | Exception]:
        """Work on each recording.

        Returns
        -------
        For each recording, in order, its result, or what it failed of.

        Raises
        ------
        CancelledError
            The job was cancelled.
        WorkerError
            A voice that the job names cannot be known.
        """
        self._enrol()
        with (
            workspace() as folder,
            ExitStack() as opened,
            closing(
                read_ahead(
                    self._request.audio, folder, self._settings, self._control, self._account
                )
            ) as recordings,
        ):
            for index, recording in enumerate(recordings):
                if isinstance(recording, Exception):
                    self._outcomes[index] = recording
                    continue
                opened.callback(recording.close)
                self._take(index, recording)
                waiting_s = sum(work.recording.audio.duration for work in self._waiting)
                if self._transcriber and waiting_s > MAX_WAITING_S:
                    self._transcriber.finish()
                self._conclude()
            if self._transcriber:
                self._transcriber.finish()
            self._conclude()
        return self._outcomes

    def _take(self, index: int, recording: Recording) -> None:
        """Listen to a recording; if that fails, the others go on."""
        try:
            diarization, segments = self._listener(recording, self._options)
        except JobEndedError:
            raise
        except Exception as error:
            if is_device_fault(error):
                raise
            # Whatever else it is, it is this recording's.
            recording.close()
            self._outcomes[index] = error
            return
        recording.stopwatch.seconds |= self._untold_s
        self._untold_s = {}
        if self._plan.diarizer:
            self._publish(index, turns=replies.describe_turns(diarization))
        transcript = None
        if self._transcriber:
            heard = partial(self._heard, index, recording.stopwatch, diarization)
            # Recognises what was gathered of any recording: what fails here is the job's.
            transcript = self._transcriber.add(
                recording.audio.waveform, segments, heard if self._request.stream else None
            )
        self._waiting.append(Work(index, recording, diarization, transcript))

    def _enrol(self) -> None:
        """Learn the voices that the job names; the first recording tells the time it took."""
        if not self._request.speakers:
            return
        voices, spent_s = self._listener.enrol(
            self._request.speakers, self._settings, self._account
        )
        self._options = replace(self._options, voices=voices)
        self._untold_s = {"enrollment": spent_s}
        pairs = alike(voices)
        notes = [
            f"speakers: {quote_name(first)} and {quote_name(second)} sound like one person "
            f"({score:.2f}); whom they fit gets the name of the more alike"
            for (first, second), score in islice(pairs.items(), MAX_ALIKE)
        ]
        if len(pairs) > MAX_ALIKE:
            notes.append(f"speakers: {len(pairs) - MAX_ALIKE} more pairs sound like one person")
        self._plan = replace(self._plan, notes=(*self._plan.notes, *notes))

    def _heard(
        self,
        index: int,
        stopwatch: Stopwatch,
        diarization: Diarization,
        spoken: Sequence[Spoken],
    ) -> None:
        """Publish what was recognised of a recording while the rest of it is to come."""
        try:
            utterances = self._utterances(spoken, diarization.turns, stopwatch)
        except JobEndedError:
            raise
        except Exception as error:
            if is_device_fault(error):
                raise
            # The pool is of several recordings; this one's own result will say what is wrong.
            logger.warning("a part of recording %d is not published", index, exc_info=True)
            return
        described = replies.describe_segments(self._request, diarization, utterances)
        self._publish(index, segments=described)

    def _publish(self, index: int, **part: list[Reply]) -> None:
        """Tell a caller who reads along."""
        if self._request.stream:
            audio = {"id": self._request.audio[index].id, "index": index}
            self._control.publish({"audio": audio, **part})

    def _conclude(self) -> None:
        """Answer for the recordings whose last segment was recognised; their disk space goes."""
        complete = [work for work in self._waiting if work.is_complete]
        self._waiting = [work for work in self._waiting if not work.is_complete]
        for work in complete:
            try:
                self._outcomes[work.index] = self._reply(work)
            except JobEndedError:
                raise
            except Exception as error:  # noqa: BLE001 - as above
                self._outcomes[work.index] = error
            finally:
                work.recording.close()

    def _reply(self, work: Work) -> Reply:
        utterances = self._said(work)
        recording = work.recording
        logger.info(
            "%s: %.1f s of audio, %d turns, %d utterances, in %.2f s",
            self._request.task,
            recording.audio.duration,
            len(work.diarization.turns),
            len(utterances),
            recording.stopwatch.total,
        )
        reply = replies.build(
            self._request,
            self._plan,
            recording,
            work.diarization,
            utterances,
            self._sound(recording),
            self._control,
        )
        # The models were loaded once, so one recording tells the time: the sums are of the list.
        self._plan = replace(self._plan, load_s=0.0)
        return reply

    def _sound(self, recording: Recording) -> Sound | None:
        """What the report of a recording plays and draws, where the job asks for one."""
        if "html" not in self._request.formats:
            return None
        max_mb = self._settings.report_audio_mb
        if self._request.output is None:  # one answer has to hold all of them
            max_mb /= len(self._request.audio)
        with recording.stopwatch.stage("report"):
            return speech.prepare(recording.audio.waveform, max_mb, self._control)

    def _said(self, work: Work) -> list[Utterance]:
        """All that was said in a recording."""
        if work.transcript is None:
            return []
        stopwatch = work.recording.stopwatch
        stopwatch.seconds["wait"] += work.transcript.waited_s
        stopwatch.seconds["asr"] = work.transcript.seconds
        return self._utterances(work.transcript.in_order(), work.diarization.turns, stopwatch)

    def _utterances(
        self, spoken: Sequence[Spoken], turns: Sequence[Turn], stopwatch: Stopwatch
    ) -> list[Utterance]:
        """Punctuate what was said, and give it to the speakers."""
        recognition = self._plan.recognition
        if recognition is None:
            return []
        if punctuator := recognition.punctuator:
            bare, control, occupied = spoken, self._control, self._occupied
            with stopwatch.stage("punctuation"):
                spoken = self._memory.attempt(
                    "punctuation",
                    lambda _: punctuation.restore(bare, punctuator, control, occupied),
                )
        utterances = build(spoken, turns if self._plan.diarizer else None)
        # Only now: who said what goes by the punctuation, too.
        return punctuation.remove(utterances) if recognition.bare else utterances
