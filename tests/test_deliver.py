"""Results go into the answer, or to S3: the delivery alone, and whole jobs through it."""

import json
import math
from urllib.parse import unquote

import pytest

from tests import s3_server
from tests.s3_server import Proxy, refusal
from worker import deliver, places, s3
from worker.control import JobControl
from worker.deliver import Delivery
from worker.errors import (
    CancelledError,
    ForbiddenUrlError,
    InvalidInputError,
    OutputFailedError,
    OutputTooLargeError,
)
from worker.parts import serialise
from worker.schema import parse
from worker.service import Envelope

SECRET = "a/very+secret"
SAMPLE = {"task": "diarization", "audio": "volume://samples/sample.wav"}
RESULT = {
    "task": "diarization",
    "audio": {"id": None, "duration": 1.0},
    "speakers": [],
    "turns": [{"start": 0.0, "end": 1.0, "speaker": "SPEAKER_00"}],
    "models": {"vad": "v"},
    "timings": {"total": 1.0},
    "files": {"rttm": "SPEAKER ä\n"},
}
"""As the service makes it."""
JSON_ALONE = {key: value for key, value in RESULT.items() if key != "files"}
SHORT = {"task", "audio", "speakers", "models", "timings", "files"}


@pytest.fixture(scope="module")
def moto():
    with s3_server.moto() as url:
        yield url


@pytest.fixture
def proxy(moto):
    with Proxy(moto) as proxy:
        yield proxy


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch) -> None:
    monkeypatch.setattr(s3, "PAUSE_S", 0.01)


@pytest.fixture
def objects(moto):
    """What is in the bucket below a prefix, and empties it."""
    store = s3_server.client_of(moto)

    def read(prefix: str = "") -> dict[str, bytes]:
        listed = store.list_objects_v2(Bucket="bucket", Prefix=prefix).get("Contents", [])
        return {
            entry["Key"]: store.get_object(Bucket="bucket", Key=entry["Key"])["Body"].read()
            for entry in listed
        }

    for key in read():
        store.delete_object(Bucket="bucket", Key=key)
    return read


@pytest.fixture
def make_delivery(make_settings):
    def make(job: dict, job_id="job-1", s3_config=None, control=None, **variables) -> Delivery:
        request = parse({**SAMPLE, **job})
        settings = make_settings(**variables)
        return Delivery(request, job_id, s3_config, settings, control or JobControl())

    return make


def config(url: str, **fields: str) -> dict[str, str]:
    return {"accessId": "KEY", "accessSecret": SECRET, "endpointUrl": url, **fields}


def of_size(size: int) -> dict:
    """A reply of this many bytes."""
    padding = size - len(json.dumps({**RESULT, "text": ""}, ensure_ascii=False).encode())
    return {**RESULT, "text": "x" * padding}


@pytest.mark.parametrize(
    ("job_id", "limit"),
    [("job-1", 9_500_000), ("sync-1", 19_000_000), (None, 9_500_000)],
)
def test_what_fits_comes_in_the_answer(make_delivery, job_id, limit):
    reply = of_size(limit)
    delivery = make_delivery({}, job_id)
    assert delivery.deliver(reply) is reply
    assert delivery.num_bytes == len(serialise(reply))
    with pytest.raises(OutputTooLargeError) as caught:
        make_delivery({}, job_id).deliver(of_size(limit + 100_000))
    for word in (f"{limit / 1e6 + 0.1:.1f} MB", f"takes {limit / 1e6:g} MB", "SPEECH_OUTPUT"):
        assert word in str(caught.value)


def test_sizes_are_those_of_utf_8(make_delivery):
    with pytest.raises(OutputTooLargeError):
        make_delivery({}).deliver({**RESULT, "text": "词" * 3_500_000})


def test_a_list_is_measured_as_a_whole(make_delivery):
    entry = {"id": None, "ok": True, "output": of_size(5_000_000)}
    with pytest.raises(OutputTooLargeError):
        make_delivery({}).deliver({"results": [entry, entry]})


@pytest.mark.parametrize("value", [math.nan, math.inf, object(), b"bytes", "\ud800"])
def test_what_does_not_serialise_is_an_error(make_delivery, value):
    with pytest.raises((ValueError, TypeError)):
        make_delivery({}).deliver({**RESULT, "text": value})


def test_an_error_goes_as_it_is(make_delivery, moto):
    reply = {"error": "FETCH_FAILED: gone"}
    job = {"output": "s3://bucket/out/"}
    assert make_delivery(job, s3_config=config(moto)).deliver(reply) is reply


def test_files_go_where_the_job_wants_them(make_delivery, moto, objects):
    job = {"output": "s3://bucket/a folder/", "formats": ["json", "rttm"]}
    delivery = make_delivery(job, s3_config=config(moto))
    delivery.check()
    assert objects() == {}
    reply = delivery.deliver(RESULT)
    assert reply.keys() == SHORT
    there = objects()
    assert there.keys() == {"a folder/job-1/result.json", "a folder/job-1/result.rttm"}
    assert there["a folder/job-1/result.rttm"] == "SPEAKER ä\n".encode()
    assert json.loads(there["a folder/job-1/result.json"]) == JSON_ALONE
    for kind, link in reply["files"].items():
        assert link.startswith(f"{moto}/bucket/a%20folder/job-1/result.{kind}?")
    assert SECRET not in str(reply)
    # Delivered again, the job writes the same objects.
    make_delivery(job, s3_config=config(moto)).deliver(RESULT)
    assert objects() == there


def test_only_wanted_formats_are_written(make_delivery, moto, objects):
    job = {"output": "s3://bucket/", "formats": ["rttm"]}
    reply = make_delivery(job, s3_config=config(moto)).deliver(RESULT)
    assert objects().keys() == {"job-1/result.rttm"}
    assert reply["files"].keys() == {"rttm"}


@pytest.mark.parametrize(
    ("job_id", "folder"),
    [("a/b c", "a%2Fb%20c"), ("..", "%2E%2E"), ("ä", "%C3%A4"), ("../x", "%2E%2E%2Fx")],
)
def test_an_id_is_one_part_of_a_key(make_delivery, moto, objects, job_id, folder):
    job = {"output": "s3://bucket/out/"}
    make_delivery(job, job_id, s3_config=config(moto)).deliver(JSON_ALONE)
    assert objects().keys() == {f"out/{folder}/result.json"}


def test_jobs_without_an_id_do_not_overwrite_each_other(make_delivery, moto, objects):
    for _ in range(2):
        make_delivery({"output": "s3://bucket/"}, None, config(moto)).deliver(JSON_ALONE)
    assert len(objects()) == 2


def test_each_recording_of_a_list_has_its_files(make_delivery, moto, objects):
    ids = ["call 7", None, "call 7"]
    job = {
        "audio": [{"url": "volume://a", **({"id": i} if i else {})} for i in ids],
        "output": "s3://bucket/out/",
    }
    results = [{"id": i, "ok": True, "output": JSON_ALONE} for i in ids]
    results[1] = {"id": None, "ok": False, "error": "FETCH_FAILED: gone"}
    reply = make_delivery(job, s3_config=config(moto)).deliver({"results": results})
    assert objects().keys() == {"out/job-1/0-call%207.json", "out/job-1/2-call%207.json"}
    assert [entry["ok"] for entry in reply["results"]] == [True, False, True]
    assert reply["results"][1] == results[1]
    assert reply["results"][2]["output"].keys() == SHORT
    assert results[0]["output"] is JSON_ALONE


@pytest.mark.parametrize("where", ["bucketName", "SPEECH_OUTPUT"])
def test_what_is_too_large_goes_to_s3_as_a_whole(make_delivery, moto, objects, where):
    if where == "bucketName":
        delivery = make_delivery({}, s3_config=config(moto, bucketName="bucket"))
        prefix = ""
    else:
        delivery = make_delivery(
            {},
            SPEECH_OUTPUT="s3://bucket/large/",
            BUCKET_ENDPOINT_URL=moto,
            BUCKET_ACCESS_KEY_ID="KEY",
            BUCKET_SECRET_ACCESS_KEY=SECRET,
        )
        prefix = "large/"
    small = delivery.deliver(RESULT)
    assert small is RESULT
    reply = delivery.deliver(of_size(deliver.RUN_LIMIT_BYTES + 1_000))
    assert reply.keys() == SHORT
    there = objects()
    assert there.keys() == {f"{prefix}job-1/result.json", f"{prefix}job-1/result.rttm"}
    assert len(there[f"{prefix}job-1/result.json"]) > 9_000_000


def test_keys_of_ours_are_not_used_for_a_job_with_its_own(make_delivery, moto):
    delivery = make_delivery(
        {},
        s3_config=config(moto),
        SPEECH_OUTPUT="s3://bucket/large/",
        BUCKET_ENDPOINT_URL=moto,
        BUCKET_ACCESS_KEY_ID="OWN",
        BUCKET_SECRET_ACCESS_KEY=SECRET,
    )
    assert delivery.account.access_id == "KEY"
    with pytest.raises(OutputTooLargeError):
        delivery.deliver(of_size(deliver.RUN_LIMIT_BYTES + 1_000))


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (403, "InvalidAccessKeyId", "credentials were refused .*s3Config.accessId"),
        (403, "AccessDenied", "permission denied .*s3:PutObject"),
        (404, "NoSuchBucket", "no such bucket"),
    ],
)
def test_a_place_that_cannot_be_written_is_told_first(make_delivery, proxy, status, code, message):
    proxy.fault(refusal(status, code), times=10)
    delivery = make_delivery({"output": "s3://bucket/out/"}, s3_config=config(proxy.url))
    with pytest.raises(OutputFailedError, match=message) as caught:
        delivery.check()
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("as_list", [False, True])
def test_a_result_whose_files_cannot_be_written_comes_with_a_note(make_delivery, proxy, as_list):
    noted = {**RESULT, "notes": ["before"]}
    reply = noted
    if as_list:
        failed = {"id": None, "ok": False, "error": "FETCH_FAILED: gone"}
        reply = {"results": [{"id": None, "ok": True, "output": noted}, failed]}
    delivery = make_delivery({"output": "s3://bucket/out/"}, s3_config=config(proxy.url))
    delivery.check()
    proxy.fault(refusal(403, "AccessDenied"), "PUT", times=10)
    answer = delivery.deliver(reply)
    if as_list:
        assert answer["results"][1] == failed
        answer = answer["results"][0]["output"]
    before, note = answer.pop("notes")
    assert (before, answer) == ("before", RESULT)
    assert "could not be written. s3://bucket/out/job-1/" in note
    assert "permission denied" in note
    assert SECRET not in note
    assert noted["notes"] == ["before"]


@pytest.mark.parametrize("reason", ["refused", "forbidden"])
def test_a_large_result_whose_files_cannot_be_written_is_kept(
    make_delivery, proxy, tmp_path, reason
):
    variables = {"SPEECH_VOLUME": str(tmp_path)}
    if reason == "forbidden":
        variables["SPEECH_ALLOWED_NETWORKS"] = ""
    proxy.fault(refusal(403, "AccessDenied"), times=10)
    large = of_size(deliver.RUN_LIMIT_BYTES + 1_000)
    s3_config = config(proxy.url, bucketName="bucket")
    with pytest.raises(OutputFailedError, match=r"kept .* results/job-1\.whole\.json") as caught:
        make_delivery({}, s3_config=s3_config, **variables).deliver(large)
    assert SECRET not in str(caught.value)
    (kept,) = (tmp_path / "results").iterdir()
    assert kept.name == "job-1.whole.json"
    assert json.loads(kept.read_bytes()) == large


def test_a_result_that_cannot_be_kept_either_is_told(make_delivery, proxy, tmp_path, caplog):
    (tmp_path / "results").write_text("no folder")
    proxy.fault(refusal(403, "AccessDenied"), times=10)
    s3_config = config(proxy.url, bucketName="bucket")
    delivery = make_delivery({}, s3_config=s3_config, SPEECH_VOLUME=str(tmp_path))
    with pytest.raises(OutputFailedError, match="permission denied"):
        delivery.deliver(of_size(deliver.RUN_LIMIT_BYTES + 1_000))
    assert "is lost" in caplog.text


def test_no_key_is_longer_than_s3_takes(make_delivery, moto, objects):
    prefix = "p" * (places.MAX_BYTES - len("s3://bucket//"))
    ids = ["\U0001f600" * 200, "ä" * 200, "a" * 149 + "ä", "." * 200]
    job = {
        "audio": [{"url": "volume://a", "id": text} for text in ids],
        "output": f"s3://bucket/{prefix}/",
        "formats": ["json", "textgrid"],
    }
    results = [{"id": i, "ok": True, "output": {**RESULT, "files": {"textgrid": "x"}}} for i in ids]
    delivery = make_delivery(job, "é" * 5_000, s3_config=config(moto))
    delivery.check()
    delivery.deliver({"results": results})
    keys = list(objects())
    assert len(keys) == 8
    for key in keys:
        assert len(key.encode()) <= 1024
        number, _, name = key.removesuffix(".json").removesuffix(".textgrid").partition("-")
        assert ids[int(number[-1])].startswith(unquote(name, errors="strict"))
    other = make_delivery(job, "é" * 5_001, s3_config=config(moto))
    other.deliver({"results": results})
    assert len(objects()) == 16


def test_a_job_that_fits_asks_nobody(make_delivery, proxy):
    delivery = make_delivery({}, s3_config=config(proxy.url, bucketName="bucket"))
    delivery.check()
    delivery.deliver(RESULT)
    assert not proxy.seen


def test_without_keys_it_is_told_what_to_set(make_delivery):
    with pytest.raises(OutputFailedError, match=r"no keys.*s3Config.*BUCKET_ENDPOINT_URL.*AWS_"):
        make_delivery({"output": "s3://bucket/out/"}).check()


def test_the_endpoint_of_a_job_passes_the_guard(make_delivery, proxy):
    delivery = make_delivery(
        {"output": "s3://bucket/out/"}, s3_config=config(proxy.url), SPEECH_ALLOWED_NETWORKS=""
    )
    with pytest.raises(ForbiddenUrlError):
        delivery.check()
    assert not proxy.seen


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"accessSecret": 5}, ["s3Config.accessSecret", "string"]),
        ({"accessSecret": ""}, ["s3Config.accessSecret"]),
        ({"accessSecret": None}, ["s3Config.accessSecret"]),
        ({"endpoint": "https://host"}, ["s3Config.endpoint", "endpointUrl"]),
        ({"bucketName": "a/b"}, ["s3Config.bucketName", "pattern"]),
        ({"endpointUrl": "https://host/bucket"}, ["s3Config.endpointUrl", "bucketName"]),
    ],
)
def test_mistakes_of_an_s3_config_are_told_without_its_values(make_delivery, fields, words):
    with pytest.raises(InvalidInputError) as caught:
        make_delivery({}, s3_config=config("https://host") | fields)
    for word in words:
        assert word in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("s3_config", ["secret", [], {}, 5])
def test_an_s3_config_is_an_object_of_known_fields(make_delivery, s3_config):
    with pytest.raises(InvalidInputError, match=r"s3Config.*accessId, accessSecret"):
        make_delivery({}, s3_config=s3_config)


def test_a_cancelled_job_writes_no_more(make_delivery, moto, proxy, objects):
    control = JobControl()

    def last(handler) -> None:
        control.cancel()
        s3_server.drip(handler)

    proxy.fault(last, "PUT")
    job = {"output": "s3://bucket/out/", "formats": ["json", "rttm"]}
    with pytest.raises(CancelledError):
        make_delivery(job, s3_config=config(proxy.url), control=control).deliver(RESULT)
    assert objects() == {}


# Whole jobs.


def test_a_job_reads_from_s3_and_writes_to_it(service, moto, objects, data):
    audio = (data / "sample.wav").read_bytes()
    s3_server.client_of(moto).put_object(Bucket="bucket", Key="in/a call.wav", Body=audio)
    job = {
        "task": "diarization",
        "audio": ["s3://bucket/in/a call.wav", "s3://bucket/in/none.wav"],
        "output": "s3://bucket/out/",
        "formats": ["json", "rttm"],
    }
    envelope = Envelope("job-7", config(moto))
    reply = service.answer(job, None, envelope)
    good, bad = reply["results"]
    assert bad["error"].startswith("FETCH_FAILED: s3://bucket/in/none.wav: there is no such object")
    written = objects("out/")
    assert written.keys() == {"out/job-7/0.json", "out/job-7/0.rttm"}
    assert b"SPEAKER a_call 1 " in written["out/job-7/0.rttm"]
    direct = service.answer(SAMPLE)
    assert json.loads(written["out/job-7/0.json"])["turns"] == direct["turns"]
    assert good["output"]["speakers"] == direct["speakers"]


def test_a_job_that_cannot_deliver_fetches_nothing(service, proxy):
    proxy.fault(refusal(404, "NoSuchBucket"), times=10)
    job = {"audio": f"{proxy.url}/audio.wav", "output": "s3://nobucket/"}
    reply = service.answer(job, None, Envelope("job-8", config(proxy.url)))
    assert reply["error"].startswith("OUTPUT_FAILED: s3://nobucket/job-8/check: there is no such")
    assert [seen.method for seen in proxy.seen] == ["POST"]


def test_s3_audio_without_keys_is_told(service):
    reply = service.answer({"audio": "s3://bucket/key.wav"})
    assert reply["error"].startswith("FETCH_FAILED: s3://bucket/key.wav needs keys. Give the job")


def test_a_job_has_the_time_that_it_asks_for(service):
    reply = service.answer({**SAMPLE, "timeout_s": 0.001})
    assert reply["error"].startswith("TIMEOUT: ")
    assert "error" not in service.answer({**SAMPLE, "timeout_s": 600})
