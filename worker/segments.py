"""The things a recording is cut into: frozen, in seconds from its start."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of speech, as the VAD finds it."""

    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Turn:
    """A stretch of speech of one speaker; `speaker` is an index from 0."""

    start: float
    end: float
    speaker: int

    @property
    def duration(self) -> float:
        return self.end - self.start

    @property
    def label(self) -> str:
        """Name of a speaker who has none, such as ``SPEAKER_00``."""
        return f"SPEAKER_{self.speaker:02d}"


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of the speech segment with index `segment`; it gets one embedding."""

    start: float
    end: float
    segment: int

    @property
    def centre(self) -> float:
        return (self.start + self.end) / 2
