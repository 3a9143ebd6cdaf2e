"""CAM++: windows of a waveform -> speaker embeddings."""

from collections.abc import Iterator, Sequence
from itertools import chain, groupby, islice
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from worker.control import JobControl
from worker.engines.session import OnnxSession
from worker.features import (
    FRAME_LENGTH_SAMPLES,
    FRAME_SHIFT_SAMPLES,
    NUM_MEL_BINS,
    fbank,
    num_frames,
)
from worker.segments import Window
from worker.waveform import SAMPLE_RATE, Samples

DIM = 192
BATCH_WINDOWS = 8
"""Windows in one run of the network; more of them are no faster per window on a CPU."""
PIECE_WINDOWS = 64
"""Windows whose frames are computed at a time, to bound memory and the time between two steps; of
a speech segment of a minute, all but a few of them."""

Frames = NDArray[np.float32]
Item = TypeVar("Item")


class SpeakerEmbedding:
    """The network in an ONNX session: `frames` [N, T, 80] -> `embedding` [N, 192]."""

    def __init__(self, session: OnnxSession) -> None:
        self._session = session

    def __call__(
        self,
        waveform: Samples,
        windows: Sequence[Window],
        window_s: float,
        control: JobControl,
        batch_windows: int = BATCH_WINDOWS,
    ) -> NDArray[np.float32]:
        """Embed each window; batches run across the whole recording.

        Of the recording, no more than a piece of a speech segment is in memory at a time.

        Parameters
        ----------
        waveform : (num_samples,) float32, 16 kHz, in [-1, 1]
        windows : in order of their segments
        window_s : length that a shorter window is widened to, around its centre: a second of a
            voice with what surrounds it says more of the speaker than half a second alone.
        control : gets the stage ``embedding``, a step each batch.
        batch_windows : in one run of the network.

        Returns
        -------
        (num_windows, 192) float32, not normalised

        Raises
        ------
        CancelledError
            The job was cancelled.
        """
        embeddings = np.empty((len(windows), DIM), dtype=np.float32)
        starts = range(0, len(windows), batch_windows)
        length = num_frames(round(window_s * SAMPLE_RATE))
        centred = (f - f.mean(axis=0) for f in _windows_of_frames(waveform, windows, length))
        batches = (np.stack(batch) for batch in _batched(centred, batch_windows))
        watched = control.watch("embedding", batches, len(starts))
        for start, output in zip(starts, self._session.map(watched), strict=True):
            embeddings[start : start + batch_windows] = output
        return embeddings


def _batched(items: Iterator[Item], size: int) -> Iterator[list[Item]]:
    while batch := list(islice(items, size)):
        yield batch


def _windows_of_frames(
    waveform: Samples, windows: Sequence[Window], length: int
) -> Iterator[Frames]:
    """Log-mel frames of each window: (length, 80), computed once per piece of a speech segment."""
    total = num_frames(len(waveform))
    segments = (group for _, group in groupby(windows, key=lambda window: window.segment))
    for piece in chain.from_iterable(_batched(group, PIECE_WINDOWS) for group in segments):
        # Windows start on the 10 ms grid of the frames.
        middles = [window.centre * SAMPLE_RATE / FRAME_SHIFT_SAMPLES for window in piece]
        starts = [max(0, min(round(m - (length + 2) / 2), total - length)) for m in middles]
        first, last = starts[0], min(starts[-1] + length, total)
        end = (last - 1) * FRAME_SHIFT_SAMPLES + FRAME_LENGTH_SAMPLES
        frames = fbank(waveform[first * FRAME_SHIFT_SAMPLES : end], "povey")
        if total < length:  # a recording shorter than a window repeats itself
            frames = np.resize(frames, (length, NUM_MEL_BINS))
        for start in starts:
            yield frames[start - first : start - first + length]
