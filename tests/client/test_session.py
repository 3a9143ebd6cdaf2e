"""The library against the loopback platform, and what the platform may do wrong."""

import threading
import time
from collections.abc import Iterator
from email.utils import formatdate

import httpx
import pytest

from client import Client, JobFailed, errors, request, sources
from client.request import Request
from tests.client.processes import names_of_jobs
from tests.client.waits import Waits
from tests.platform import until
from worker import formats

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture
def client(loopback, stand_in) -> Iterator[Client]:
    with Client(endpoint="loopback") as client:
        yield client


@pytest.fixture
def call(calls):
    return calls("a.wav") / "a.wav"


def test_a_result_is_typed_and_newer_fields_are_kept(client, call, loopback):
    result = client.transcribe(call, formats=["json", "srt"], language="en", num_speakers=2)
    assert result.audio.duration == 61.5
    assert [speaker.speaker for speaker in result.speakers] == ["SPEAKER_00", "SPEAKER_01"]
    assert result.segments[0].text == "Hello."
    assert result.files == {"srt": "srt of a\n"}
    assert result.model_extra == {"of_a_newer_worker": {"a": 1}}
    sent = loopback.records("run")[0]["json"]["input"]
    assert sent["audio"]["url"].startswith("data:application/octet-stream;base64,")
    assert {name: sent[name] for name in sent if name != "audio"} == {
        "task": "transcript",
        "formats": ["json", "srt"],
        "language": "en",
        "num_speakers": 2,
    }
    with pytest.raises(ValueError, match="frozen"):
        result.text = "other"


def test_progress_is_told(client, call):
    seen = []
    job = client.submit(call, progress={"stage": "asr", "progress": 0.42})
    client.wait(job, watch=lambda stage, share: seen.append((stage, share)))
    assert ("asr", 0.42) in seen


@pytest.mark.parametrize("progress", ["half", {"stage": 3, "progress": "x"}, {"progress": 7}, [1]])
def test_odd_progress_is_none(client, call, progress):
    seen = []
    client.wait(client.submit(call, progress=progress), watch=lambda *told: seen.append(told))
    assert ("working", None) in seen


@pytest.mark.parametrize(
    ("answer", "code", "message"),
    [
        ({"error": "FETCH_FAILED: no: such\nfile"}, "FETCH_FAILED", "no: such\nfile"),
        ({"error": '{"error_type": "x"}'}, "FAILED", '{"error_type": "x"}'),
        ({"error": {"a": 1}}, "FAILED", "{'a': 1}"),
        ({"output": None}, "NO_RESULT", "the platform has lost the result"),
        ({"output": "text"}, "FAILED", "gives no reason"),
        ({"output": {"error": "TIMEOUT: too long"}}, "TIMEOUT", "too long"),
        ({"output": {"task": "asr"}}, "BAD_RESULT", "audio: Field required"),
        ({"output": {"task": "asr", "audio": {"duration": "x"}}}, "BAD_RESULT", "audio.duration"),
    ],
)
def test_what_is_no_result_is_a_failed_job(client, call, answer, code, message):
    with pytest.raises(JobFailed) as failed:
        client.transcribe(call, answer=answer)
    assert failed.value.code == code
    assert message in failed.value.message


def test_a_job_that_somebody_cancels_has_failed(client, call):
    job = client.submit(call, hold=True)
    client.cancel(job)
    with pytest.raises(JobFailed, match=r"^CANCELLED: "):
        client.wait(job)


@pytest.mark.parametrize(
    "how",
    [
        {"status": 500},
        {"status": 429, "headers": {"Retry-After": "1"}},
        {"status": 429, "headers": {"Retry-After": formatdate(time.time() + 1, usegmt=True)}},
        {"status": 503, "headers": {"Retry-After": "soon"}},
        {"status": 502},
        {"status": 200, "body": "no {JSON"},
        {"status": 200, "body": "[1]"},
        {"status": 200, "body": "<p>", "content_type": "text/html"},
        {"do": "drop"},
        {"do": "cut"},
    ],
)
def test_a_status_is_asked_for_again(client, call, loopback, how):
    job = client.submit(call)
    loopback.misbehave("status", times=3, **how)
    assert client.wait(job).text == "Hello."
    assert len(loopback.jobs()) == 1
    assert len(loopback.records("status")) >= 4


def test_a_platform_is_left_alone_for_as_long_as_it_asks(loopback, stand_in, call):
    waits = Waits()
    with Client(endpoint="loopback", stop=waits) as client:
        loopback.misbehave("run", status=429, headers={"Retry-After": "77"})
        client.submit(call)
    assert waits.asked == [77]


def test_keys_go_with_a_job_that_needs_them(loopback, call, tmp_path, monkeypatch):
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
        monkeypatch.setenv(f"BUCKET_{name}", name)
    monkeypatch.setenv("BUCKET_ENDPOINT_URL", "http://127.0.0.1:1")
    file, address = sources.of_file(call), sources.of_address("s3://bucket/a.wav")
    to_bucket = Request(fields={"output": "s3://bucket/results/"})
    with Client(endpoint="loopback", s3="s3://bucket/", send_keys=True) as client:
        for recording, asked, carries in (
            (file, Request(), False),
            (file, to_bucket, True),
            (address, Request(), True),
        ):
            assert ("s3Config" in client.payload(recording, asked)) == carries


def test_formats_are_those_of_the_worker():
    assert request.FORMATS_OF_TASK == formats.FORMATS_OF_TASK


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_job_that_is_refused_for_now_is_sent_again(client, call, loopback, status):
    loopback.misbehave("run", times=2, status=status)
    assert client.transcribe(call).text == "Hello."
    assert [record["status"] for record in loopback.records("run")] == [status, status, 200]


def test_a_platform_that_is_down_is_waited_for(client, call, loopback, monkeypatch):
    monkeypatch.setattr("client.platform.LONGEST_PAUSE_S", 1.0)
    loopback.down(0.5)
    assert client.transcribe(call).text == "Hello."
    assert len(loopback.jobs()) == 1


@pytest.mark.parametrize(
    "how",
    [
        {"do": "drop"},
        {"do": "drop", "carry_out": True},
        {"do": "cut", "carry_out": True},
        {"status": 504, "carry_out": True},
        {"status": 200, "body": "no {JSON", "carry_out": True},
        {"status": 200, "body": "{}"},
    ],
)
def test_a_job_whose_answer_is_lost_is_not_sent_again(client, call, loopback, how):
    loopback.misbehave("run", **how)
    with pytest.raises(errors.UnclearError, match="--resubmit"):
        client.submit(call)
    assert len(loopback.records("run")) == 1
    assert len(loopback.jobs()) == bool(how.get("carry_out"))


def test_a_platform_that_stays_away_is_an_error(client, call, loopback):
    loopback.misbehave("run", times=100, status=500)
    with pytest.raises(errors.UnreachableError, match=r"in 8 tries: HTTP 500"):
        client.submit(call)
    loopback.behave()
    loopback.misbehave("run", status=429, headers={"Retry-After": "3600"})
    with pytest.raises(errors.UnreachableError, match="in 1 tries"):
        client.submit(call)


def test_a_silent_platform_is_not_waited_for_for_ever(client, call, loopback, monkeypatch):
    job = client.submit(call)
    timeout = httpx.Timeout(0.2)
    monkeypatch.setattr(client.platform._http, "_timeout", timeout)
    loopback.misbehave("status", times=2, do="hang")
    assert client.wait(job).text == "Hello."


@pytest.mark.parametrize(("status", "says"), [(401, "key"), (403, "key"), (404, "no endpoint")])
def test_a_refused_key_or_endpoint_is_told_at_once(client, call, loopback, status, says):
    loopback.misbehave("run", status=status)
    with pytest.raises(errors.AccessError, match=says):
        client.submit(call)
    assert len(loopback.records("run")) == 1


def test_a_wrong_key_stays_unsaid(loopback, call):
    with Client(endpoint="loopback", api_key="rpa_secret") as client:
        with pytest.raises(errors.AccessError) as refused:
            client.submit(call)
        assert "rpa_secret" not in f"{refused.value!r} {vars(client)!r}"


@pytest.mark.parametrize(("status", "says"), [(400, "refuses the call: no"), (413, "--s3")])
def test_a_refused_job_is_told(client, call, loopback, status, says):
    loopback.misbehave("run", status=status, body="no")
    with pytest.raises(errors.RefusedError, match=says):
        client.submit(call)


def test_a_job_that_is_not_known_is_asked_for_a_few_times(client, call, loopback):
    job = client.submit(call)
    loopback.misbehave("status", times=2, status=404)
    assert client.wait(job).text == "Hello."
    loopback.forget(job.id)
    with pytest.raises(errors.GoneError):
        client.wait(job)


def test_an_odd_status_ends_the_wait(client, call, loopback):
    job = client.submit(call, hold=True)
    loopback.misbehave("status", status=200, body='{"status": "ASLEEP"}')
    with pytest.raises(errors.UnreachableError, match="ASLEEP"):
        client.wait(job)


def test_a_wait_has_an_end(client, call, loopback):
    job = client.submit(call, hold=True)
    with pytest.raises(errors.WaitError, match=r"in 0\.3 s"):
        client.wait(job, timeout=0.3)
    assert names_of_jobs(loopback) == ["a"]


def test_stop_ends_a_wait(loopback, stand_in, call):
    stop = threading.Event()
    with Client(endpoint="loopback", stop=stop) as client:
        job = client.submit(call, hold=True)
        until(lambda: loopback.job(job.id)["status"] == "IN_PROGRESS")
        threading.Timer(0.2, stop.set).start()
        with pytest.raises(errors.StoppedError):
            client.wait(job)


def test_an_address_goes_as_it_is(client, loopback):
    client.transcribe("https://example.com/calls/call%207.mp3?token=x")
    audio = loopback.records("run")[0]["json"]["input"]["audio"]
    assert audio == {"url": "https://example.com/calls/call%207.mp3?token=x", "id": "call 7"}


def test_a_large_file_without_a_bucket_says_what_to_do(client, tmp_path):
    large = tmp_path / "large.wav"
    with large.open("wb") as file:
        file.truncate(7_000_001)
    with pytest.raises(errors.SourceError, match=r"has 7\.0 MB.*--s3 s3://bucket/prefix/"):
        client.submit(large)


def test_the_largest_file_that_goes_in_a_call_fits(client, tmp_path, loopback):
    large = tmp_path / f"{'ü' * 120}.wav"
    large.write_bytes(bytes(7_000_000))
    assert client.transcribe(large).text == "Hello."
    assert 9_300_000 < loopback.records("run")[0]["size"] < 10_000_000


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "not neither"),
        ({"endpoint": "a", "url": "http://localhost:8000"}, "not both"),
        ({"endpoint": "https://api.runpod.ai/v2/a"}, "is no id"),
        ({"endpoint": "a", "api_key": ""}, "RUNPOD_API_KEY"),
        ({"endpoint": "a", "api_key": "schlüssel"}, "no key has"),
        ({"url": "localhost:8000"}, "http://host:port"),
        ({"url": "http://localhost:port"}, "http://host:port"),
        ({"url": "http://u:p@localhost"}, "http://host:port"),
        ({"endpoint": "a", "s3": "bucket/prefix"}, "s3://bucket/prefix/"),
        ({"endpoint": "a", "send_keys": True}, "--send-keys"),
    ],
)
def test_what_makes_no_client(loopback, given, says):
    with pytest.raises(errors.UsageError, match=says):
        Client(**given)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"formats": ["doc"]}, r"'doc'; allowed: json, txt"),
        ({"formats": []}, "no format"),
        ({"task": "asr", "formats": ["rttm"]}, "gives no format 'rttm'"),
        ({"task": "sing"}, "task 'sing' is unknown"),
        ({"audio": "x"}, "PATH"),
    ],
)
def test_what_makes_no_request(client, call, asked, says):
    with pytest.raises(errors.UsageError, match=says):
        client.submit(call, **asked)
