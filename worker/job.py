"""The recordings of one job: read, listened to, recognised in common batches, answered."""

import logging
import tempfile
import threading
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from worker import replies
from worker.control import Exclusive, JobControl
from worker.device import Device
from worker.errors import CancelledError
from worker.planning import Plan
from worker.recordings import Recording, read_ahead
from worker.replies import Reply
from worker.schema import JobRequest
from worker.segments import Segment, Turn, Utterance
from worker.settings import Settings
from worker.transcription import punctuation
from worker.transcription.transcriber import Engine, Transcriber, Transcript
from worker.transcription.utterances import build

logger = logging.getLogger(__name__)

MAX_WAITING_S = 7200.0
"""Audio whose last segments wait for a full pool: 460 MB on the disk. What has little speech would
otherwise wait for the end of the list."""


@dataclass(frozen=True, slots=True)
class Work:
    """A recording and what is known of it."""

    index: int
    recording: Recording
    turns: list[Turn]
    transcript: Transcript | None

    @property
    def is_complete(self) -> bool:
        return self.transcript is None or self.transcript.pending == 0


class Job:
    """One job, with the models of its plan.

    Parameters
    ----------
    occupied : held by the job that computes on the device.
    """

    def __init__(
        self,
        request: JobRequest,
        plan: Plan,
        settings: Settings,
        device: Device,
        occupied: threading.Lock,
        control: JobControl,
    ) -> None:
        self._request = request
        self._plan = plan
        self._settings = settings
        self._control = control
        self._occupied = Exclusive(occupied, control)
        self._waiting: list[Work] = []
        self._outcomes: list[Reply | Exception] = [
            RuntimeError("the recording was never answered") for _ in request.audio
        ]
        self._transcriber: Transcriber | None = None
        if recognition := plan.recognition:
            engine = Engine(recognition.recogniser, recognition.options, device, self._occupied)
            self._transcriber = Transcriber(engine, control, len(request.audio))

    def run(self) -> list[Reply | Exception]:
        """Work on each recording.

        Returns
        -------
        For each recording, in order, its result, or what it failed of.

        Raises
        ------
        CancelledError
            The job was cancelled.
        """
        with (
            tempfile.TemporaryDirectory(prefix="speech-job-") as folder,
            ExitStack() as opened,
            closing(
                read_ahead(self._request.audio, Path(folder), self._settings, self._control)
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
            turns, segments = self._listen(recording)
        except CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this recording's
            recording.close()
            self._outcomes[index] = error
            return
        # Recognises what was gathered of any recording: what fails here is the job's.
        waveform = recording.audio.waveform
        transcript = self._transcriber.add(waveform, segments) if self._transcriber else None
        self._waiting.append(Work(index, recording, turns, transcript))

    def _listen(self, recording: Recording) -> tuple[list[Turn], list[Segment]]:
        """Find the speech of a recording, and whose it is where the job asks for it."""
        plan, control = self._plan, self._control
        waveform, stopwatch = recording.audio.waveform, recording.stopwatch
        with ExitStack() as held:
            with stopwatch.stage("wait"):
                held.enter_context(self._occupied)
            with stopwatch.stage("vad"):
                segments = plan.vad(waveform, plan.vad_options, control)
            if plan.diarizer is None:
                return [], segments
            return (
                plan.diarizer(waveform, segments, plan.diarization, stopwatch, control),
                segments,
            )

    def _conclude(self) -> None:
        """Answer for the recordings whose last segment was recognised; their disk space goes."""
        complete = [work for work in self._waiting if work.is_complete]
        self._waiting = [work for work in self._waiting if not work.is_complete]
        for work in complete:
            try:
                self._outcomes[work.index] = self._reply(work)
            except CancelledError:
                raise
            except Exception as error:  # noqa: BLE001 - as above
                self._outcomes[work.index] = error
            finally:
                work.recording.close()

    def _reply(self, work: Work) -> Reply:
        utterances = self._utterances(work)
        recording = work.recording
        logger.info(
            "%s: %.1f s of audio, %d turns, %d utterances, in %.2f s",
            self._request.task,
            recording.audio.duration,
            len(work.turns),
            len(utterances),
            recording.stopwatch.total,
        )
        return replies.build(
            self._request, self._plan, recording, work.turns, utterances, self._control
        )

    def _utterances(self, work: Work) -> list[Utterance]:
        """Punctuate what was said, and give it to the speakers."""
        transcript, recognition = work.transcript, self._plan.recognition
        if transcript is None or recognition is None:
            return []
        stopwatch = work.recording.stopwatch
        stopwatch.seconds["wait"] += transcript.waited_s
        stopwatch.seconds["asr"] = transcript.seconds
        spoken = transcript.in_order()
        if recognition.punctuator:
            with stopwatch.stage("punctuation"):
                spoken = punctuation.restore(
                    spoken, recognition.punctuator, self._control, self._occupied
                )
        utterances = build(spoken, work.turns if self._plan.diarizer else None)
        # Only now: who said what goes by the punctuation, too.
        return punctuation.remove(utterances) if recognition.bare else utterances
