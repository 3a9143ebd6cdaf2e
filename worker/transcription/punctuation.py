"""Punctuation put in where a model writes none, and taken out where a job wants none."""

import re
from collections.abc import Sequence
from dataclasses import replace

from worker.engines.base import Punctuator, Recognition
from worker.text import join, split
from worker.transcription.spoken import Spoken

MARKS = re.compile(r"^\W+|[^\w%°€$£¥+]+$")
"""What surrounds a word and is no part of it; ``don't``, ``3.5`` and ``50%`` keep theirs."""


def remove(spoken: Sequence[Spoken]) -> list[Spoken]:
    """Take the marks around each word away; what is inside a word stays."""
    return [replace(s, recognition=_without_marks(s.recognition)) for s in spoken]


def _without_marks(recognition: Recognition) -> Recognition:
    if recognition.words is None:
        text = join(MARKS.sub("", word) for word in split(recognition.text))
        return replace(recognition, text=text)
    bare = [replace(word, text=MARKS.sub("", word.text)) for word in recognition.words]
    words = tuple(word for word in bare if word.text)
    return replace(recognition, text=join(word.text for word in words), words=words)


def restore(spoken: Sequence[Spoken], punctuator: Punctuator) -> list[Spoken]:
    """Punctuate a recording that was recognised without; segments are read as one text.

    Parameters
    ----------
    spoken : of one recording, in order
    """
    words = [_texts(s.recognition) for s in spoken]
    punctuated = iter(punctuator([word for texts in words for word in texts]))
    restored = []
    for each, texts in zip(spoken, words, strict=True):
        own = [next(punctuated) for _ in texts]
        timed = each.recognition.words
        if timed is not None:
            timed = tuple(replace(w, text=text) for w, text in zip(timed, own, strict=True))
        recognition = replace(each.recognition, text=join(own), words=timed)
        restored.append(replace(each, recognition=recognition))
    return restored


def _texts(recognition: Recognition) -> list[str]:
    if recognition.words is None:
        return split(recognition.text)
    return [word.text for word in recognition.words]
