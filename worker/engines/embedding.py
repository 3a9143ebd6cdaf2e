"""CAM++: windows of a waveform -> speaker embeddings.

The network (Wang et al. 2023, arXiv:2303.00332) hears speech once, in tiles as long as a window,
and the statistics at its end are taken of each window's frames, whichever tiles they lie in. So
windows that overlap by half cost little more than half of what they cost by themselves. Those that
lie in two tiles are blurred by what else is there: where there are few windows to tell the speakers
by, each is heard by itself.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby, islice

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
BATCH_WINDOWS = 17
"""Windows in one run of the network: nine tiles; more are no faster per window on a CPU."""
FEW_WINDOWS = 120
"""A minute and a half of speech; what these cost more is a second's work of a core."""
ROW_FRAMES = 2
"""Frames of 10 ms for which the network gives one row."""
MAX_TILE_FRAMES = 200
"""Longest tile that the network takes (volume_bootstrap/onnx_export/campplus.py says why); a longer
window lies in several."""


class SpeakerEmbedding:
    """The network in an ONNX session: `tiles` [K, T, 80], `windows` [N, M] -> `embedding`."""

    def __init__(self, session: OnnxSession) -> None:
        session.expect("tiles", "windows")
        self._session = session

    def __call__(
        self,
        waveform: Samples,
        windows: Sequence[Window],
        window_s: float,
        control: JobControl,
        batch_windows: int = BATCH_WINDOWS,
    ) -> NDArray[np.float32]:
        """Embed each window.

        Of the recording, no more than a piece of a speech segment is in memory at a time.

        Parameters
        ----------
        waveform : (num_samples,) float32, 16 kHz, in [-1, 1]
        windows : in order of their segments, none farther from the next than it is long
        window_s : length that a shorter window is widened to, around its centre: a second of a
            voice with what surrounds it says more of the speaker than half a second alone.
        control : gets the stage ``embedding``, a step each piece.
        batch_windows : at most, of one segment, in one run of the network.

        Returns
        -------
        (num_windows, 192) float32, not normalised

        Raises
        ------
        CancelledError
            The job was cancelled.
        """
        size = batch_windows if len(windows) > FEW_WINDOWS else 1
        pieces = list(_pieces(windows, size))
        length = _whole_rows(num_frames(round(window_s * SAMPLE_RATE)))
        step = round(window_s * SAMPLE_RATE / FRAME_SHIFT_SAMPLES)
        tile = _whole_rows(step // -(-step // MAX_TILE_FRAMES) + 1)
        watched = control.watch("embedding", pieces, len(pieces))
        outputs = self._session.map(lambda piece: _tiled(waveform, piece, length, tile), watched)
        return np.concatenate([np.empty((0, DIM), dtype=np.float32), *outputs])


def _pieces(windows: Sequence[Window], size: int) -> Iterator[list[Window]]:
    """Windows of one segment, at most `size`, that follow each other."""
    for _, group in groupby(windows, key=lambda window: window.segment):
        while piece := list(islice(group, size)):
            yield piece


def _tiled(
    waveform: Samples, piece: Sequence[Window], length: int, tile: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Tiles laid end to end over a piece, and the rows of each window.

    The last tile ends with the piece; what it shares with the one before is its own. So every
    second window of those that overlap by half is a tile, and the last one.

    Parameters
    ----------
    length, tile : of a window and of a tile, in frames; a piece shorter than a tile is one.

    Returns
    -------
    (num_tiles, at most `tile`, 80) log-mel frames, and (num_windows, length / ROW_FRAMES)
    """
    total = num_frames(len(waveform))
    # Where the frames begin that lie nearest.
    middles = [window.centre * SAMPLE_RATE / FRAME_SHIFT_SAMPLES for window in piece]
    starts = np.array([max(0, min(round(m - (length + 2) / 2), total - length)) for m in middles])
    first, last = int(starts[0]), min(int(starts[-1]) + length, total)
    end = (last - 1) * FRAME_SHIFT_SAMPLES + FRAME_LENGTH_SAMPLES
    frames = fbank(waveform[first * FRAME_SHIFT_SAMPLES : end], "povey")
    if total < length:  # a recording shorter than a window repeats itself
        frames = np.resize(frames, (length, NUM_MEL_BINS))
    tile = min(tile, _whole_rows(len(frames)))
    latest = _whole_rows(len(frames) - tile)
    tile_starts = np.append(np.arange(0, latest, tile), latest)
    tiles = frames[tile_starts[:, np.newaxis] + np.arange(tile)]
    firsts = (starts - first) // ROW_FRAMES
    rows = firsts[:, np.newaxis] + np.arange(length // ROW_FRAMES)
    owner = np.searchsorted(tile_starts, rows * ROW_FRAMES, side="right") - 1
    return tiles, rows + owner * (tile // ROW_FRAMES) - tile_starts[owner] // ROW_FRAMES


def _whole_rows(frames: int) -> int:
    return frames // ROW_FRAMES * ROW_FRAMES
