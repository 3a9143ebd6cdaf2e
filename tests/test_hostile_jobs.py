"""Generated jobs: whatever the input is, the answer is one of the job API, and no defect."""

import json
import time

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from tests.hostile import CODES, codes
from worker.faults import MAX_FAULTS
from worker.health import is_asked_for
from worker.schema import JobRequest
from worker.service import Envelope, Service

SILENCE = "data:audio/wav;base64,UklGRiQAAABXQVZFZm10IBAAAAABAAEAgD4AAAB9AAACABAAZGF0YQAAAAA="
"""A wav of no samples: a job that is right after all costs next to nothing."""
SECRET = "the-secret-of-the-job"
TASKS = ("diarization", "asr", "transcript", "health")
CPU_S = 1.0
"""Of the whole process, for an error; how long the slowest took is printed."""

generated = settings(
    derandomize=True,
    deadline=None,
    database=None,
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def nested(depth: int, kind: type) -> object:
    """Lists in lists, or objects in objects."""
    value: object = 0
    for _ in range(depth):
        value = [value] if kind is list else {"audio": value}
    return value


TEXT = st.text(
    st.sampled_from("aZ09 \0\x1b\r\n\u202e\ufeff\ud800\udfff😀:/%\\.*{\"'") | st.characters(),
    max_size=20,
)
ODD = (
    *(None, True, False, 0, 1, -1, 3, 1.0, 0.5, -0.0, 1e-320, 1e308, 2**31, 2**63, 2**64),
    *(float("nan"), float("inf"), float("-inf"), 10**400, -(10**400), 10**4299, -(10**4299)),
    *(
        "",
        " ",
        "0",
        "true",
        "null",
        "NaN",
        "auto",
        "\0",
        "\ud800",
        "\udfff\ud800",
        "\u202e",
        "\r\n",
    ),
    *("a" * 201, "a" * 1_000_000, "\ud800" * 501, "😀" * 300, "e\u0301" * 200, "__class__", "$x"),
    *(
        "{0.__class__}",
        "%s%n",
        "${jndi:ldap://a}",
        "'; --",
        "<script>",
        "s3://bucket/../",
        "s3://b",
    ),
    *([], {}, [[]], [{}], [None], [0], [""], [float("nan")], ["\ud800"], {"": ""}, {"url": None}),
    *(
        {"\ud800": 0},
        {"a" * 10_000: 0},
        {"a\r\nb\x1b[0m": 0},
        {"__proto__": {}},
        {"url": f"http://127.2/?a={SECRET}"},
    ),
    *(list(range(300)), ["a"] * 300, {str(n): n for n in range(300)}),
)
DEEP = tuple(nested(depth, kind) for depth in (500, 5_000) for kind in (list, dict))
"""Apart: hypothesis cannot print them."""
VALUES = st.sampled_from(ODD) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=4,
)
GOOD = {
    "task": TASKS[:3],
    "model": ("whisper-tiny-en", "campplus", "", None),
    "language": ("auto", "en", "zh", "xx"),
    "num_speakers": (1, 100, None),
    "min_speakers": (1, 2, None),
    "max_speakers": (1, 2, None),
    "timestamps": ("none", "segment", "word"),
    "punctuation": (True, False),
    "itn": (True, False),
    "hotwords": ([], ["word"]),
    "formats": (["json"], ["txt", "srt", "vtt", "rttm", "textgrid", "json"], ["txt", "txt"]),
    "vad": ({}, {"max_end_silence_ms": 0}, {"max_segment_s": 600.0}),
    "diarization": ({}, {"window_s": 1.0, "shift_s": 3.0}, {"merge_threshold": 0.0}),
    "output": ("s3://bucket/prefix/", None),
    "timeout_s": (60, 1e-9, None),
    "stream": (True, False),
}
"""Values that the schema takes, so that a mistake beside them is reached."""
SOURCES = st.sampled_from(
    (
        *(SILENCE, "volume://nowhere.wav", "volume://../etc/passwd", "volume://\0", "volume://"),
        *("s3://bucket/key", "s3://", "data:,", "data:audio/wav;base64,A", "data:;base64,AAAA"),
        *("http://127.2:1/", "http://[", f"https://user:{SECRET}@[::1]/", "ftp://a", "", "\ud800"),
    )
)
AUDIO = SOURCES | st.fixed_dictionaries(
    {"url": SOURCES | VALUES},
    optional={"id": VALUES, "offset": VALUES, "duration": VALUES, "extra": VALUES},
)
FIELDS = st.fixed_dictionaries(
    {"audio": AUDIO | st.lists(AUDIO, max_size=4) | VALUES},
    optional={name: st.sampled_from(good) | VALUES for name, good in GOOD.items()},
)
UNKNOWN = st.dictionaries(TEXT | st.sampled_from(("Audio", "webhook", "speakers")), VALUES)
JOBS = FIELDS | st.builds(lambda job, more: more | job, FIELDS, UNKNOWN) | VALUES

S3_CONFIGS = VALUES | st.fixed_dictionaries(
    {},
    optional={
        "accessId": VALUES | st.just("id"),
        "accessSecret": VALUES | st.just(SECRET),
        "bucketName": VALUES | st.just("bucket"),
        "endpointUrl": VALUES | st.sampled_from(("http://127.2:1", "https://[::1]", "http://[")),
        "more": VALUES,
    },
)


@pytest.fixture(scope="module")
def answer(service) -> "Answer":
    return Answer(service)


class Answer:
    """The service's answer to a job, and what is to be said of each."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.worst_s = 0.0
        self.jobs = 0

    def __call__(self, job_input: object, envelope: Envelope | None = None) -> list[str]:
        started = time.process_time()
        reply = self._service.answer(job_input, envelope=envelope or Envelope())
        seconds = time.process_time() - started
        found = codes(reply, SECRET)
        if found:
            self.worst_s = max(self.worst_s, seconds)
            assert seconds < CPU_S
        self.jobs += 1
        return found


def test_the_rules_can_be_broken():
    for wrong in (
        {"error": "INTERNAL: a defect"},
        {"error": "INVALID_INPUT: a\nb"},
        {"error": f"INVALID_INPUT: {SECRET}"},
        {"results": [{"id": None, "ok": False, "error": "no code"}]},
        {"neither": 0},
    ):
        with pytest.raises(AssertionError):
            codes(wrong, SECRET)
    for wrong in {"task": "asr", "value": float("nan")}, {"task": "\ud800"}:
        with pytest.raises(ValueError, match=r"JSON|surrogates"):
            codes(wrong)
    assert {"INVALID_INPUT", "FORBIDDEN_URL", "TIMEOUT", "OUTPUT_TOO_LARGE"} <= CODES


@settings(generated, max_examples=350)
@given(JOBS)
@example({"audio": [SILENCE] * 65})
@example({"audio": [{"url": SILENCE, "id": "same"}] * 64, "task": "diarization"})
def test_jobs(answer, job_input):
    answer(job_input)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", [*JobRequest.model_fields, "webhook", "speakers", "Audio"])
def test_each_field_of_each_task(answer, task, name):
    for value in (*GOOD.get(name, ()), *ODD, *DEEP):
        # An audio that ends the job early: what is wrong with the field is told before.
        found = answer({"task": task, "audio": "volume://nowhere.wav", name: value})
        assert found or is_asked_for({"task": task})


@pytest.mark.parametrize("part", ["vad", "diarization", "audio"])
def test_each_field_of_a_part(answer, part):
    fields = {
        "vad": ("max_end_silence_ms", "max_segment_s", "speech_noise_threshold"),
        "diarization": ("window_s", "shift_s", "merge_threshold"),
        "audio": ("url", "id", "offset", "duration"),
    }
    for name in (*fields[part], "unknown"):
        for value in (*ODD, *DEEP):
            whole = {"url": SILENCE} if part == "audio" else {}
            answer({"task": "diarization", "audio": SILENCE, part: {**whole, name: value}})


MANY = {str(n): n for n in range(700_000)}
MASSES = {
    "fields": MANY,
    "fields of a part": {"audio": SILENCE, "vad": MANY},
    "fields of an audio": {"audio": [MANY]},
    "recordings": {"audio": ["x"] * 2_000_000},
    "hotwords": {"audio": SILENCE, "hotwords": ["x"] * 2_000_000},
    "formats": {"audio": SILENCE, "formats": ["x"] * 2_000_000},
    "name": {"audio": SILENCE, "a" * 9_000_000: 0},
    "fields beside health": {"task": "health", **MANY},
    "name beside health": {"task": "health", "\u202e" * 9_000_000: 0},
}


@pytest.mark.parametrize("mass", MASSES)
def test_masses_cost_next_to_nothing(answer, mass):
    started = time.process_time()
    assert answer(MASSES[mass]) == ["INVALID_INPUT"]
    assert time.process_time() - started < 0.5


def test_masses_in_an_s3_config_cost_next_to_nothing(answer):
    started = time.process_time()
    assert answer({"audio": SILENCE}, Envelope("job", MANY)) == ["INVALID_INPUT"]
    assert time.process_time() - started < 0.5


PHRASES = ("illegal memory access", "device-side assert", "out of memory")


@pytest.mark.parametrize("phrase", PHRASES)
def test_no_caller_ends_the_worker(answer, phrase):
    """`codes` looks whether a reply asks for another one."""
    job_input = {"task": "diarization", "audio": f"volume://{phrase}.wav"}
    for _ in range(2 * MAX_FAULTS):
        assert answer(job_input) == ["FETCH_FAILED"]


def test_jobs_that_are_no_objects(answer):
    for value in (*ODD, *DEEP):
        assert answer(value) == ["INVALID_INPUT"]


@settings(generated, max_examples=120)
@given(S3_CONFIGS, st.booleans())
def test_s3_configs(answer, s3_config, writes):
    output = {"output": "s3://bucket/prefix/"} if writes else {}
    job_input = {"task": "diarization", "audio": "s3://bucket/key", **output}
    assert answer(job_input, Envelope("job", s3_config))


@settings(generated, max_examples=40)
@given(TEXT | st.sampled_from(["sync-", "../..", "a" * 10_000, ".", "\ud800", "/"]))
def test_job_ids(answer, job_id):
    s3_config = {"accessId": "id", "accessSecret": SECRET, "endpointUrl": "http://127.2:1"}
    output = {"output": "s3://bucket/prefix/"}
    found = answer({"audio": SILENCE, **output}, Envelope(job_id, s3_config))
    assert found == ["FORBIDDEN_URL"]


def test_what_json_makes_of_it(answer):
    """The same values by the way that the platform takes."""
    for value in (*ODD, *DEEP[:2]):
        for text in json.dumps({"audio": SILENCE, "timeout_s": value}), json.dumps(value):
            answer(json.loads(text))


def test_figures(answer, record_property):
    assert answer.jobs > 500 or not answer.jobs  # alone, it has none to count
    record_property("jobs", answer.jobs)
    record_property("worst_cpu_s", answer.worst_s)
    print(f"{answer.jobs} jobs, at worst {answer.worst_s:.3f} s of CPU for an error")  # noqa: T201
