"""What segmentation-3.0 hears in a recording -> its speech, and the moments with two voices.

The probabilities are cut at one half, the network's own decision; docs/diarization.md has what the
other constants were chosen on.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from worker.engines.segmentation import (
    FIRST_CENTRE_S,
    FRAME_S,
    LOCAL_SPEAKERS,
    Activity,
)
from worker.segments import Segment

MAX_GAP_S = 0.35
"""Speech goes on over a shorter silence."""
MIN_SPEECH_S = 0.1
"""What is shorter is no speech, and no second voice."""

Flags = NDArray[np.bool_]
Indices = NDArray[np.intp]


def join_speech(segments: Sequence[Segment], activity: Activity) -> list[Segment]:
    """Join the speech that the VAD found with what the segmentation heard.

    Each misses what the other finds: short ones the one, quiet ones the other.

    Parameters
    ----------
    segments : of the VAD, in order

    Returns
    -------
    Segments in order, at least `MAX_GAP_S` apart
    """
    frames = runs(activity[:, 0] < 0.5)
    edges = np.round(frames * FRAME_S + FIRST_CENTRE_S - FRAME_S / 2, 2)
    heard = [Segment(start, end) for start, end in edges.tolist()]
    joined: list[Segment] = []
    for segment in sorted([*segments, *heard], key=lambda found: found.start):
        if joined and segment.start - joined[-1].end < MAX_GAP_S:
            joined[-1] = Segment(joined[-1].start, max(joined[-1].end, segment.end))
        else:
            joined.append(segment)
    return [segment for segment in joined if segment.duration >= MIN_SPEECH_S]


def two_voices(activity: Activity) -> Flags:
    """Tell the frames in which two speak at once: (num_frames,)."""
    pairs = [index for index, speakers in enumerate(LOCAL_SPEAKERS) if len(speakers) == 2]
    both: Flags = activity[:, pairs].sum(axis=1) > 0.5
    for start, end in runs(both).tolist():
        if (end - start) * FRAME_S < MIN_SPEECH_S:
            both[start:end] = False
    return both


def frame_at(times: NDArray[np.floating], num_frames: int) -> Indices:
    """Find the frame that is nearest to each time."""
    nearest = np.round((times - FIRST_CENTRE_S) / FRAME_S).astype(np.intp)
    frames: Indices = np.clip(nearest, 0, num_frames - 1)
    return frames


def runs(flags: Flags) -> Indices:
    """Find where each stretch of true begins and ends: (num_runs, 2)."""
    edges = np.flatnonzero(np.diff(flags, prepend=False, append=False))
    return edges.reshape(-1, 2)
