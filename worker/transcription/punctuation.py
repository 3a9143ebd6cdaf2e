"""Punctuation put in where a model writes none, and taken out where a job wants none."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace

from worker.control import JobControl
from worker.engines.base import Punctuator, Recognition
from worker.segments import Utterance
from worker.text import join, split
from worker.transcription.spoken import Spoken

FEWEST_WORDS, MOST_WORDS = 200, 500
"""Words that are punctuated at once: a stretch ends at its longest pause between the two.

The model looks back to the last sentence end, some dozen words; the end of a stretch is one.
"""

_READ_ALOUD = frozenset("#%&@*_§‰＃％＆＠＊ฯ")
"""Punctuation to Unicode, but said as a word or part of one: ``C#``, ``50%``, ``@home``."""
_SIGN = re.compile(r"(?<![-.])-?\.?$")
"""A minus and a decimal point before a number, but no ellipsis or dash."""


def remove(utterances: Sequence[Utterance]) -> list[Utterance]:
    """Take the marks around each word away; what is inside a word stays, and so do the times.

    Returns
    -------
    The utterances but those of nothing but marks, unless they have a flaw to tell.
    """
    bare = [_without_marks(utterance) for utterance in utterances]
    return [utterance for utterance in bare if utterance.text or utterance.flaw]


def _without_marks(utterance: Utterance) -> Utterance:
    if utterance.words is None:
        return replace(utterance, text=join(_bare(word) for word in split(utterance.text)))
    bare = [replace(word, text=_bare(word.text)) for word in utterance.words]
    words = tuple(word for word in bare if word.text)
    return replace(utterance, text=join(word.text for word in words), words=words)


def _bare(word: str) -> str:
    """A word without the marks before and behind it; symbols and accents are no marks."""
    first, last = 0, len(word)
    while first < last and _is_mark(word[last - 1]):
        last -= 1
    while first < last and _is_mark(word[first]):
        first += 1
    if first < last and (word[first].isdecimal() or unicodedata.category(word[first]) == "Sc"):
        sign = _SIGN.search(word[:first])
        first = sign.start() if sign else first
    return word[first:last]


def _is_mark(character: str) -> bool:
    return unicodedata.category(character).startswith("P") and character not in _READ_ALOUD


def restore(
    spoken: Sequence[Spoken],
    punctuator: Punctuator,
    control: JobControl,
    occupied: AbstractContextManager[object],
) -> list[Spoken]:
    """Punctuate a recording that was recognised without; segments are read as one text.

    Parameters
    ----------
    spoken : of one recording, in order
    occupied : held by whoever computes on the device; entered for each stretch of some hundred
        words, so that others get it in between

    Raises
    ------
    CancelledError
        The job was cancelled; it is looked at before each stretch.
    """
    restored: list[Spoken] = []
    stretches = list(_stretches(spoken))
    for stretch in control.watch("punctuation", stretches, len(stretches)):
        texts = [_texts(each.recognition) for each in stretch]
        with occupied:
            punctuated = iter(punctuator([word for own in texts for word in own]))
        for each, own in zip(stretch, texts, strict=True):
            recognition = _with_marks(each.recognition, [next(punctuated) for _ in own])
            restored.append(replace(each, recognition=recognition))
    return restored


def _stretches(spoken: Sequence[Spoken]) -> Iterator[Sequence[Spoken]]:
    """Cut a recording between segments; one that is longer than a stretch stays whole."""
    counts = [len(_texts(each.recognition)) for each in spoken]
    first = 0
    while first < len(spoken):
        end = _end_of_stretch(spoken, counts, first)
        yield spoken[first:end]
        first = end


def _end_of_stretch(spoken: Sequence[Spoken], counts: Sequence[int], first: int) -> int:
    """Index of the first segment behind the stretch that begins with `first`."""
    ends: list[int] = []
    num_words = 0
    for i in range(first, len(spoken)):
        num_words += counts[i]
        if ends and num_words > MOST_WORDS:
            return max(ends, key=lambda end: (spoken[end].start - spoken[end - 1].end, end))
        if num_words >= FEWEST_WORDS:
            ends.append(i + 1)
    return len(spoken)


def _with_marks(recognition: Recognition, texts: Sequence[str]) -> Recognition:
    words = recognition.words
    if words is not None:
        words = tuple(replace(w, text=text) for w, text in zip(words, texts, strict=True))
    return replace(recognition, text=join(texts), words=words)


def _texts(recognition: Recognition) -> list[str]:
    if recognition.words is None:
        return split(recognition.text)
    return [word.text for word in recognition.words]
