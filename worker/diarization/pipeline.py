"""Waveform and its speech segments -> turns: windows, embeddings, clusters, turns."""

from collections.abc import Sequence
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
from worker.diarization.turns import build
from worker.diarization.windows import slide
from worker.engines.embedding import BATCH_WINDOWS, SpeakerEmbedding
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
    """

    window_s: float = 1.5
    shift_s: float = 0.75
    merge_threshold: float = MERGE_SIMILARITY
    speakers: SpeakerBounds = field(default_factory=SpeakerBounds)


class Diarizer:
    """Tells who speaks in the speech segments of a recording, by a speaker embedding.

    Parameters
    ----------
    memory : where it runs out, each stage is tried again by itself.
    """

    def __init__(self, embedding: SpeakerEmbedding, memory: Memory) -> None:
        self._embedding = embedding
        self._memory = memory

    def __call__(
        self,
        waveform: Samples,
        segments: Sequence[Segment],
        options: DiarizationOptions,
        stopwatch: Stopwatch,
        control: JobControl,
    ) -> list[Turn]:
        """Find the turns of a recording.

        Parameters
        ----------
        waveform : (num_samples,) float32, 16 kHz, in [-1, 1]
        segments : of speech, in order, as the VAD finds them
        stopwatch, control : get the stages ``embedding`` and ``clustering``.

        Returns
        -------
        Turns in order; none where there is no speech.

        Raises
        ------
        CancelledError
            The job was cancelled.
        OutOfMemoryError
            A stage does not fit, in the smallest batches either.
        """
        if not segments:
            return []
        windows = slide(segments, options.window_s, options.shift_s)

        def embed(parts: int) -> Embeddings:
            batch_windows = max(1, BATCH_WINDOWS // parts)
            return self._embedding(waveform, windows, options.window_s, control, batch_windows)

        def cluster(_: int) -> list[Turn]:
            control.update("clustering", 0.0)
            unit = normalise(embeddings)
            # (num_speakers, dim): about a second's work at most, however long the recording
            centroids = find_centroids(unit, options.speakers, options.merge_threshold)
            control.update("clustering", 0.5)
            # (num_windows, num_speakers)
            similarity = settle(unit, centroids)
            control.check()
            return build(segments, windows, similarity)

        with stopwatch.stage("embedding"):
            embeddings = self._memory.attempt("embedding", embed)  # (num_windows, dim)
        with stopwatch.stage("clustering"):
            return self._memory.attempt("clustering", cluster)
