"""Windows and their similarity to each speaker -> turns."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from worker.diarization import overlap
from worker.engines.segmentation import Activity
from worker.segments import Segment, Turn, Window

STEP_S = 0.01
NOBODY = -1

Run = tuple[int, int, int]
"""A stretch of one speaker: first step, step after the last, label."""
Labels = NDArray[np.intp]
Floats = NDArray[np.floating]


def build(
    segments: Sequence[Segment],
    windows: Sequence[Window],
    similarity: Floats,
    activity: Activity | None = None,
) -> list[Turn]:
    """Give every moment of speech to a speaker, and a moment with two voices to two.

    Between the centres of two windows the similarity to a speaker is taken to
    change linearly; a turn ends where another speaker becomes the more
    similar. Where the segmentation hears two voices, the second is the second
    most similar. Speakers are numbered in order of first appearance.

    Parameters
    ----------
    windows : in order, at least one for each segment
    similarity : (num_windows, num_speakers)
    activity : what the segmentation hears; without it turns do not overlap.

    Returns
    -------
    Turns in order; those of one speaker do not touch.
    """
    centres = np.array([round(w.centre / STEP_S) for w in windows])
    owners = [w.segment for w in windows]
    bounds = np.searchsorted(owners, np.arange(len(segments) + 1))
    if activity is not None:
        both = overlap.two_voices(activity)
    runs: list[Run] = []
    for index, segment in enumerate(segments):
        own = slice(bounds[index], bounds[index + 1])
        first, last = round(segment.start / STEP_S), round(segment.end / STEP_S)
        steps = np.arange(first, last)
        # (num_speakers, num_steps)
        scores = np.stack([np.interp(steps, centres[own], column) for column in similarity[own].T])
        edges, labels = _stretches(scores.argmax(axis=0), first)
        runs.extend(_runs(edges, labels))
        if activity is not None and len(scores) > 1:
            is_both = both[overlap.frame_at(steps * STEP_S, len(both))]
            edges, labels = _stretches(_second(scores, is_both), first)
            runs.extend(_runs(edges, labels))
    return _turns(_join(runs))


def _second(scores: Floats, is_both: NDArray[np.bool_]) -> Labels:
    """Label of the second most similar speaker where there are two; elsewhere `NOBODY`.

    Parameters
    ----------
    scores : (num_speakers, num_steps)
    is_both : (num_steps,)
    """
    second = np.full(len(is_both), NOBODY, dtype=np.intp)
    second[is_both] = np.argsort(-scores[:, is_both], axis=0, kind="stable")[1]
    return second


def _stretches(labels: Labels, first: int) -> tuple[list[int], list[int]]:
    """Edges of the stretches of equal labels, one more than there are, and their labels."""
    changes = np.flatnonzero(np.diff(labels)) + 1
    edges = [first, *(first + changes).tolist(), first + len(labels)]
    return edges, labels[[0, *changes.tolist()]].tolist()


def _runs(edges: Sequence[int], labels: Sequence[int]) -> Iterator[Run]:
    """Stretches that have a speaker."""
    for start, end, label in zip(edges[:-1], edges[1:], labels, strict=True):
        if label != NOBODY:
            yield start, end, label


def _join(runs: Iterable[Run]) -> list[Run]:
    """Join what touches of one speaker; in order of their starts."""
    joined: list[Run] = []
    latest: dict[int, int] = {}
    for start, end, label in sorted(runs):
        index = latest.get(label)
        if index is not None and joined[index][1] >= start:
            joined[index] = (joined[index][0], max(joined[index][1], end), label)
        else:
            latest[label] = len(joined)
            joined.append((start, end, label))
    return joined


def _turns(runs: Iterable[Run]) -> list[Turn]:
    """Bring steps to seconds, and number the speakers as they appear."""
    number: dict[int, int] = {}
    return [
        Turn(
            round(start * STEP_S, 3),
            round(end * STEP_S, 3),
            number.setdefault(label, len(number)),
        )
        for start, end, label in runs
    ]
