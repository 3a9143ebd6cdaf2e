"""What is heard in a recording: its speech, and whose it is; enrolled voices before the others."""

from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from math import floor

import numpy as np
from numpy.typing import NDArray

from worker.control import Exclusive, JobControl
from worker.diarization.clustering import SpeakerBounds, normalise
from worker.diarization.enrollment import Voice
from worker.diarization.pipeline import NOBODY, Diarization, DiarizationOptions
from worker.errors import InvalidInputError, WorkerError
from worker.memory import Memory
from worker.naming import quote_name
from worker.planning import Plan
from worker.recordings import Recording, read_ahead
from worker.s3_account import Account
from worker.segments import Segment
from worker.settings import Settings
from worker.sources import EnrolledVoice
from worker.workspace import workspace

MIN_ENROLLED_S = 3.0
"""Speech of a voice that is enough to know it by; docs/diarization.md has the error rates."""

Heard = tuple[Diarization, list[Segment]]


class Listener:
    """Listens to the recordings of one job.

    Parameters
    ----------
    occupied : held while the device computes.
    """

    def __init__(
        self, plan: Plan, memory: Memory, occupied: Exclusive, control: JobControl
    ) -> None:
        self._plan = plan
        self._memory = memory
        self._occupied = occupied
        self._control = control

    def __call__(self, recording: Recording, options: DiarizationOptions) -> Heard:
        """Find the speech of a recording, and whose it is where the job asks for it."""
        plan, control = self._plan, self._control
        waveform, stopwatch = recording.audio.waveform, recording.stopwatch
        with ExitStack() as held:
            with stopwatch.stage("wait"):
                held.enter_context(self._occupied)
            with stopwatch.stage("vad"):
                segments = self._memory.attempt(
                    "vad", lambda _: plan.vad(waveform, plan.vad_options, control)
                )
            if plan.diarizer is None:
                return NOBODY, segments
            return plan.diarizer(waveform, segments, options, stopwatch, control), segments

    def enrol(
        self, voices: Sequence[EnrolledVoice], settings: Settings, account: Account | None
    ) -> tuple[tuple[Voice, ...], float]:
        """Describe each voice by an embedding, in order; audio goes the way of any recording.

        Returns
        -------
        The voices, and the seconds that were spent on them, without waiting for the device.

        Raises
        ------
        InvalidInputError
            There is too little speech of a voice.
        WorkerError
            Its audio cannot be read: as of a recording, but it is named.
        """
        found = {
            voice.name: np.array(voice.embedding.values) for voice in voices if voice.embedding
        }
        sources = {voice.name: voice.audio for voice in voices if voice.audio}
        spent_s = 0.0
        with (
            workspace() as folder,
            closing(
                read_ahead([*sources.values()], folder, settings, self._control, account)
            ) as recordings,
        ):
            watched = self._control.watch("enrollment", recordings, len(sources))
            for name, recording in zip(sources, watched, strict=True):
                if isinstance(recording, WorkerError):
                    message = f"speakers: {quote_name(name)}: {recording}"
                    raise type(recording)(message) from recording
                if isinstance(recording, Exception):
                    raise recording
                with closing(recording):
                    found[name] = self._embedding(name, recording)
                seconds = recording.stopwatch.seconds
                spent_s += sum(seconds.values()) - seconds["wait"]
        embeddings = normalise(np.stack([found[voice.name] for voice in voices]))
        known = (Voice(voice.name, unit) for voice, unit in zip(voices, embeddings, strict=True))
        return tuple(known), spent_s

    def _embedding(self, name: str, recording: Recording) -> NDArray[np.floating]:
        """Embed one voice: what a recording with one speaker has."""
        options = replace(self._plan.diarization, speakers=SpeakerBounds(1, 1))
        diarization, _ = self(recording, options)
        speech_s = sum(turn.duration for turn in diarization.turns)
        if speech_s < MIN_ENROLLED_S:
            rounded = floor(speech_s * 100) / 100  # never up to what is needed
            raise InvalidInputError(
                f"speakers: {quote_name(name)}: its audio holds {rounded:g} s of speech; at "
                f"least {MIN_ENROLLED_S:g} s are needed to know a voice by. Send a longer "
                "recording of this voice alone."
            )
        voice: NDArray[np.floating] = diarization.voices[0]
        return voice
