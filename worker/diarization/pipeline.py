"""Waveform -> turns: VAD, windows, embeddings, clusters, turns."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from worker.diarization.clustering import MERGE_SIMILARITY, SpeakerBounds, cluster
from worker.diarization.turns import build
from worker.diarization.windows import slide
from worker.engines.embedding import SpeakerEmbedding
from worker.engines.vad import FsmnVad, VadOptions
from worker.segments import Turn
from worker.telemetry import Stopwatch


@dataclass(frozen=True, slots=True)
class DiarizationOptions:
    """How a recording is diarized.

    window_s, shift_s : length of a window, and the step from one to the next, in seconds.
    merge_threshold : cosine of two centroids above which they are one speaker.
    """

    vad: VadOptions = field(default_factory=VadOptions)
    window_s: float = 1.5
    shift_s: float = 0.75
    merge_threshold: float = MERGE_SIMILARITY
    speakers: SpeakerBounds = field(default_factory=SpeakerBounds)


class Diarizer:
    """A VAD and a speaker embedding, joined."""

    def __init__(self, vad: FsmnVad, embedding: SpeakerEmbedding) -> None:
        self._vad = vad
        self._embedding = embedding

    def __call__(
        self, waveform: NDArray[np.float32], options: DiarizationOptions, stopwatch: Stopwatch
    ) -> list[Turn]:
        """Find the turns of a recording.

        Parameters
        ----------
        waveform : (num_samples,) float32, 16 kHz, in [-1, 1]
        stopwatch : gets the stages vad, embedding and clustering.

        Returns
        -------
        Turns in order; none where there is no speech.
        """
        with stopwatch.stage("vad"):
            segments = self._vad(waveform, options.vad)
        if not segments:
            return []
        with stopwatch.stage("embedding"):
            windows = slide(segments, options.window_s, options.shift_s)
            # (num_windows, dim)
            embeddings = self._embedding(waveform, windows, options.window_s)
        with stopwatch.stage("clustering"):
            # (num_windows, num_speakers)
            similarity = cluster(embeddings, options.speakers, options.merge_threshold)
            return build(segments, windows, similarity)
