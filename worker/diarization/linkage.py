"""Average linkage (UPGMA) of windows, exact for some and in two stages for many.

The mean cosine distance between two groups of unit vectors depends on their sums alone,
``1 - (sum_a @ sum_b) / (size_a * size_b)``. So a tree may begin with groups instead of windows:
stretches of a long recording are linked by themselves, each up to a distance at which its groups
are still pure, and the groups of all stretches are linked as the windows of a short one are. A
recording of one stretch gets the exact tree.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Labels = NDArray[np.intp]

MAX_LINKED = 2_000
"""Linkage needs memory for every pair: 32 MB, and a fifth of a second. So many windows are 25
minutes of speech at the default shift of 0.75 s."""
LOCAL_DISTANCE = 0.5
"""Groups of a stretch farther apart than this (mean cosine distance) stay apart at first:
well below the distance between speakers, whom only the whole recording tells apart."""
LOCAL_REDUCTION = 4
"""A stretch becomes at most one group for so many windows, however different they are."""


@dataclass(frozen=True, slots=True)
class Tree:
    """How groups join, two at a time.

    kept, gone : (num_groups - 1,) which two groups join; the first stands for both afterwards.
    heights : (num_groups - 1,) mean cosine distance between them.
    """

    kept: Labels
    gone: Labels
    heights: Floats

    def cut(self, distance: float) -> Labels:
        """Label the groups that are nearer than `distance`: (num_groups,), from 0 on."""
        return self._labels(np.flatnonzero(self.heights < distance))

    def cut_into(self, count: int) -> Labels:
        """Label `count` groups, or as many as there are."""
        order = np.argsort(self.heights, kind="stable")
        return self._labels(np.sort(order[: max(0, len(order) + 1 - count)]))

    def _labels(self, joins: Labels) -> Labels:
        labels = np.arange(len(self.heights) + 1)
        for join in joins:
            labels[labels == labels[self.gone[join]]] = labels[self.kept[join]]
        numbered: Labels = np.unique(labels, return_inverse=True)[1]
        return numbered


@dataclass(frozen=True, slots=True)
class Groups:
    """Groups of windows, in order of their first windows.

    labels : (num_windows,) group of each window.
    sums : (num_groups, dim) sum of the unit embeddings of each.
    """

    labels: Labels
    sums: Floats
    sizes: Labels

    @classmethod
    def of_windows(cls, unit: Floats) -> Self:
        """Make each window a group."""
        return cls(np.arange(len(unit)), unit, np.ones(len(unit), dtype=np.intp))

    def joined(self, labels: Labels) -> Self:
        """Join the groups that have the same label; labels are 0, 1, ... without gaps."""
        sums = np.zeros((labels.max() + 1, self.sums.shape[1]))
        np.add.at(sums, labels, self.sums)
        sizes = np.bincount(labels, weights=self.sizes).astype(np.intp)
        return type(self)(labels[self.labels], sums, sizes)


def link(groups: Groups) -> Tree:
    """Build the tree by chains of nearest neighbours (Murtagh 1983): quadratic time.

    Each chain goes from a group to its nearest one until two are nearest to each other; these join,
    and the distances to both become their mean (Lance and Williams).
    """
    count = len(groups.sizes)
    sizes = groups.sizes.astype(np.float64)
    means = groups.sums / sizes[:, np.newaxis]
    distances = 1 - means @ means.T
    np.fill_diagonal(distances, np.inf)
    kept, gone = np.empty((2, count - 1), dtype=np.intp)
    heights = np.empty(count - 1)
    chain: list[int] = []
    first = 0  # the first group that has not joined another
    alive = np.ones(count, dtype=bool)
    for join in range(count - 1):
        if not chain:
            first += int(alive[first:].argmax())
            chain.append(first)
        while True:
            row = distances[chain[-1]]
            nearest = int(row.argmin())
            if len(chain) > 1 and row[chain[-2]] <= row[nearest]:
                break
            chain.append(nearest)
        a, b = sorted((chain.pop(), chain.pop()))
        kept[join], gone[join], heights[join] = a, b, distances[a, b]
        row = (sizes[a] * distances[a] + sizes[b] * distances[b]) / (sizes[a] + sizes[b])
        row[a] = np.inf
        distances[a] = distances[:, a] = row
        distances[b] = distances[:, b] = np.inf
        sizes[a] += sizes[b]
        alive[b] = False
    return Tree(kept, gone, heights)


def shrink(unit: Floats, check: Callable[[], None]) -> Groups:
    """Join windows of long recordings into pure groups, until there are few enough to be linked.

    Parameters
    ----------
    unit : (num_windows, dim) of unit length
    check : called before each stretch, a fifth of a second's work.
    """
    groups = Groups.of_windows(unit)
    while (count := len(groups.sizes)) > MAX_LINKED:
        labels = np.empty(count, dtype=np.intp)
        total = 0
        for stretch in np.array_split(np.arange(count), -(-count // MAX_LINKED)):
            check()
            part = Groups(stretch, groups.sums[stretch], groups.sizes[stretch])
            tree = link(part)
            local = tree.cut(LOCAL_DISTANCE)
            if local.max() >= len(stretch) // LOCAL_REDUCTION:
                local = tree.cut_into(len(stretch) // LOCAL_REDUCTION)
            labels[stretch] = total + local
            total += local.max() + 1
        groups = groups.joined(labels)
    check()
    return groups
