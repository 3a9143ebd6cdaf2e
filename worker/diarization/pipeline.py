"""Waveform and its speech segments -> turns: windows, embeddings, clusters, turns."""

from collections.abc import Sequence
from dataclasses import dataclass, field

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
from worker.segments import Segment, Turn
from worker.telemetry import Stopwatch
from worker.waveform import Samples


@dataclass(frozen=True, slots=True)
class DiarizationOptions:
    """How a recording is diarized.

    window_s, shift_s : length of a window, and the step from one to the next, in seconds.
    merge_threshold : cosine of two centroids above which they are one speaker.
    batch_windows : windows in one run of the network; fewer take less memory.
    """

    window_s: float = 1.5
    shift_s: float = 0.75
    merge_threshold: float = MERGE_SIMILARITY
    speakers: SpeakerBounds = field(default_factory=SpeakerBounds)
    batch_windows: int = BATCH_WINDOWS


class Diarizer:
    """Tells who speaks in the speech segments of a recording, by a speaker embedding."""

    def __init__(self, embedding: SpeakerEmbedding) -> None:
        self._embedding = embedding

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
        """
        if not segments:
            return []
        with stopwatch.stage("embedding"):
            windows = slide(segments, options.window_s, options.shift_s)
            # (num_windows, dim)
            embeddings = self._embedding(
                waveform, windows, options.window_s, control, options.batch_windows
            )
        with stopwatch.stage("clustering"):
            control.update("clustering", 0.0)
            unit = normalise(embeddings)
            # (num_speakers, dim): about a second's work at most, however long the recording
            centroids = find_centroids(unit, options.speakers, options.merge_threshold)
            control.update("clustering", 0.5)
            # (num_windows, num_speakers)
            similarity = settle(unit, centroids)
            control.check()
            return build(segments, windows, similarity)
