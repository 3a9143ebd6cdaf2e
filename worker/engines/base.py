"""What every engine that writes text promises: one Protocol per task.

An engine takes waveforms of speech segments and gives one `Recognition` for each, in their order.
It knows nothing of files, turns or jobs, and is called by one thread at a time. How much it is
given at once is the caller's choice: `Traits` says what fits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from worker.segments import Word

Waveform = NDArray[np.float32]


class Writes(Enum):
    """Whether a model's text has a feature, such as punctuation."""

    NEVER = "never"
    ALWAYS = "always"
    ON_REQUEST = "on request"


@dataclass(frozen=True, slots=True)
class Traits:
    """What a loaded model can do.

    languages : codes that `AsrOptions.language` may be, beside ``auto``.
    hotwords : whether it takes them.
    word_times : whether it can tell when each word was said.
    itn : whether numbers and the like are written in digits (inverse text normalisation).
    punctuation : ON_REQUEST means together with `itn`, as SenseVoice has one switch for both.
    max_segment_s : the longest waveform that it takes, in seconds.
    join_s : speech segments of one recording that lie at most this far apart are given as one,
        silence and all, as long as `max_segment_s` allows; None: never. For a model that works on
        a whole window of fixed length anyway.
    fixed_s : a shorter waveform costs as much as this one; 0.0 where the cost follows the length.
    bytes_per_s : memory that a second of padded batch takes while the model works on it.
    """

    languages: tuple[str, ...]
    hotwords: bool
    word_times: bool
    itn: Writes
    punctuation: Writes
    max_segment_s: float
    join_s: float | None
    fixed_s: float
    bytes_per_s: float


@dataclass(frozen=True, slots=True)
class AsrOptions:
    """How segments are recognised; only what the model's `Traits` allow is asked for.

    language : a code of `Traits.languages`, or ``auto``.
    word_times : whether `Recognition.words` is wanted.
    """

    language: str = "auto"
    word_times: bool = False
    itn: bool = True
    hotwords: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Recognition:
    """What was said in one waveform.

    text : without any tag; empty where nothing was said.
    words : with times in seconds from the start of the waveform; None if not asked for. Joined by
        `worker.text.join` they give `text`.
    language : the one asked for; with ``auto`` the one found, None where none was.
    emotion, event : in small letters; None where the model tells none or does not know.
    """

    text: str
    words: tuple[Word, ...] | None = None
    language: str | None = None
    emotion: str | None = None
    event: str | None = None


class Recogniser(Protocol):
    """Speech -> text."""

    @property
    def traits(self) -> Traits: ...

    def __call__(self, waveforms: Sequence[Waveform], options: AsrOptions) -> list[Recognition]:
        """Recognise a batch.

        Parameters
        ----------
        waveforms : each (num_samples,) float32, 16 kHz, in [-1, 1], of any lengths up to
            `Traits.max_segment_s`; padded by the engine. They may be of different recordings.
        """
        ...


class Punctuator(Protocol):
    """Words without punctuation -> the same words with it."""

    def __call__(self, words: Sequence[str]) -> list[str]:
        """Punctuate the words of a stretch of speech.

        Returns
        -------
        One string for each word: the word, as it was, and the marks that follow it.
        """
        ...
