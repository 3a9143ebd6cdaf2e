"""What is written into files: one recording, whoever spoke in it and whatever was said."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from worker.segments import Turn, Utterance, label


@dataclass(frozen=True, slots=True)
class Document:
    """A recording's results.

    name : of the recording, for a reader.
    duration : in seconds.
    turns : sorted by start; empty where no speakers were asked for.
    utterances : sorted by start; empty where no text was asked for.
    names : of the speakers who are known, by their number; one printable line each.
    """

    name: str
    duration: float
    turns: Sequence[Turn]
    utterances: Sequence[Utterance]
    names: Mapping[int, str] = field(default_factory=dict)

    def label(self, speaker: int) -> str:
        """What a reader calls a speaker: by name, or such as ``SPEAKER_00``."""
        return self.names.get(speaker) or label(speaker)
