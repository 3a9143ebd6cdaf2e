"""Words and turns -> who said each word."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.segments import Segment, Turn, Word, speech_before
from worker.text import ends_sentence

PAUSE_S = 0.25
"""A silence that a listener takes for one: Goldman-Eisler's threshold (Psycholinguistics, 1968)."""

COLLAR_S = 0.25
"""How well the boundary of a turn is known: NIST's collar, RT-09 evaluation plan."""

TIE_S = 1e-6
"""Times that differ by less are equal; engines tell milliseconds."""

Floats = NDArray[np.float64]


def assign(words: Sequence[Word], turns: Sequence[Turn]) -> list[Word]:
    """Tell who said each word.

    1. A word belongs to the speaker in whose turns most of it lies.
    2. A word outside every turn belongs to the nearest one; of two, to the earlier.
    3. Where several speakers have equal parts of it, as where turns overlap, it belongs to the
       speaker of the word before it, else of the next word that is not in doubt.
    4. One word alone between two of another speaker belongs to that speaker, unless it is a
       sentence of its own (``"Yeah."``) or there is a pause before or after it.
    5. Where a change of speaker cuts the last word or the first words off a sentence, they go with
       their sentence: ``Are you / there? Yes.`` -> ``Are you there? / Yes.``; not if a pause marks
       the change, nor where the first words are as many as those that follow.

    The last two rules are for times that are a little off: those of words come from attention or
    alignment, those of turns from windows of more than a second. No word goes to a turn that
    lies more than `COLLAR_S` from its centre.

    Parameters
    ----------
    words : of one recording, in order; times in seconds
    turns : of the same recording, in any order; those of several speakers may overlap

    Returns
    -------
    The words with `Word.speaker` set; None where there are no turns.
    """
    if not words or not turns:
        return [Word(w.text, w.start, w.end) for w in words]
    nearness = _Nearness.of(words, turns)
    columns = _by_time(nearness)
    _follow_punctuation(words, columns, nearness.distance)
    found = [nearness.speakers[column] for column in columns]
    return [Word(w.text, w.start, w.end, s) for w, s in zip(words, found, strict=True)]


def assign_segments(segments: Sequence[Segment], turns: Sequence[Turn]) -> list[int | None]:
    """Tell who said most of each segment, for models without word times.

    Returns
    -------
    One speaker for each segment, by the first three rules of `assign`; None without turns.
    """
    if not segments or not turns:
        return [None] * len(segments)
    nearness = _Nearness.of(segments, turns)
    return [nearness.speakers[column] for column in _by_time(nearness)]


@dataclass(frozen=True, slots=True)
class _Nearness:
    """How stretches of time (rows) lie to the turns of each speaker (columns).

    speakers : index of each column's speaker
    overlap : (num_stretches, num_speakers), seconds inside turns
    distance : (num_stretches, num_speakers), seconds from the centre to the nearest turn
    """

    speakers: list[int]
    overlap: Floats
    distance: Floats

    @classmethod
    def of(
        cls, stretches: Sequence[Word] | Sequence[Segment], turns: Sequence[Turn]
    ) -> "_Nearness":
        starts = np.array([s.start for s in stretches])
        ends = np.array([s.end for s in stretches])
        speakers = sorted({turn.speaker for turn in turns})
        overlap = np.empty((len(starts), len(speakers)))
        distance = np.empty_like(overlap)
        for column, speaker in enumerate(speakers):
            edges = _edges([turn for turn in turns if turn.speaker == speaker])
            overlap[:, column] = speech_before(ends, edges) - speech_before(starts, edges)
            distance[:, column] = _distance((starts + ends) / 2, edges)
        return cls(speakers, overlap, distance)


def _edges(turns: Sequence[Turn]) -> Floats:
    """Start and end of one speaker's turns, (2 * num_turns,), ascending; overlaps count once."""
    times = np.array(sorted((turn.start, turn.end) for turn in turns))
    ends = np.maximum.accumulate(times[:, 1])
    starts = times[:, 0].copy()
    starts[1:] = np.maximum(starts[1:], ends[:-1])
    return np.stack([starts, ends], axis=1).ravel()


def _distance(times: Floats, edges: Floats) -> Floats:
    """Seconds from each time to the nearest turn; what lies before it is nearer by a tie."""
    following = np.searchsorted(edges[::2], times, side="right")
    ends = np.concatenate([[-np.inf], edges[1::2]])
    starts = np.concatenate([edges[::2], [np.inf]])
    since = np.maximum(times - ends[following], 0.0)
    until = starts[following] - times + 2 * TIE_S
    nearest: Floats = np.minimum(since, until)
    return nearest


def _by_time(nearness: _Nearness) -> list[int]:
    """Column of the speaker of each stretch, by the first three rules of `assign`."""
    score = np.where(nearness.overlap > TIE_S, nearness.overlap, -nearness.distance)
    equal = score >= score.max(axis=1, keepdims=True) - TIE_S
    columns: list[int] = equal.argmax(axis=1).tolist()
    certain = np.flatnonzero(equal.sum(axis=1) == 1)
    doubtful = np.flatnonzero(equal.sum(axis=1) > 1)
    later = np.searchsorted(certain, doubtful)
    for row, i in zip(doubtful.tolist(), later.tolist(), strict=True):
        before = [columns[row - 1]] if row else []
        after = [columns[certain[i]]] if i < len(certain) else []
        columns[row] = next((c for c in before + after if equal[row, c]), columns[row])
    return columns


def _follow_punctuation(words: Sequence[Word], columns: list[int], distance: Floats) -> None:
    """Change `columns`, the speakers found by time, by the last two rules of `assign`."""
    ends = _Ends(words)
    for i in (np.flatnonzero(np.diff(columns)) + 1).tolist():
        before, after = columns[i - 1], columns[i]
        if before == after:  # a change that is gone by now
            continue
        if i + 1 < len(words) and columns[i + 1] == before:
            stands_alone = (ends[i - 1] and ends[i]) or _pause(words, i) or _pause(words, i + 1)
            if not stands_alone and distance[i, before] <= COLLAR_S:
                columns[i] = before
        elif _pause(words, i) or ends[i - 1]:
            continue
        elif ends[i]:
            has_more = i >= 2 and columns[i - 2] == before and not ends[i - 2]
            if has_more and distance[i, before] <= COLLAR_S:
                columns[i] = before
        elif i + 1 < len(words) and columns[i + 1] == after:
            first = i - 1
            while first and columns[first - 1] == before and not ends[first - 1]:
                first -= 1
            rest = i  # the last word of this sentence that the other speaker said
            while rest + 1 < len(words) and columns[rest + 1] == after and not ends[rest]:
                rest += 1
            is_start = not first or ends[first - 1]
            is_near = bool((distance[first:i, after] <= COLLAR_S).all())
            if is_start and is_near and i - first < rest + 1 - i:
                columns[first:i] = [after] * (i - first)


class _Ends:
    """Whether the word at an index ends a sentence."""

    def __init__(self, words: Sequence[Word]) -> None:
        self._words = words

    def __getitem__(self, index: int) -> bool:
        following = self._words[index + 1].text if index + 1 < len(self._words) else ""
        return ends_sentence(self._words[index].text, following)


def _pause(words: Sequence[Word], index: int) -> bool:
    """Whether there is a pause before a word."""
    return words[index].start - words[index - 1].end >= PAUSE_S - TIE_S
