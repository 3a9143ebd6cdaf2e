"""Whisper's tokens, aligned with the sound -> words."""

import statistics
from collections.abc import Sequence
from dataclasses import replace
from typing import TypedDict

from worker.segments import Word
from worker.text import ends_sentence, holds, split

LONGEST_MEDIAN_S = 0.7
"""The median word counts for at most this much: faster-whisper's value."""
STEP_S = 0.02
"""The alignment's resolution, and so the shortest word: faster-whisper's `time_precision`."""


class Piece(TypedDict):
    """What `WhisperModel.find_alignment` gives; `word` is with the space before it."""

    word: str
    start: float
    end: float


def to_words(pieces: Sequence[Piece], duration: float) -> tuple[Word, ...]:
    """Put the pieces that the alignment gives together to words.

    Words are those of `worker.text.split`, but for two things. What Whisper has in one piece stays
    one. Marks go with the word that they hold to, and take none of its time: a pause is often given
    to them; others, such as a dash between spaces, are words. So `worker.text.join` makes of the
    words what it makes of the text, and Thai, Lao, Burmese and Khmer have a word for each phrase.

    Parameters
    ----------
    pieces : in their order; together they are the text.
    duration : of the waveform, in seconds.
    """
    words = []
    for text, own in _grouped(pieces):
        spoken = [piece for piece in own if has_sound(piece["word"])] or own
        words.append(Word(text, float(spoken[0]["start"]), float(spoken[-1]["end"])))
    if not words:
        return ()
    lengths = [word.end - word.start for word in words if word.end > word.start]
    longest = 2 * min(LONGEST_MEDIAN_S, statistics.median(lengths)) if lengths else 0.0
    texts = [word.text for word in words]
    ends = [ends_sentence(text, after) for text, after in zip(texts, [*texts[1:], ""], strict=True)]
    starts = [True, *ends[:-1]]
    cut = [
        # A pause comes after the last word of a sentence, else before the word: faster-whisper's
        # rule, which it applies at the ends of sentences only.
        replace(word, end=min(word.end, word.start + longest))
        if is_last and not is_first
        else replace(word, start=max(word.start, word.end - longest))
        for word, is_last, is_first in zip(words, ends, starts, strict=True)
    ]
    return _in_order(cut, duration)


def _in_order(words: Sequence[Word], duration: float) -> tuple[Word, ...]:
    """Give each word time of its own, at the cost of those beside it, within the waveform.

    The alignment may give two words the same moment.
    """
    timed = []
    time = 0.0
    for word in words:
        start = max(word.start, time)
        time = max(word.end, start + STEP_S)
        timed.append(replace(word, start=start, end=time))
    time = duration
    for i, word in reversed(list(enumerate(timed))):
        end = min(word.end, time)
        time = max(0.0, min(word.start, end - STEP_S))
        timed[i] = replace(word, start=time, end=end)
    return tuple(timed)


def _grouped(pieces: Sequence[Piece]) -> list[tuple[str, list[Piece]]]:
    """Return the text of each word, and the pieces that it is of."""
    # The piece of each character but white space, of which `split` leaves none.
    owners = [i for i, piece in enumerate(pieces) for _ in "".join(piece["word"].split())]
    texts: list[str] = []
    spans: list[tuple[int, int]] = []  # first and last piece
    first = 0
    for text in split("".join(piece["word"] for piece in pieces)):
        span = owners[first], owners[first + len(text) - 1]
        first += len(text)
        if (
            texts
            and holds(texts[-1], text)
            and (span[0] == spans[-1][1] or not has_sound(texts[-1]) or not has_sound(text))
        ):
            texts[-1] += text
            spans[-1] = spans[-1][0], span[1]
        else:
            texts.append(text)
            spans.append(span)
    return [(t, list(pieces[a : b + 1])) for t, (a, b) in zip(texts, spans, strict=True)]


def has_sound(text: str) -> bool:
    """Whether there is more to a text than marks."""
    return any(character.isalnum() for character in text)
