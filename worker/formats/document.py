"""What is written into files: one recording, whoever spoke in it and whatever was said."""

from collections.abc import Sequence
from dataclasses import dataclass

from worker.segments import Turn, Utterance


@dataclass(frozen=True, slots=True)
class Document:
    """A recording's results.

    name : of the recording, for a reader.
    duration : in seconds.
    turns : sorted by start; empty where no speakers were asked for.
    utterances : sorted by start; empty where no text was asked for.
    """

    name: str
    duration: float
    turns: Sequence[Turn]
    utterances: Sequence[Utterance]
