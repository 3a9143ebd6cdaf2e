"""docs/job-api.md and docs/job.schema.json are what the worker takes."""

import json

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from scripts.generate import blocks
from scripts.generate_job_api import SECTIONS, errors
from tests.manual import ROOT
from worker.errors import InvalidInputError
from worker.parsing import parse, parse_s3_config
from worker.schema import JobRequest, S3Config

fill = blocks(SECTIONS)
JOB_API = (ROOT / "docs" / "job-api.md").read_text()
SCHEMA = json.loads((ROOT / "docs" / "job.schema.json").read_text())
VALIDATOR = Draft202012Validator(SCHEMA)
KEYS = {"accessId": "a", "accessSecret": "s", "endpointUrl": "https://example.com"}
VALUES = [0.5] * 192


def test_tables_are_made_anew_and_prose_stays():
    stale = JOB_API.replace("| `stream` | bool |", "| `stream` | string |")
    assert stale != JOB_API
    assert fill(stale) == JOB_API
    assert fill(JOB_API.replace("# The job API", "# Jobs")).startswith("# Jobs\n")


@pytest.mark.parametrize("mark", ["<!-- errors: made", "<!-- errors: end", "<!-- vad: end"])
def test_a_mark_that_is_missing_is_told(mark):
    with pytest.raises(SystemExit, match=r"^One line '<!-- [\w-]+: made by make generate"):
        fill(JOB_API.replace(mark, "<!-- "))


def test_a_mark_of_nothing_is_told():
    with pytest.raises(SystemExit, match=r"^Nothing is made for the marks more, other\.$"):
        fill(f"{JOB_API}<!-- other: made by make generate -->\n<!-- more: end -->\n")


def test_every_field_and_code_is_in_the_document():
    for model in (JobRequest, S3Config):
        for name, field in model.model_fields.items():
            assert f"\n| `{field.alias or name}` | " in JOB_API
            assert field.description
    for error in errors():
        assert f"\n| `{error.code}` | {error.when} | {error.remedy} |\n" in JOB_API


def test_the_schema_is_one():
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize(
    "job_input",
    [
        {"audio": "volume://a.wav"},
        {"audio": ["volume://a.wav", {"url": "s3://b/c", "id": "c", "offset": 1, "duration": 2.5}]},
        {"audio": {"url": "https://example.com/a"}, "task": "asr", "hotwords": ["x"], "itn": False},
        {
            "audio": "x",
            "speakers": [{"name": "A", "audio": "x"}, {"name": "B", "embedding": VALUES}],
        },
        {"audio": "x", "speakers": [{"name": "A", "embedding": {"model": "m", "values": VALUES}}]},
        {"audio": "x", "speakers": [{"name": "A", "audio": {"url": "x"}, "embedding": None}]},
        {"audio": "x", "vad": {"max_segment_s": 5}, "diarization": {"overlap": False}},
        {"audio": "x", "formats": ["json", "textgrid"], "output": "s3://bucket/p/", "timeout_s": 9},
        {"audio": "x", "model": None, "timestamps": None, "num_speakers": None, "output": None},
    ],
)
def test_what_the_worker_takes_the_schema_takes(job_input):
    parse(job_input)
    VALIDATOR.validate({"input": job_input})


VALUES_OF_ANY_FIELD = [
    *(None, True, 0, 1, 2.5, -1, 101, 1e7, "", "x", "en", "word", "asr", "diarization"),
    *("s3://b/", "s3://bucket/p/", [], ["json"], ["rttm", "json"], [""], {}, {"overlap": True}),
    *({"max_segment_s": 5}, {"window_s": None}, {"url": "x", "id": None}, [{"url": "x"}, "y"]),
    *([{"name": "A", "audio": "x"}], [{"name": "B", "embedding": VALUES}], "\ud800", "A\nB"),
]


@given(
    st.dictionaries(
        st.sampled_from(sorted(JobRequest.model_fields)),
        st.sampled_from(VALUES_OF_ANY_FIELD),
        max_size=3,
    )
)
# In a fresh checkout its first draw reads all our sources, which takes a while on a busy machine.
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_schema_never_refuses_what_the_worker_takes(fields):
    job_input = {"audio": "x", **fields}
    try:
        parse(job_input)
    except InvalidInputError:
        return
    VALIDATOR.validate({"input": job_input})


@pytest.mark.parametrize(
    "job_input",
    [
        {},
        {"audio": []},
        {"audio": None},
        {"audio": ["x"] * 65},
        {"audio": ["x", 5]},
        {"audio": ""},
        {"audio": ["x", ""]},
        {"audio": {"url": ""}},
        {"audio": {"url": "x", "ofset": 1}},
        {"audio": {"url": "x", "duration": 0}},
        {"audio": "x", "task": "sing"},
        {"audio": "x", "num_speakers": 0},
        {"audio": "x", "num_speakers": True},
        {"audio": "x", "formats": ["docx"]},
        {"audio": "x", "language": "English"},
        {"audio": "x", "timeout_s": 0},
        {"audio": "x", "vad": None},
        {"audio": "x", "speakers": [{"audio": "x"}]},
        {"audio": "x", "speakers": [{"name": "B", "embedding": VALUES[1:]}]},
        {"audio": "x", "unknown": 1},
        {"audio": "x", "output": "https://example.com/"},
        {"audio": "x", "output": "s3://bucket/no-slash"},
        {"task": "health", "audio": "x"},
    ],
)
def test_what_the_schema_refuses_the_worker_refuses(job_input):
    with pytest.raises(jsonschema.ValidationError):
        VALIDATOR.validate({"input": job_input})
    with pytest.raises(InvalidInputError):
        parse(job_input)


def test_the_rest_of_a_call():
    call = {"input": {"task": "health"}, "webhook": "https://example.com"}
    VALIDATOR.validate(call)
    VALIDATOR.validate({**call, "s3Config": KEYS})
    assert parse_s3_config(KEYS).access_id == "a"
    for wrong in ({}, {**KEYS, "accessId": ""}, {**KEYS, "bucketName": "a b"}, {**KEYS, "x": 1}):
        with pytest.raises(jsonschema.ValidationError):
            VALIDATOR.validate({**call, "s3Config": wrong})
        with pytest.raises(InvalidInputError):
            parse_s3_config(wrong)
