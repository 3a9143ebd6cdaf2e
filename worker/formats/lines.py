"""Running text -> lines of subtitles and the cues that show them, broken where a reader would."""

import math
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from worker.text import ends_sentence

LINE_CHARACTERS = 42
WIDE_LINE_CHARACTERS = 20
"""Longest lines; the second in scripts of square characters: Han, kana and Hangul."""
MAX_LINES = 2

NARROW, WIDE, LINE = WIDE_LINE_CHARACTERS, LINE_CHARACTERS, LINE_CHARACTERS * WIDE_LINE_CHARACTERS
"""Widths of characters and of a line on one scale, so that lines of mixed scripts fit as well."""

CUE_COST, LINE_COST = 100.0, 0.25
"""Few cues come first, then few lines; the empty part of a line, squared, costs up to 1."""
ODD_CUE_COST, ODD_LINE_COST = 1.0, 0.25
"""What it costs to end a cue, or a line inside it, where no mark stands."""
CLAUSE_ENDS = frozenset(",;:，、；：،؛")

Line = tuple[int, int]
"""Index of its first token, and of the first behind it."""


@dataclass(frozen=True, slots=True)
class Token:
    """What no line break cuts: a word, or one character of Chinese or Japanese.

    spaced : whether a space parts it from what comes before it in a line.
    start, end : in seconds.
    """

    text: str
    spaced: bool
    start: float
    end: float


def is_wide(text: str) -> bool:
    """Whether most letters are square; then every character counts as one, digits and all."""
    letters = [c for c in text if c.isalpha()]
    return not text.isascii() and 2 * sum(map(_is_wide, letters)) > len(letters)


def bits(word: str, *, wide: bool) -> Iterator[str]:
    """Cut a word that is longer than a line; accents stay with their letters."""
    most = WIDE_LINE_CHARACTERS if wide or any(map(_is_wide, word)) else LINE_CHARACTERS
    while len(word) > most:
        cut = most
        while cut > 1 and unicodedata.category(word[cut]).startswith("M"):
            cut -= 1
        yield word[:cut]
        word = word[cut:]
    yield word


def wrap(tokens: Sequence[Token], *, wide: bool, lead: int = 0) -> list[list[Line]]:
    """Break a text into the fewest cues of at most `MAX_LINES` lines, of equal length if possible.

    The cheapest of all layouts is found, as by Knuth and Plass (Breaking Paragraphs into Lines,
    1981), with breaks after a mark the cheaper ones.

    Parameters
    ----------
    tokens : each at most as wide as a line, see `bits`
    wide : what `is_wide` says of the text
    lead : number of tokens that are no text, such as a name: no cue ends with them

    Returns
    -------
    The lines of each cue; together they hold every token once.
    """
    total = len(tokens)
    gaps = [_width(" ", wide=wide) if token.spaced else 0 for token in tokens]
    widths = [_width(token.text, wide=wide) + gap for token, gap in zip(tokens, gaps, strict=True)]
    edges = [0, *accumulate(widths)]
    if edges[-1] <= LINE:  # most utterances
        return [[(0, total)]]
    odd = [i < lead or not _ends_clause(token.text) for i, token in enumerate(tokens)]

    # best[n][i]: cost of tokens[:i] with n lines in the cue that is open, and where it came from
    best: list[list[tuple[float, int, int]]]
    best = [[(math.inf, 0, 0)] * (total + 1) for _ in range(MAX_LINES)]
    best[0][0] = (0.0, 0, 0)
    for first in range(total):
        for lines in range(MAX_LINES):
            cost = best[lines][first][0] + LINE_COST + (0 if lines else CUE_COST)
            for last in range(first + 1, total + 1):
                empty = 1 - (edges[last] - edges[first] - gaps[first]) / LINE
                if empty < 0:
                    break
                cost_here = cost + empty**2
                if last > lead:
                    ended = cost_here + ODD_CUE_COST * odd[last - 1]
                    best[0][last] = min(best[0][last], (ended, first, lines))
                if lines + 1 < MAX_LINES:
                    going_on = cost_here + ODD_LINE_COST * odd[last - 1]
                    best[lines + 1][last] = min(best[lines + 1][last], (going_on, first, lines))
    return _trace(best)


def _trace(best: Sequence[Sequence[tuple[float, int, int]]]) -> list[list[Line]]:
    """Follow the cheapest layout back from its end."""
    cues: list[list[Line]] = []
    last, lines = len(best[0]) - 1, 0
    while last:
        if lines == 0:
            cues.insert(0, [])
        _, first, lines = best[lines][last]
        cues[0].insert(0, (first, last))
        last = first
    return cues


def _ends_clause(text: str) -> bool:
    return text[-1] in CLAUSE_ENDS or ends_sentence(text)


def _width(text: str, *, wide: bool) -> int:
    if wide:
        return WIDE * len(text)
    if text.isascii():
        return NARROW * len(text)
    return sum(WIDE if _is_wide(c) else NARROW for c in text)


def _is_wide(character: str) -> bool:
    return unicodedata.east_asian_width(character) in "WF"
