"""Whisper's tokens, aligned with the sound -> words."""

import statistics
from collections.abc import Sequence
from dataclasses import replace
from typing import TypedDict

from worker.segments import Word
from worker.text import OPENING, is_cjk

LONGEST_MEDIAN_S = 0.7
"""The median word counts for at most this much: faster-whisper's value."""
SENTENCE_ENDS = ".。!！?？"


class Piece(TypedDict):
    """What `WhisperModel.find_alignment` gives; `word` is with the space before it."""

    word: str
    start: float
    end: float


def to_words(pieces: Sequence[Piece], duration: float) -> tuple[Word, ...]:
    """Put the pieces that the alignment gives together to words.

    A word is what stands between spaces; in scripts without them, a piece as Whisper has it. Marks
    go with the word before them, opening ones with the word after, and take none of its time: a
    pause is often given to them. So Thai, Lao, Burmese and Khmer have a word for each phrase.

    Parameters
    ----------
    pieces : in their order; together they are the text.
    duration : of the waveform, in seconds.
    """
    groups = _with_marks(_grouped([piece for piece in pieces if piece["word"]]))
    if not groups:
        return ()
    words = []
    for group in groups:
        spoken = [piece for piece in group if has_sound(piece["word"])]
        text = "".join(piece["word"].strip() for piece in group)
        words.append(Word(text, float(spoken[0]["start"]), float(spoken[-1]["end"])))
    lengths = [word.end - word.start for word in words if word.end > word.start]
    longest = 2 * min(LONGEST_MEDIAN_S, statistics.median(lengths)) if lengths else 0.0
    starts_sentence = [True, *(word.text[-1] in SENTENCE_ENDS for word in words[:-1])]
    cut = [
        _cut(word, longest, starts_sentence=starts)
        for word, starts in zip(words, starts_sentence, strict=True)
    ]
    return tuple(_within(word, duration) for word in cut)


def _cut(word: Word, longest: float, *, starts_sentence: bool) -> Word:
    """Take the pause off a word: it comes after the last one of a sentence, else before the word.

    faster-whisper's rule, which it applies at the ends of sentences only.
    """
    if word.text[-1] in SENTENCE_ENDS and not starts_sentence:
        return replace(word, end=min(word.end, word.start + longest))
    return replace(word, start=max(word.start, word.end - longest))


def _within(word: Word, duration: float) -> Word:
    return replace(word, start=min(word.start, duration), end=min(word.end, duration))


def _grouped(pieces: Sequence[Piece]) -> list[list[Piece]]:
    groups: list[list[Piece]] = []
    before = " "
    for piece in pieces:
        text = piece["word"]
        if not groups or text[0].isspace() or is_cjk(text[0]) or is_cjk(before[-1]):
            groups.append([piece])
        else:
            groups[-1].append(piece)
        before = text
    return groups


def _with_marks(groups: list[list[Piece]]) -> list[list[Piece]]:
    """Give each group that is only marks to its neighbour."""
    words: list[list[Piece]] = []
    opening: list[Piece] = []
    for group in groups:
        text = "".join(piece["word"] for piece in group).strip()
        if has_sound(text):
            words.append(opening + group)
            opening = []
        elif not words or text[-1:] in OPENING:
            opening = opening + group
        else:
            words[-1] = words[-1] + group
    if words and opening:
        words[-1] = words[-1] + opening
    return words


def has_sound(text: str) -> bool:
    """Whether there is more to a text than marks."""
    return any(character.isalnum() for character in text)
