"""Speech segments -> segments of lengths that a model takes: long ones cut, close ones joined."""

import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from worker.segments import Segment
from worker.waveform import SAMPLE_RATE, Samples

FRAME_S = 0.01
SMOOTHED_FRAMES = 11
"""Energy is averaged over this many frames, so that a pause counts and not a zero crossing."""
EARLIEST_SHARE = 0.5
"""A cut is looked for from this share of the longest length on, so that pieces are few and long."""
LEAST_REST_S = 1.0
"""What a cut leaves: less of a voice is hard to understand."""


def fit(
    segments: Sequence[Segment], waveform: Samples, max_s: float, join_s: float | None
) -> list[Segment]:
    """Make segments that are at most `max_s` long.

    Parameters
    ----------
    segments : of one recording, in order, without overlap
    waveform : (num_samples,) float32, 16 kHz; read only around cuts
    join_s : segments that lie at most this far apart become one, with the pause; None: never
    """
    pieces = [piece for segment in segments for piece in _cut(segment, waveform, max_s)]
    return pieces if join_s is None else _joined(pieces, max_s, join_s)


def _cut(segment: Segment, waveform: Samples, max_s: float) -> Iterator[Segment]:
    """Cut a segment at its quietest points."""
    start = segment.start
    while segment.end - start > max_s:
        latest = min(start + max_s, segment.end - LEAST_REST_S)
        end = _quietest(waveform, start + max_s * EARLIEST_SHARE, latest)
        yield Segment(start, end)
        start = end
    yield Segment(start, segment.end)


def _quietest(waveform: Samples, earliest: float, latest: float) -> float:
    """Time of least energy in a stretch, on the grid of 10 ms."""
    first, last = math.ceil(earliest / FRAME_S), math.floor(latest / FRAME_S)
    margin = SMOOTHED_FRAMES // 2
    begin = max(0, first - margin)
    frame = round(FRAME_S * SAMPLE_RATE)
    samples = waveform[begin * frame : (last + margin + 1) * frame]
    frames = samples[: len(samples) // frame * frame].reshape(-1, frame)
    # (num_frames,)
    energy = np.square(frames, dtype=np.float64).mean(axis=1)
    smooth = np.convolve(energy, np.full(SMOOTHED_FRAMES, 1 / SMOOTHED_FRAMES), mode="same")
    return round((first + int(smooth[first - begin : last - begin + 1].argmin())) * FRAME_S, 2)


def _joined(pieces: Iterable[Segment], max_s: float, join_s: float) -> list[Segment]:
    joined: list[Segment] = []
    for piece in pieces:
        last = joined[-1] if joined else None
        if last and piece.start - last.end <= join_s and piece.end - last.start <= max_s:
            joined[-1] = Segment(last.start, piece.end)
        else:
            joined.append(piece)
    return joined
