"""A file with a worker's answer -> the result of one recording in it, looked at before it is used.

The page's scripts trust their data, so a result that somebody edited is checked here.
"""

import json
import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from worker.errors import InvalidInputError
from worker.formats.document import Document
from worker.naming import quote_name, shorten
from worker.segments import Turn, Utterance, Word

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Speaker = Annotated[str, Field(pattern=r"^SPEAKER_\d{2,4}$")]


class Lenient(BaseModel):
    """Part of a result; what else is in it is not looked at."""

    model_config = ConfigDict(extra="ignore", strict=True)


class AudioPart(Lenient):
    """Of which recording the result is."""

    id: str | None = None
    duration: Seconds


class SpeakerPart(Lenient):
    """One of those who speak."""

    speaker: Speaker
    name: str | None = None
    duration: Seconds
    turns: int
    score: float | None = None


class Stretch(Lenient):
    """What has a beginning and an end."""

    start: Seconds
    end: Seconds


class TurnPart(Stretch):
    """A turn."""

    speaker: Speaker


class WordPart(Stretch):
    """A word."""

    word: str
    speaker: Speaker | None = None


class SegmentPart(Stretch):
    """What was said without a break."""

    text: str
    speaker: Speaker | None = None
    words: list[WordPart] | None = None
    emotion: str | None = None
    event: str | None = None
    flaw: str | None = None


class ResultPart(Lenient):
    """The result of one recording, as far as a report needs it."""

    audio: AudioPart
    speakers: list[SpeakerPart] | None = None
    turns: list[TurnPart] = []
    segments: list[SegmentPart] = []
    text: str = ""
    language: str | None = None
    notes: list[str] = []
    models: dict[str, str] = {}


def read(path: Path, index: int | None = None) -> tuple[dict[str, Any], ResultPart]:
    """Find a recording's result in an answer: RunPod's, the worker's, or an entry of a list's.

    Parameters
    ----------
    index : of the recording in a list, from 0; None where there is one.

    Returns
    -------
    The result as it is, and what a report needs of it, checked.

    Raises
    ------
    InvalidInputError
        The file cannot be read, is no such answer, or tells of an error.
    """
    try:
        answer = json.loads(path.read_bytes())
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(
            f"{path} is not JSON: {error}. Give the answer of a job, as it came."
        ) from error
    if isinstance(answer, dict) and "output" in answer:
        answer = answer["output"]
    if isinstance(answer, dict) and isinstance(answer.get("results"), list):
        answer = _entry(path, answer["results"], index)
    elif index is not None:
        raise InvalidInputError(
            f"--index {index}: {path} has one result, not a list. Leave it out."
        )
    if isinstance(answer, dict) and "error" in answer:
        raise InvalidInputError(
            f"{path} holds no result, but an error: {shorten(str(answer['error']), 300)}"
        )
    if not isinstance(answer, dict) or "audio" not in answer:
        raise InvalidInputError(
            f"{path} holds no result: there is no `audio` in it. A report is made of the JSON "
            "answer to a job, or of its `output`; where files went to S3, of the JSON file there."
        )
    return answer, _check(path, answer)


def _entry(path: Path, entries: list[Any], index: int | None) -> object:
    """The outcome of one recording of a list."""
    if index is None and len(entries) == 1:
        index = 0
    if index is None or not 0 <= index < len(entries):
        given = "" if index is None else f" --index {index} is none of them."
        raise InvalidInputError(
            f"{path} has the results of {len(entries)} recordings.{given} Choose one with --index, "
            f"0 to {len(entries) - 1}."
        )
    entry = entries[index]
    return entry.get("output", entry) if isinstance(entry, dict) else entry


def _check(path: Path, result: dict[str, Any]) -> ResultPart:
    try:
        part = ResultPart.model_validate(result)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(place) for place in first["loc"])
        raise InvalidInputError(
            f"{path} is no result of this worker: {shorten(where, 100)}: {first['msg']}. Give the "
            "answer of a job, as it came (docs/job-api.md)."
        ) from error
    known = {entry.speaker for entry in part.speakers or []}
    for turn in part.turns:
        if turn.speaker not in known:
            raise InvalidInputError(
                f"{path} is no result of this worker: {quote_name(turn.speaker)} has turns, but is "
                "not in the list of speakers. Give the answer of a job, as it came."
            )
    return part


def document_of(part: ResultPart, name: str) -> Document:
    """What the exports of a page are made from; a result without word times has coarser subtitles.

    Parameters
    ----------
    part : as `read` gives it.
    name : of the recording, where the result has no id.
    """
    names = {_number(entry.speaker): entry.name for entry in part.speakers or [] if entry.name}
    return Document(
        part.audio.id or name,
        part.audio.duration,
        [Turn(turn.start, turn.end, _number(turn.speaker)) for turn in part.turns],
        [_utterance(segment) for segment in part.segments],
        names,
    )


def _utterance(segment: SegmentPart) -> Utterance:
    words = None
    if segment.words is not None:
        words = tuple(Word(word.word, word.start, word.end) for word in segment.words)
    speaker = _number(segment.speaker) if segment.speaker else None
    return Utterance(segment.start, segment.end, segment.text, words, speaker)


def _number(speaker: str) -> int:
    """Index of ``SPEAKER_07``."""
    return int(re.sub(r"\D", "", speaker))
