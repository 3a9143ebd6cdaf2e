"""Errors in words, differences of times, speakers of words: pure functions."""

import itertools
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

TAG = re.compile(r"<\|[^|]*\|>")
"""What SenseVoice writes before the text."""

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class SpokenWord:
    """A word with its times in seconds, and whose it is."""

    text: str
    start: float
    end: float
    speaker: str | None = None


@dataclass(frozen=True, slots=True)
class ReferenceTurn:
    """A turn of the reference."""

    start: float
    end: float
    speaker: str


def normalised(text: str) -> list[str]:
    """Words in small letters, without tags and marks."""
    return re.findall(r"[\w']+", TAG.sub(" ", text).lower())


def word_errors(reference: Sequence[str], hypothesis: Sequence[str]) -> int:
    """Count substitutions, deletions and insertions (Levenshtein)."""
    row = list(range(len(hypothesis) + 1))
    for number, expected in enumerate(reference, 1):
        above, row = row, [number]
        for column, found in enumerate(hypothesis, 1):
            different = above[column - 1] + (expected != found)
            row.append(min(above[column] + 1, row[-1] + 1, different))
    return row[-1]


def furthest(one: Sequence[Interval], other: Sequence[Interval]) -> float:
    """Give the largest difference of any start or end, in the unit of both."""
    pairs = zip(one, other, strict=True)
    return max((abs(a - b) for o, t in pairs for a, b in zip(o, t, strict=True)), default=0.0)


def read_rttm(text: str) -> list[ReferenceTurn]:
    """Read the turns of one recording."""
    fields = [line.split() for line in text.splitlines() if line.startswith("SPEAKER")]
    return [ReferenceTurn(float(f[3]), float(f[3]) + float(f[4]), f[7]) for f in fields]


def speaker_share(
    words: Sequence[SpokenWord], reference: Sequence[ReferenceTurn]
) -> tuple[int, int]:
    """Count words that carry the right speaker, and words that count.

    A word counts if its middle lies in exactly one turn of the reference. Our speakers stand for
    those of the reference in the way that makes most words right; one without a counterpart is
    wrong. All ways are tried: meant for a few speakers.
    """
    pairs: Counter[tuple[str | None, str]] = Counter()
    for word in words:
        middle = (word.start + word.end) / 2
        inside = [turn.speaker for turn in reference if turn.start <= middle < turn.end]
        if len(inside) == 1:
            pairs[word.speaker, inside[0]] += 1
    ours = sorted({speaker for speaker, _ in pairs if speaker is not None})
    theirs: list[str | None] = [*sorted({speaker for _, speaker in pairs})]
    theirs += [None] * max(0, len(ours) - len(theirs))
    right = max(
        sum(pairs[a, b] for a, b in zip(ours, chosen, strict=True) if b is not None)
        for chosen in itertools.permutations(theirs, len(ours))
    )
    return right, pairs.total()
