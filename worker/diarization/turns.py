"""Windows and their similarity to each speaker -> turns."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from worker.diarization import overlap
from worker.engines.segmentation import Activity
from worker.segments import Segment, Turn, Window

STEP_S = 0.01
BLOCK_STEPS = 6_000
"""A minute: speech without a pause may go on for hours."""
NO_SPEAKER = -1

Run = tuple[int, int, int]
"""A stretch of one speaker: first step, step after the last, label."""
Labels = NDArray[np.intp]
Floats = NDArray[np.floating]


def build(
    segments: Sequence[Segment],
    windows: Sequence[Window],
    similarity: Floats,
    check: Callable[[], None],
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
    check : called before each minute of speech.
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
    for index, steps in _blocks(segments):
        check()
        own = centres[bounds[index] : bounds[index + 1]]
        # From the window before the block to the one after it, where there are.
        near = bounds[index] + np.searchsorted(own, [steps[0], steps[-1]], side="right")
        taken = slice(max(bounds[index], near[0] - 1), min(bounds[index + 1], near[1] + 1))
        # (num_speakers, num_steps)
        scores = np.stack([np.interp(steps, centres[taken], s) for s in similarity[taken].T])
        runs.extend(_runs(steps[0], scores.argmax(axis=0)))
        if activity is not None and len(scores) > 1:
            is_both = both[overlap.frame_at(steps * STEP_S, len(both))]
            runs.extend(_runs(steps[0], _second(scores, is_both)))
    return _turns(_join(runs))


def _blocks(segments: Sequence[Segment]) -> Iterator[tuple[int, Labels]]:
    """Steps of each segment, at most BLOCK_STEPS at a time, with its index."""
    for index, segment in enumerate(segments):
        last = round(segment.end / STEP_S)
        for first in range(round(segment.start / STEP_S), last, BLOCK_STEPS):
            yield index, np.arange(first, min(first + BLOCK_STEPS, last))


def _second(scores: Floats, is_both: NDArray[np.bool_]) -> Labels:
    """Label of the second most similar speaker where there are two; elsewhere `NO_SPEAKER`.

    Parameters
    ----------
    scores : (num_speakers, num_steps)
    is_both : (num_steps,)
    """
    second = np.full(len(is_both), NO_SPEAKER, dtype=np.intp)
    second[is_both] = np.argsort(-scores[:, is_both], axis=0, kind="stable")[1]
    return second


def _runs(first: int, labels: Labels) -> Iterator[Run]:
    """Stretches of one label that is a speaker's; the steps begin with `first`."""
    edges = np.flatnonzero(np.diff(labels, prepend=labels[0] - 1, append=labels[-1] - 1)).tolist()
    for start, end in itertools.pairwise(edges):
        if labels[start] != NO_SPEAKER:
            yield int(first + start), int(first + end), int(labels[start])


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
