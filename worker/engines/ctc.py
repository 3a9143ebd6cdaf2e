"""The best path of a CTC model -> tokens with times -> words with times. Pure functions.

FunASR finds times by aligning the tokens of the greedy path with the frames once more
(``ctc_forced_align``). The greedy path takes the most probable token of every frame, so no path
gives these tokens a higher probability: it is that alignment, and its runs are the times.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.segments import Word
from worker.text import split


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive frames ``[first, last)`` with one token."""

    token: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of text ``[begin, end)``, in characters, said from `start` to `stop`, in seconds."""

    begin: int
    end: int
    start: float
    stop: float


def runs(path: NDArray[np.int64], blank: int) -> list[Run]:
    """Collapse a path into its tokens: repetitions are one token, blanks are none.

    Parameters
    ----------
    path : (num_frames,) the most probable token of each frame
    """
    if not len(path):
        return []
    # (num_runs + 1,)
    edges = np.concatenate(([0], np.flatnonzero(np.diff(path)) + 1, [len(path)]))
    tokens = path[edges[:-1]]
    each = zip(tokens.tolist(), edges[:-1].tolist(), edges[1:].tolist(), strict=True)
    return [Run(*run) for run in each if run[0] != blank]


def timed_words(text: str, spans: Sequence[Span]) -> tuple[Word, ...]:
    """Cut a text into the words of `worker.text.split`, each with the time of its characters.

    Parameters
    ----------
    spans : the pieces that the text is made of, in order, none of them missing
    """
    times = [time for span in spans for time in _character_times(text, span)]
    words = []
    begin = 0
    for word in split(text):
        begin = text.index(word, begin)
        end = begin + len(word)
        words.append(Word(word, times[begin][0], times[end - 1][1]))
        begin = end
    return tuple(words)


def _character_times(text: str, span: Span) -> list[tuple[float, float]]:
    """Divide the time of a piece evenly; the space before a word takes none of it."""
    piece = text[span.begin : span.end]
    silent = len(piece) - len(piece.lstrip())
    if silent == len(piece):
        return [(span.start, span.stop)] * silent
    edges = np.linspace(span.start, span.stop, len(piece) - silent + 1).tolist()
    return [(span.start, span.start)] * silent + list(itertools.pairwise(edges))
