"""What docs/job-api.md says of fields, formats and errors, and docs/job.schema.json."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from worker.errors import WorkerError
from worker.formats import FORMATS_OF_TASK
from worker.schema import DiarizationRequest, JobRequest, S3Config, VadRequest
from worker.sources import AudioSource, EnrolledVoice, VoiceEmbedding

Schema = dict[str, Any]

HEADINGS = {
    "AudioSource": "a-recording",
    "EnrolledVoice": "a-voice",
    "VoiceEmbedding": "an-embedding",
    "VadRequest": "vad",
    "DiarizationRequest": "diarization",
}
"""Objects inside a job, and the headings of docs/job-api.md that their tables stand below."""
WORDS = {"boolean": "bool", "integer": "int"}


def render_fields(model: type[BaseModel], unset: str = "unset") -> str:
    """Table of an object's fields: name, type with its bounds, default, meaning.

    Parameters
    ----------
    unset : what counts where a field is null or left out.
    """
    schema = model.model_json_schema()
    required = schema.get("required", [])
    rows = ["| field | type | default | meaning |", "| --- | --- | --- | --- |"]
    for name, field in schema["properties"].items():
        default = "required" if name in required else _default(field.get("default"), unset)
        meaning = field["description"].replace("|", r"\|")
        rows.append(f"| `{name}` | {describe(field)} | {default} | {meaning} |")
    return "\n".join(rows)


def describe(schema: Schema) -> str:
    """What a value may be, in words: ``list of up to 64: string, or object``."""
    match schema:
        case {"$ref": ref}:
            return f"[object](#{HEADINGS[ref.rpartition('/')[2]]})"
        case {"anyOf": choices}:
            # Of a field that may be null, the default says so.
            return ", or ".join(describe(c) for c in choices if c != {"type": "null"})
        case {"enum": values}:
            return ", ".join(f"`{value}`" for value in values)
        case {"type": "array", "items": items, "maxItems": _}:
            return f"list of {_count(schema)}{describe(items)}"
        case {"type": "string", "maxLength": _}:
            return f"string of {_bounds(schema, 'minLength', 'maxLength')} characters"
        case {"type": kind, "exclusiveMinimum": low, "maximum": high}:
            return f"{WORDS.get(kind, kind)} above {low:,}, up to {high:,}"
        case {"type": kind}:
            bounds = _bounds(schema, "minimum", "maximum")
            return f"{WORDS.get(kind, kind)}{f', {bounds}' if bounds else ''}"
        case _:
            raise ValueError(f"no words for {schema}; add them to scripts/generate_job_api.py")


def _count(schema: Schema) -> str:
    low, high = schema.get("minItems", 0), schema["maxItems"]
    if low == high:
        return f"{high}: "
    return f"{low} to {high}: " if low else f"up to {high}: "


def _bounds(schema: Schema, low_name: str, high_name: str) -> str:
    """Words for the bounds of a value, such as ``1 to 100``; none where there are none."""
    low, high = schema.get(low_name), schema.get(high_name)
    if low is None:
        return "" if high is None else f"up to {high:,.10g}"
    return f"at least {low:,.10g}" if high is None else f"{low:,.10g} to {high:,.10g}"


def _default(value: object, unset: str) -> str:
    if value is None:
        return unset
    if value == []:
        return "none"
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def render_formats() -> str:
    """Table of the formats that each task gives."""
    rows = ["| task | formats |", "| --- | --- |"]
    for task, formats in FORMATS_OF_TASK.items():
        rows.append(f"| `{task}` | {', '.join(f'`{name}`' for name in formats)} |")
    return "\n".join(rows)


def render_errors() -> str:
    """Table of the errors that a job can end with."""
    rows = ["| code | when | what to do |", "| --- | --- | --- |"]
    rows += [f"| `{error.code}` | {error.when} | {error.remedy} |" for error in errors()]
    return "\n".join(rows)


def errors(base: type[WorkerError] = WorkerError) -> Iterator[type[WorkerError]]:
    """Yield the classes that have a code, in the order of worker/errors.py."""
    for each in base.__subclasses__():
        if "code" in vars(each):
            yield each
        yield from errors(each)


SECTIONS: dict[str, Callable[[], str]] = {
    "input": partial(render_fields, JobRequest),
    "a-recording": partial(render_fields, AudioSource),
    "a-voice": partial(render_fields, EnrolledVoice),
    "an-embedding": partial(render_fields, VoiceEmbedding),
    "vad": partial(render_fields, VadRequest, unset="the project's"),
    "diarization": partial(render_fields, DiarizationRequest, unset="the project's"),
    "s3": partial(render_fields, S3Config),
    "formats": render_formats,
    "errors": render_errors,
}
"""What stands between marks in docs/job-api.md, by the name in its mark."""


def job_schema() -> str:
    """docs/job.schema.json: what is posted to ``/run``, as JSON Schema 2020-12.

    It knows each field by itself; what fields say of each other, the worker alone checks.
    """
    _, models = models_json_schema([(JobRequest, "validation"), (S3Config, "validation")])
    definitions: Schema = models["$defs"]
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Call",
        "description": "What is posted to /run or /runsync. The platform reads further fields "
        "beside input, such as webhook.",
        "type": "object",
        "required": ["input"],
        "properties": {
            "input": {"anyOf": [{"$ref": "#/$defs/JobRequest"}, {"$ref": "#/$defs/Health"}]},
            "s3Config": {"$ref": "#/$defs/S3Config"},
        },
        "$defs": definitions
        | {
            "Health": {
                "description": "Asks how the worker is.",
                "type": "object",
                "required": ["task"],
                "properties": {"task": {"const": "health"}},
                "additionalProperties": False,
            }
        },
    }
    return json.dumps(_without_titles(schema), indent=2, ensure_ascii=False) + "\n"


def _without_titles(schema: Schema) -> Schema:
    """Drop the titles that pydantic makes of fields' names; generated types would be named so."""
    for definition in schema["$defs"].values():
        definition.pop("title", None)
        for field in definition["properties"].values():
            field.pop("title", None)
    return schema
