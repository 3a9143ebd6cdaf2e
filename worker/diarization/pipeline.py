"""Waveform and its speech segments -> turns: windows, embeddings, clusters, turns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from worker.control import JobControl
from worker.diarization.clustering import (
    MERGE_SIMILARITY,
    SpeakerBounds,
    find_centroids,
    normalise,
    settle,
)
from worker.diarization.enrollment import Identity, Voice, find_voices, identify
from worker.diarization.overlap import join_speech
from worker.diarization.turns import build
from worker.diarization.windows import slide
from worker.engines.embedding import BATCH_WINDOWS, DIM, SpeakerEmbedding
from worker.engines.segmentation import BATCH_WINDOWS as SEGMENTATION_WINDOWS
from worker.engines.segmentation import Activity, Segmentation
from worker.memory import Memory
from worker.segments import Segment, Turn
from worker.telemetry import Stopwatch
from worker.waveform import Samples

Embeddings = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class DiarizationOptions:
    """How a recording is diarized.

    window_s, shift_s : length of a window, and the step from one to the next, in seconds.
    merge_threshold : cosine of two centroids above which they are one speaker.
    voices : that speakers are compared with.
    """

    window_s: float = 1.5
    shift_s: float = 0.75
    merge_threshold: float = MERGE_SIMILARITY
    speakers: SpeakerBounds = field(default_factory=SpeakerBounds)
    voices: tuple[Voice, ...] = ()


@dataclass(frozen=True, slots=True)
class Diarization:
    """Who spoke when, and who they are.

    turns : in order
    voices : (num_speakers, dim) of unit length, by the speaker's number
    identities : of the speakers who are known, by their number
    """

    turns: Sequence[Turn]
    voices: NDArray[np.floating]
    identities: Mapping[int, Identity]


NOBODY = Diarization((), np.empty((0, DIM)), {})
"""Where there is no speech, or nobody asked."""


class Diarizer:
    """Tells who speaks in the speech segments of a recording, by a speaker embedding.

    Parameters
    ----------
    memory : where it runs out, each stage is tried again by itself.
    segmentation : finds speech that the VAD missed, and moments with two voices; without it turns
        do not overlap.
    """

    def __init__(
        self,
        embedding: SpeakerEmbedding,
        memory: Memory,
        segmentation: Segmentation | None = None,
    ) -> None:
        self._embedding = embedding
        self._memory = memory
        self._segmentation = segmentation

    def __call__(
        self,
        waveform: Samples,
        segments: Sequence[Segment],
        options: DiarizationOptions,
        stopwatch: Stopwatch,
        control: JobControl,
    ) -> Diarization:
        """Find the turns of a recording, and whose they are.

        Parameters
        ----------
        waveform : (num_samples,) float32, 16 kHz, in [-1, 1]
        segments : of speech, in order, as the VAD finds them
        stopwatch, control : get the stages ``overlap``, ``embedding`` and ``clustering``.

        Returns
        -------
        `NOBODY` where there is no speech.

        Raises
        ------
        CancelledError
            The job was cancelled.
        OutOfMemoryError
            A stage does not fit, in the smallest batches either.
        """
        activity = self._hear(waveform, stopwatch, control)
        if activity is not None:
            segments = join_speech(segments, activity)
        if not segments:
            return NOBODY
        windows = slide(segments, options.window_s, options.shift_s)

        def embed(parts: int) -> Embeddings:
            batch_windows = max(1, BATCH_WINDOWS // parts)
            return self._embedding(waveform, windows, options.window_s, control, batch_windows)

        def cluster(_: int) -> Diarization:
            control.update("clustering", 0.0)
            unit = normalise(embeddings)
            # (num_speakers, dim)
            centroids = find_centroids(
                unit, options.speakers, options.merge_threshold, control.check
            )
            control.update("clustering", 0.5)
            # (num_windows, num_speakers)
            similarity = settle(unit, centroids)
            control.check()
            turns = build(segments, windows, similarity, control.check, activity)
            voices = find_voices(unit, windows, turns)
            return Diarization(turns, voices, identify(voices, options.voices))

        with stopwatch.stage("embedding"):
            embeddings = self._memory.attempt("embedding", embed)  # (num_windows, dim)
        with stopwatch.stage("clustering"):
            return self._memory.attempt("clustering", cluster)

    def _hear(
        self, waveform: Samples, stopwatch: Stopwatch, control: JobControl
    ) -> Activity | None:
        """Hear who of a few is speaking, without knowing who that is: (num_frames, 7)."""
        segmentation = self._segmentation
        if segmentation is None:
            return None
        with stopwatch.stage("overlap"):
            return self._memory.attempt(
                "overlap",
                lambda parts: segmentation(
                    waveform, control, max(1, SEGMENTATION_WINDOWS // parts)
                ),
            )
