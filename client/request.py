"""What is asked of the worker for each recording; the worker checks what is not checked here."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from client.errors import UsageError

FORMATS_OF_TASK = {
    "transcript": ("json", "txt", "srt", "vtt", "rttm", "textgrid", "html"),
    "asr": ("json", "txt", "srt", "vtt", "textgrid", "html"),
    "diarization": ("json", "txt", "rttm", "textgrid", "html"),
}
"""What a job may ask for, as in docs/job-api.md: known here, a mistake costs no upload."""
OWN_FIELDS = {"audio": "PATH", "task": "--task", "formats": "--formats"}
"""Fields of a job that are given in another way."""


@dataclass(frozen=True, slots=True)
class Request:
    """The same for all recordings of a command.

    Parameters
    ----------
    fields : any other of docs/job-api.md, such as ``{"language": "en"}``.

    Raises
    ------
    UsageError
        There is no such task, or it gives no such format.
    """

    task: str = "transcript"
    formats: tuple[str, ...] = ("json",)
    fields: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.task not in FORMATS_OF_TASK:
            raise UsageError(
                f"task {self.task!r} is unknown; allowed: {', '.join(FORMATS_OF_TASK)}."
            )
        allowed = FORMATS_OF_TASK[self.task]
        if odd := [name for name in self.formats if name not in allowed]:
            raise UsageError(
                f"task {self.task!r} gives no format {', '.join(map(repr, odd))}; "
                f"allowed: {', '.join(allowed)}."
            )
        if not self.formats:
            raise UsageError(f"no format is asked for; allowed: {', '.join(allowed)}.")
        for name in OWN_FIELDS.keys() & self.fields.keys():
            raise UsageError(f"the field {name!r} has a place of its own: {OWN_FIELDS[name]}.")

    @property
    def output(self) -> object:
        """Where the worker is to keep the results, if it is."""
        return self.fields.get("output")

    def input(self, audio: Mapping[str, Any]) -> dict[str, Any]:
        """``input`` of the job on one recording."""
        return {
            "task": self.task,
            "audio": dict(audio),
            "formats": list(self.formats),
            **self.fields,
        }

    def fingerprint(self, identity: str, target: str) -> str:
        """What tells one piece of work from another: the recording, what is asked, and of whom."""
        asked = [identity, target, self.task, sorted(self.formats), dict(self.fields)]
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:32]


def parse_formats(text: str) -> tuple[str, ...]:
    """``srt,rttm`` as formats, each once."""
    return tuple(dict.fromkeys(name.lower() for name in re.split(r"[,\s]+", text) if name))


def parse_options(options: Iterable[str]) -> dict[str, Any]:
    """``key=value`` as fields; a value that is no JSON is a string.

    Raises
    ------
    UsageError
        There is no key, or one is given twice.
    """
    fields: dict[str, Any] = {}
    for option in options:
        key, equals, value = option.partition("=")
        if not equals or not key:
            raise UsageError(f"--option {option!r} is not key=value, such as itn=false.")
        if key in fields:
            raise UsageError(f"--option {key} is given twice.")
        try:
            fields[key] = json.loads(value, parse_constant=_refuse)
        except ValueError:
            fields[key] = value
    return fields


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON, though Python reads it")
