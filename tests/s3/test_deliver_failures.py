"""What becomes of results that S3 does not take; whole jobs through S3."""

import json

import pytest

from tests import s3_server
from tests.s3.accounts import SECRET
from tests.s3.results import RESULT, SAMPLE, config, of_size
from tests.s3_server import refusal
from worker import deliver
from worker.control import JobControl
from worker.errors import (
    CancelledError,
    ForbiddenUrlError,
    InvalidInputError,
    OutputFailedError,
)
from worker.service import Envelope


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
