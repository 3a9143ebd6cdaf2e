"""A job's ``input`` and ``s3Config`` -> requests: one clear sentence for each mistake."""

import difflib

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from worker.errors import InvalidInputError
from worker.naming import quote
from worker.schema import MAX_AUDIOS, DiarizationRequest, JobRequest, S3Config, VadRequest
from worker.sources import MAX_VOICES, AudioSource, EnrolledVoice, VoiceEmbedding

MAX_MISTAKES = 5
"""Mistakes that one message names."""
MAX_FIELDS = 100
"""Of one object. pydantic describes each that it does not know, which takes seconds for many."""
MAX_GUESSED = 100
"""Characters of a name that is compared with those of fields."""

PARTS: dict[str, type[BaseModel]] = {"vad": VadRequest, "diarization": DiarizationRequest}
"""Fields of a job that are objects, beside its audio."""


def parse_s3_config(config: object) -> S3Config:
    """Validate a job's ``s3Config``; no message shows a value of it.

    Raises
    ------
    InvalidInputError
        Names each field that is wrong, and what is allowed.
    """
    check_num_fields("s3Config", config)
    allowed = ", ".join(str(field.alias) for field in S3Config.model_fields.values())
    try:
        return S3Config.model_validate(config)
    except ValidationError as error:
        mistakes = [
            f"{'.'.join(['s3Config', *(quote(str(part))[1:-1] for part in mistake['loc'])])}: "
            f"{mistake['msg']}"
            for mistake in error.errors(include_url=False, include_input=False)[:MAX_MISTAKES]
        ]
    raise InvalidInputError(f"{'; '.join(mistakes)}. Allowed fields: {allowed}.")


def parse(job_input: object) -> JobRequest:
    """Validate a job's ``input``.

    Raises
    ------
    InvalidInputError
        Names each field that is wrong, its value and what is allowed.
    """
    if not isinstance(job_input, dict):
        raise InvalidInputError(
            f"input: {quote(job_input)} is not allowed; expected an object such as "
            '{"task": "diarization", "audio": "https://..."}.'
        )
    if "webhook" in job_input:
        raise InvalidInputError(
            "webhook: not allowed inside input; set it beside input at the top level of the "
            "/run call, where the platform reads it."
        )
    for name, part in ("input", job_input), *((n, job_input.get(n)) for n in PARTS):
        check_num_fields(name, part)
    _check_voices(job_input.get("speakers"))
    audio = job_input.get("audio")
    if "audio" in job_input:
        listed = audio if isinstance(audio, list) else [audio]
        if len(listed) > MAX_AUDIOS:
            raise InvalidInputError(
                f"audio: {len(listed):,} recordings; at most {MAX_AUDIOS} go into one job. Send "
                "several jobs."
            )
        for index, source in enumerate(listed):
            check_num_fields(f"audio.{index}" if listed is audio else "audio", source)
    try:
        return JobRequest.model_validate(job_input)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_context=False)
        if not isinstance(audio, list):  # the caller knows of no list
            for mistake in errors:
                if mistake["loc"][:2] == ("audio", 0):
                    mistake["loc"] = ("audio", *mistake["loc"][2:])
        mistakes = [_describe(e) for e in errors[:MAX_MISTAKES]]
        if len(errors) > MAX_MISTAKES:
            mistakes.append(f"and {len(errors) - MAX_MISTAKES} more")
        raise InvalidInputError("; ".join(mistakes) + ".") from error


def check_num_fields(where: str, value: object) -> None:
    """Refuse an object that would take seconds to describe.

    Raises
    ------
    InvalidInputError
        It has more than `MAX_FIELDS`.
    """
    if isinstance(value, dict) and len(value) > MAX_FIELDS:
        raise InvalidInputError(
            f"{where}: has {len(value):,} fields; no object of a job has more than {MAX_FIELDS}."
        )


def _check_voices(voices: object) -> None:
    """Refuse what would take long to describe."""
    if not isinstance(voices, list):
        return
    if len(voices) > MAX_VOICES:
        raise InvalidInputError(
            f"speakers: {len(voices):,} voices; a job may know at most {MAX_VOICES}."
        )
    for index, voice in enumerate(voices):
        check_num_fields(f"speakers.{index}", voice)
        for name in ("audio", "embedding") if isinstance(voice, dict) else ():
            check_num_fields(f"speakers.{index}.{name}", voice.get(name))


EXPECTED = {"model_type": "expected an object", "list_type": "expected a list"}
"""pydantic names its own classes."""


def _describe(error: ErrorDetails) -> str:
    where = ".".join(quote(str(part))[1:-1] for part in error["loc"]) or "input"
    if error["type"] == "missing":
        return f"{where}: required, but missing"
    if error["type"] == "extra_forbidden":
        name, allowed = str(error["loc"][-1]), _fields_at(error["loc"][:-1])
        near = difflib.get_close_matches(name, allowed, n=1) if len(name) <= MAX_GUESSED else []
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        return f"{where}: unknown field{hint}; allowed: {', '.join(allowed)}"
    reason = EXPECTED.get(error["type"], error["msg"].removeprefix("Value error, "))
    if error["type"] == "value_error":
        return f"{where}: {reason}"
    return f"{where}: {quote(error['input'])} is not allowed: {reason}"


def _fields_at(location: tuple[int | str, ...]) -> list[str]:
    """Names of the fields of a part of a job, by where it is."""
    part: type[BaseModel]
    match location:
        case ():
            part = JobRequest
        case ("speakers", _):
            part = EnrolledVoice
        case ("speakers", _, "embedding"):
            part = VoiceEmbedding
        case (str(name), *_):
            part = PARTS.get(name, AudioSource)
        case _:
            raise ValueError(f"a job has no field at {location}")
    return list(part.model_fields)
