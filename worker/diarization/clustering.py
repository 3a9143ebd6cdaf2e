"""Embeddings -> speakers: deterministic, with or without a known number of them.

`find_centroids`: average-linkage clustering finds groups of windows; groups too
small to be a speaker are dissolved, groups whose centroids are near are merged.
`settle`: every window joins its nearest centroid until nothing changes
(spherical k-means). The constants were chosen on the development conversations
and on generated ones; docs/diarization.md has the figures.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LINKAGE_DISTANCE = 0.62
"""Groups of windows farther apart than this (mean cosine distance) stay apart."""
MERGE_SIMILARITY = 0.6
"""Groups whose centroids are nearer than this (cosine) are one speaker."""
LARGEST_SMALL_GROUP = 6
"""A group of this many windows (5 s of speech) is a speaker in any recording."""
SMALL_GROUP_SHARE = 0.1
"""In a recording of a few windows, a group of this share of them is enough."""
MAX_LINKED_WINDOWS = 4_000
"""Linkage needs memory for every pair; a longer recording is thinned out evenly to this many
windows first, and the others join the centroids."""
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
    """Bring each window to unit length, in double precision.

    Parameters
    ----------
    embeddings : (num_windows, dim)
    """
    unit = np.empty(embeddings.shape)
    for start in range(0, len(unit), BLOCK_WINDOWS):
        block = slice(start, start + BLOCK_WINDOWS)
        unit[block] = _unit(embeddings[block].astype(np.float64))
    return unit


def find_centroids(unit: Floats, bounds: SpeakerBounds, merge_similarity: float) -> Floats:
    """Find the speakers: (num_speakers, dim), before the windows settle.

    A long recording is thinned out: the work is bounded.

    Parameters
    ----------
    unit : (num_windows, dim) of unit length, at least one window
    bounds : honoured as far as there are that many different windows.
    merge_similarity : cosine above which two groups are one speaker.
    """
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import pdist

    if len(unit) == 1:
        return unit
    sample = np.linspace(0, len(unit) - 1, min(len(unit), MAX_LINKED_WINDOWS)).astype(int)
    unit = unit[sample]
    # Half the squared distance of unit vectors is their cosine distance.
    distances = pdist(unit, "sqeuclidean")
    distances /= 2  # in place: it is 64 MB large
    tree = linkage(distances, method="average")
    enough = min(LARGEST_SMALL_GROUP, max(2, int(len(unit) * SMALL_GROUP_SHARE)))
    groups = fcluster(tree, LINKAGE_DISTANCE, criterion="distance") - 1
    labels = _join(unit, _centroids(unit, groups, _large_groups(groups, enough)))
    labels = _merge(unit, labels, bounds.maximum, merge_similarity)

    if labels.max() + 1 < bounds.minimum:
        # Go down the tree until enough groups are large enough to be speakers; at its foot,
        # take the largest there are.
        for count in range(bounds.minimum, min(len(unit), 4 * bounds.minimum) + 1):
            groups = fcluster(tree, count, criterion="maxclust") - 1
            if len(_large_groups(groups, enough)) >= bounds.minimum:
                break
        else:
            groups = fcluster(tree, bounds.minimum, criterion="maxclust") - 1
        largest = np.argsort(-np.bincount(groups), kind="stable")[: bounds.minimum]
        return _centroids(unit, groups, largest)
    return _centroids(unit, labels, np.arange(labels.max() + 1))


def _large_groups(groups: Labels, enough: int) -> Labels:
    """Groups with `enough` windows; where none has, everything is the one group."""
    sizes = np.bincount(groups)
    large = np.flatnonzero(sizes >= enough)
    return large if len(large) else np.array([sizes.argmax()])


def _merge(unit: Floats, labels: Labels, maximum: int | None, similarity: float) -> Labels:
    """Merge the two nearest groups while they are near, or too many."""
    sums = np.stack([unit[labels == label].sum(axis=0) for label in range(labels.max() + 1)])
    while (count := len(sums)) > 1:
        centroids = _unit(sums)
        near = np.where(np.tri(count, dtype=bool), -np.inf, centroids @ centroids.T)
        first, second = np.unravel_index(near.argmax(), near.shape)
        if near[first, second] < similarity and (maximum is None or count <= maximum):
            break
        sums[first] += sums[second]
        sums = np.delete(sums, second, axis=0)
        labels = np.where(labels == second, first, labels)
        labels = labels - (labels > second)
    return labels


def settle(unit: Floats, centroids: Floats) -> Floats:
    """Let every window join its nearest centroid and the centroids follow.

    Parameters
    ----------
    unit : (num_windows, dim) of unit length
    centroids : (num_speakers, dim) of unit length; not changed

    Returns
    -------
    (num_windows, num_speakers) : cosine of each window with each speaker's centroid; the
        speaker of a window is the largest, and each speaker has at least one window.
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
        moved = _centroids(unit, labels, np.unique(labels))
        moved_similarity = unit @ moved.T
        if len(np.unique(moved_similarity.argmax(axis=1))) < len(centroids):
            break
        centroids, similarity = moved, moved_similarity
    return similarity


def _join(unit: Floats, centroids: Floats) -> Labels:
    """Label of the nearest centroid, numbered without gaps."""
    nearest = (unit @ centroids.T).argmax(axis=1)
    labels: Labels = np.unique(nearest, return_inverse=True)[1]
    return labels


def _centroids(unit: Floats, labels: Labels, wanted: Labels) -> Floats:
    return _unit(np.stack([unit[labels == label].mean(axis=0) for label in wanted]))


def _unit(vectors: Floats) -> Floats:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Floats = vectors / np.maximum(lengths, np.finfo(np.float64).tiny)
    return unit
