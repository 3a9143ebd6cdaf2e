"""The things a recording is cut into: frozen, in seconds from its start."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


def label(speaker: int) -> str:
    """Name of a speaker who has none, such as ``SPEAKER_00``."""
    return f"SPEAKER_{speaker:02d}"


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of speech, as the VAD finds it."""

    start: float
    end: float

    @property
    def duration(self) -> float:
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Turn:
    """A stretch of speech of one speaker; `speaker` is an index from 0."""

    start: float
    end: float
    speaker: int

    @property
    def duration(self) -> float:
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Word:
    """A word as the model wrote it, its punctuation with it and no space around it."""

    text: str
    start: float
    end: float
    speaker: int | None = None

    @property
    def centre(self) -> float:
        return (self.start + self.end) / 2


@dataclass(frozen=True, slots=True)
class Utterance:
    """What one speaker said without a break, or a speech segment where no speakers are told.

    words : None where the model gives no word times.
    language : the language that was found or asked for, such as ``en``.
    emotion, event : in small letters, such as ``happy`` and ``laughter``.
    flaw : what went wrong with it, for a reader.
    """

    start: float
    end: float
    text: str
    words: tuple[Word, ...] | None = None
    speaker: int | None = None
    language: str | None = None
    emotion: str | None = None
    event: str | None = None
    flaw: str | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of the speech segment with index `segment`; it gets one embedding."""

    start: float
    end: float
    segment: int

    @property
    def centre(self) -> float:
        return (self.start + self.end) / 2


def speech_before(times: Floats, edges: Floats) -> Floats:
    """Seconds of speech up to each time.

    Parameters
    ----------
    times : in any order
    edges : (2 * num_stretches,), ascending: start and end of each stretch of speech
    """
    steps = np.diff(edges, prepend=edges[:1])
    steps[::2] = 0.0  # from an end to the next start
    speech: Floats = np.interp(times, edges, np.cumsum(steps))
    return speech
