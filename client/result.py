"""What a job is answered, typed: docs/job-api.md has what each field means.

Times are seconds. What a newer worker adds is kept in `model_extra` and no error.
"""

import json
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from client.errors import JobFailed

MAX_MISTAKES = 3
"""That one message names."""


class Record(BaseModel):
    """Frozen; fields that are not known here stay, in `model_extra`."""

    model_config = ConfigDict(frozen=True, extra="allow")


class Audio(Record):
    """The recording as it was sent."""

    duration: float
    id: str | None = None
    sample_rate: int | None = None
    channels: int | None = None
    codec: str | None = None


class Embedding(Record):
    """What a voice is like; goes into `speakers` of another job as it is."""

    model: str | None = None
    values: tuple[float, ...]


class Speaker(Record):
    """Somebody who is heard; `name` and `score` where the voice is known."""

    speaker: str
    name: str | None = None
    duration: float = 0.0
    turns: int = 0
    score: float | None = None
    embedding: Embedding | None = None


class Turn(Record):
    """A stretch of speech of one speaker."""

    start: float
    end: float
    speaker: str
    name: str | None = None
    score: float | None = None


class Word(Record):
    """A word as the model wrote it."""

    word: str
    start: float
    end: float
    speaker: str | None = None
    name: str | None = None


class Segment(Record):
    """What one speaker said without a break; `words` is None where no word times were given."""

    start: float
    end: float
    text: str
    speaker: str | None = None
    name: str | None = None
    language: str | None = None
    emotion: str | None = None
    event: str | None = None
    flaw: str | None = None
    words: tuple[Word, ...] | None = None


class Result(Record):
    """The outcome of one recording; what the task does not give is empty or None.

    `files` holds the texts of the formats that were asked for, but JSON, by their names.
    """

    task: str
    audio: Audio
    speakers: tuple[Speaker, ...] = ()
    turns: tuple[Turn, ...] = ()
    language: str | None = None
    text: str | None = None
    segments: tuple[Segment, ...] = ()
    notes: tuple[str, ...] = ()
    models: dict[str, str] = {}
    timings: dict[str, float] = {}
    files: dict[str, str] = {}


def parse(reply: object) -> Result:
    """Read a reply.

    Raises
    ------
    JobFailed
        It is none, with the code ``BAD_RESULT``.
    """
    try:
        return Result.model_validate(reply)
    except ValidationError as error:
        mistakes = [
            f"{'.'.join(map(str, each['loc'])) or 'the answer'}: {each['msg']}"
            for each in error.errors()[:MAX_MISTAKES]
        ]
        raise JobFailed(
            "BAD_RESULT",
            f"the answer is not that of a speech worker ({'; '.join(mistakes)}). Check that the "
            "endpoint runs this worker, and that the client is not older than it.",
        ) from error


def read_json(text: str) -> dict[str, Any]:
    """Read a reply that was kept as a file.

    Raises
    ------
    JobFailed
        It is none, with the code ``BAD_RESULT``.
    """
    try:
        reply = json.loads(text)
    except ValueError as error:
        raise JobFailed("BAD_RESULT", f"the result is no JSON ({error}).") from error
    if not isinstance(reply, dict):
        raise JobFailed("BAD_RESULT", "the result is no JSON object.")
    return reply
