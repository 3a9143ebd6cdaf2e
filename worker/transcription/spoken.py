"""What an engine made of one stretch of a recording."""

from dataclasses import dataclass

from worker.engines.base import Recognition


@dataclass(frozen=True, slots=True)
class Spoken:
    """A segment that was recognised.

    start, end : in seconds from the start of the recording; the times of `recognition.words` count
        from `start`.
    flaw : what went wrong with it, for a reader; None where nothing did.
    """

    start: float
    end: float
    recognition: Recognition
    flaw: str | None = None
