"""Windows and their similarity to each speaker -> turns."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from worker.segments import Segment, Turn, Window

STEP_S = 0.01


def build(
    segments: Sequence[Segment],
    windows: Sequence[Window],
    similarity: NDArray[np.floating],
) -> list[Turn]:
    """Give every moment of speech to one speaker.

    Between the centres of two windows the similarity to a speaker is taken to
    change linearly; a turn ends where another speaker becomes the more
    similar. Speakers are numbered in order of first appearance.

    Parameters
    ----------
    windows : in order, at least one for each segment
    similarity : (num_windows, num_speakers)

    Returns
    -------
    Turns in order, none overlapping; touching turns have different speakers.
    """
    centres = np.array([round(w.centre / STEP_S) for w in windows])
    owners = [w.segment for w in windows]
    bounds = np.searchsorted(owners, np.arange(len(segments) + 1))
    runs: list[tuple[int, int, int]] = []
    for index, segment in enumerate(segments):
        own = slice(bounds[index], bounds[index + 1])
        first, last = round(segment.start / STEP_S), round(segment.end / STEP_S)
        steps = np.arange(first, last)
        scores = np.stack([np.interp(steps, centres[own], column) for column in similarity[own].T])
        speakers = scores.argmax(axis=0)
        changes = np.flatnonzero(np.diff(speakers)) + 1
        edges = [first, *(first + changes).tolist(), last]
        speaker_of = speakers[[0, *changes.tolist()]].tolist()
        runs.extend(zip(edges[:-1], edges[1:], speaker_of, strict=True))

    number: dict[int, int] = {}
    turns: list[Turn] = []
    for start, end, label in runs:
        speaker = number.setdefault(label, len(number))
        begin = start * STEP_S
        if turns and turns[-1].speaker == speaker and begin - turns[-1].end < STEP_S / 2:
            begin = turns.pop().start
        turns.append(Turn(round(begin, 3), round(end * STEP_S, 3), speaker))
    return turns
