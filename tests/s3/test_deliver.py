"""Results go into the answer, or to S3."""

import json
import math
from urllib.parse import unquote

import pytest

from tests.s3.accounts import SECRET
from tests.s3.results import JSON_ALONE, RESULT, SHORT, config, of_size
from worker import deliver, places
from worker.errors import OutputTooLargeError
from worker.parts import serialise


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
