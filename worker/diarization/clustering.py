"""Embeddings -> speakers: deterministic, with or without a known number of them.

`find_centroids`: average linkage finds groups of windows; those that speak like nobody else, and
for long enough, are speakers; speakers whose centroids are near are merged. `settle`: every window
joins its nearest centroid until nothing changes (spherical k-means). The constants were chosen on
the development conversations and on generated ones; docs/diarization.md has the figures.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.diarization.linkage import Groups, Tree, link, shrink

LINKAGE_DISTANCE = 0.62
"""Groups of windows farther apart than this (mean cosine distance) stay apart."""
MERGE_SIMILARITY = 0.62
"""Groups whose centroids are nearer than this (cosine) are one speaker."""

SPAN_WINDOWS = 1_200
"""How much is asked of a speaker depends on the densest so many windows, 15 minutes of speech at
the default shift of 0.75 s: not on the recording's length, nor on whether the same is heard again
an hour later."""
SPEAKER_SHARE = 0.005
"""Least share of the windows in a span that is a speaker: 6 of 1,200, about 5 s at that shift."""
LEAST_WINDOWS = 2
"""Least number of windows of a speaker in a short recording; they are on end."""
SURE_WINDOWS = 6
SURE_RUN = 4
"""A group of so many windows, some on end, is a speaker. One of fewer may be what
is left of others where they speak at once or break off, and has to be unlike them."""
UNLIKE_SIMILARITY = 0.4
"""The centroid of a small group is no nearer than this (cosine) to those of other speakers. What
two voices gave together on end was at 0.46 and more to one of them, a voice at 0.40 and less."""
MAX_SPEAKERS = 100
"""More are not looked for, however different the windows are."""

MAX_ROUNDS = 20
BLOCK_WINDOWS = 4_096
"""Windows that are brought to unit length at a time, to bound memory."""

Floats = NDArray[np.floating]
Labels = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class SpeakerBounds:
    """What the caller knows about the number of speakers."""

    minimum: int = 1
    maximum: int | None = None


def normalise(embeddings: Floats) -> Floats:
    """Bring each row to unit length, in double precision; zeros stay zeros.

    Parameters
    ----------
    embeddings : (num_windows, dim)
    """
    unit = np.empty(embeddings.shape)
    for start in range(0, len(unit), BLOCK_WINDOWS):
        block = slice(start, start + BLOCK_WINDOWS)
        part = embeddings[block].astype(np.float64)
        lengths = np.linalg.norm(part, axis=1, keepdims=True)
        unit[block] = part / np.maximum(lengths, np.finfo(np.float64).tiny)
    return unit


def find_centroids(
    unit: Floats, bounds: SpeakerBounds, merge_similarity: float, check: Callable[[], None]
) -> Floats:
    """Find the speakers: (num_speakers, dim), before the windows settle.

    Parameters
    ----------
    unit : (num_windows, dim) of unit length, in order of time, at least one window
    bounds : honoured as far as there are that many different windows.
    merge_similarity : cosine above which two groups are one speaker.
    check : called every fifth of a second or so; what it raises ends the work.
    """
    groups = shrink(unit, check)
    tree = link(groups)
    found = groups.joined(tree.cut(LINKAGE_DISTANCE))
    sums = _merge(found.sums[_speakers(found)], bounds, merge_similarity)
    if len(sums) < bounds.minimum:
        sums = _split(groups, tree, bounds.minimum, check)
    return normalise(sums)


def _speakers(groups: Groups) -> Labels:
    """Which groups are speakers, the surest first; at least one."""
    windows = _most_in_span(groups.labels)
    runs = _longest_runs(groups.labels)
    span = min(len(groups.labels), SPAN_WINDOWS)
    enough = max(LEAST_WINDOWS, int(np.ceil(SPEAKER_SHARE * span)))
    possible = (windows >= enough) & (runs >= 2)
    sure = (windows >= SURE_WINDOWS) & (runs >= SURE_RUN)
    centroids = normalise(groups.sums)
    speakers: list[int] = []
    for group in np.lexsort((-windows, ~sure)).tolist():
        unlike = not speakers or (centroids[speakers] @ centroids[group]).max() < UNLIKE_SIMILARITY
        if possible[group] and (sure[group] or unlike):
            speakers.append(group)
    return np.array(speakers[:MAX_SPEAKERS] or [int(windows.argmax())])


def _most_in_span(labels: Labels) -> Labels:
    """Count the windows of each group in the `SPAN_WINDOWS` on end that hold the most of them."""
    order = np.argsort(labels, kind="stable")
    # Where each window would stand if a group began a span after the last one had ended.
    places = labels[order] * (len(labels) + SPAN_WINDOWS) + order
    counts = np.arange(1, len(labels) + 1) - np.searchsorted(places, places - SPAN_WINDOWS, "right")
    return np.maximum.reduceat(counts, np.searchsorted(labels[order], np.arange(labels.max() + 1)))


def _longest_runs(labels: Labels) -> Labels:
    """Count the windows of each group in its longest run, windows that follow each other."""
    starts = np.flatnonzero(np.diff(labels, prepend=-1))
    runs = np.zeros(labels.max() + 1, dtype=np.intp)
    np.maximum.at(runs, labels[starts], np.diff(starts, append=len(labels)))
    return runs


def _merge(sums: Floats, bounds: SpeakerBounds, similarity: float) -> Floats:
    """Merge the two nearest groups while they are near, or too many."""
    while (count := len(sums)) > 1:
        centroids = normalise(sums)
        near = np.where(np.tri(count, dtype=bool), -np.inf, centroids @ centroids.T)
        first, second = np.unravel_index(near.argmax(), near.shape)
        too_many = bounds.maximum is not None and count > bounds.maximum
        alike = near[first, second] >= similarity and count > bounds.minimum
        if not (too_many or alike):
            break
        sums[first] += sums[second]
        sums = np.delete(sums, second, axis=0)
    return sums


def _split(groups: Groups, tree: Tree, minimum: int, check: Callable[[], None]) -> Floats:
    """Go down the tree until enough groups are speakers.

    Where there never are, all groups of the cut into `minimum` are taken.
    """
    for count in range(minimum, min(len(groups.sizes), 4 * minimum) + 1):
        check()
        split = groups.joined(tree.cut_into(count))
        speakers = _speakers(split)
        if len(speakers) >= minimum:
            return split.sums[speakers[:minimum]]
    return groups.joined(tree.cut_into(minimum)).sums


def settle(unit: Floats, centroids: Floats) -> Floats:
    """Let every window join its nearest centroid and the centroids follow.

    Parameters
    ----------
    unit : (num_windows, dim) of unit length
    centroids : (num_speakers, dim) of unit length; not changed

    Returns
    -------
    (num_windows, num_speakers) : cosine of each window with each speaker's centroid; the
        speaker of a window is the largest. As a rule each speaker has at least one window: not
        where windows are identical, nor always where a lost one is given a window that another
        has alone.
    """
    centroids = centroids.copy()
    similarity = unit @ centroids.T
    labels: Labels | None = None
    for _ in range(MAX_ROUNDS):
        # A speaker that all its windows would leave keeps the one that is most like it, so
        # that a known number of speakers stays that number.
        for lost in np.setdiff1d(np.arange(len(centroids)), similarity.argmax(axis=1)):
            centroids[lost] = unit[similarity[:, lost].argmax()]
            similarity[:, lost] = unit @ centroids[lost]
        joined = similarity.argmax(axis=1)
        if labels is not None and np.array_equal(joined, labels):
            break
        labels = joined
        moved = normalise(
            np.stack([unit[labels == label].sum(axis=0) for label in np.unique(labels)])
        )
        moved_similarity = unit @ moved.T
        if len(np.unique(moved_similarity.argmax(axis=1))) < len(centroids):
            break
        centroids, similarity = moved, moved_similarity
    return similarity
