"""Objects of a bucket, through moto's server and through a proxy that misbehaves."""

import pytest

from tests import s3_server
from tests.s3.accounts import LARGE, fails, of_job, ours, settings_of
from tests.s3_server import refusal
from worker import s3
from worker.control import JobControl
from worker.errors import AudioTooLargeError, FetchFailedError, OutputFailedError


@pytest.mark.parametrize("content", [b"small", LARGE, b""], ids=["small", "parts", "empty"])
@pytest.mark.parametrize("origin", ["ours", "job"])
def test_what_was_written_is_read(open_bucket, proxy, store, tmp_path, content, origin):
    account = ours(proxy.url, tmp_path) if origin == "ours" else of_job(proxy.url)
    with open_bucket(account) as opened:
        opened.upload("a folder/ä?#%41.wav", content, "audio/wav")
        written = [seen for seen in proxy.seen if seen.method == "PUT"]
        size = opened.download("a folder/ä?#%41.wav", tmp_path / "read", 10**9)
    there = store.get_object(Bucket="bucket", Key="a folder/ä?#%41.wav")
    assert there["Body"].read() == content
    assert there["ContentType"] == "audio/wav"
    assert size == len(content)
    assert (tmp_path / "read").exists() == bool(content)
    assert not content or (tmp_path / "read").read_bytes() == content
    assert len(written) == (3 if content is LARGE else 1)
    reads = [seen for seen in proxy.seen if seen.method == "GET"]
    assert len(reads) == 1 + len(written) * bool(content)


def test_what_is_too_large_is_not_read(open_bucket, proxy, store, tmp_path):
    store.put_object(Bucket="bucket", Key="some/key", Body=bytes(10_001))
    with open_bucket(of_job(proxy.url)) as opened:  # noqa: SIM117
        with pytest.raises(AudioTooLargeError, match="SPEECH_MAX_AUDIO_MB"):
            opened.download("some/key", tmp_path / "read", 10_000)
    assert [seen.headers["Range"] for seen in proxy.seen] == ["bytes=0-0"]
    assert not (tmp_path / "read").exists()


@pytest.mark.parametrize(
    ("fault", "times"),
    [
        (refusal(503, "SlowDown"), 2),
        (refusal(502, "BadGateway"), 3),
        (refusal(500, "InternalError"), 1),
        (s3_server.hang_up, 2),
        (s3_server.break_off, 3),
    ],
    ids=["SlowDown", "502", "500", "hang up", "break off"],
)
def test_what_may_pass_is_tried_again(open_bucket, proxy, store, tmp_path, fault, times):
    store.put_object(Bucket="bucket", Key="some/key", Body=b"content")
    proxy.fault(fault, "GET", times)
    with open_bucket(of_job(proxy.url)) as opened:
        assert opened.download("some/key", tmp_path / "read", 10_000) == 7
    assert (tmp_path / "read").read_bytes() == b"content"


def test_an_error_that_never_ends_is_told(open_bucket, proxy):
    proxy.fault(s3_server.flood(403), times=100)
    fails(open_bucket, of_job(proxy.url), "could not be reached", limit_s=10.0)


@pytest.mark.parametrize(
    "fault",
    [s3_server.lie(b"short"), s3_server.lie(bytes(100_000)), s3_server.flood()],
    ids=["short", "long", "endless"],
)
def test_an_object_that_is_not_what_it_was_said_to_be(open_bucket, proxy, store, tmp_path, fault):
    store.put_object(Bucket="bucket", Key="some/key", Body=b"content")
    proxy.fault(s3_server.break_off, "GET")  # the question for the size, whose body is not read
    proxy.fault(fault, "GET")
    target = tmp_path / "read"
    fails(open_bucket, of_job(proxy.url), "UnexpectedAnswerError", target=target, limit_s=5.0)


@pytest.mark.parametrize("total", ["x", "8", "10000000000000000"])
def test_an_object_that_changes_its_size_ends(open_bucket, proxy, tmp_path, total):
    proxy.fault(s3_server.break_off, "GET")
    part = {"Content_Length": "7", "Content_Range": f"bytes 0-6/{total}"}
    proxy.fault(s3_server.answer(206, b"content", **part), "GET", 10)
    target = tmp_path / "read"
    fails(open_bucket, of_job(proxy.url), "UnexpectedAnswerError", target=target, limit_s=5.0)


@pytest.mark.parametrize(
    "fault",
    [
        s3_server.answer(200, b"content", Connection="close"),
        s3_server.answer(206, b"c", Content_Length="1", Last_Modified="garbage"),
        s3_server.answer(206, b"c", Content_Length="1", Last_Modified="1e300"),
        s3_server.answer(206, b"c", Content_Length="1", Last_Modified="out of memory"),
        s3_server.answer(206, b"c", Content_Length="1", Content_Range="bytes 0-0/many"),
    ],
    ids=["no length", "no date", "date beyond time", "date of a liar", "no size"],
)
def test_a_malformed_object_is_told(open_bucket, proxy, tmp_path, fault):
    proxy.fault(fault, times=10)
    fails(open_bucket, of_job(proxy.url), "not S3", target=tmp_path / "read")


def test_what_nobody_foresaw_is_told_and_logged(open_bucket, proxy, monkeypatch, caplog):
    def breaks(*_: object) -> None:
        raise RuntimeError("a defect of ours")

    monkeypatch.setattr(s3.Bucket, "_check", breaks)
    with open_bucket(of_job(proxy.url)) as opened:  # noqa: SIM117
        with pytest.raises(FetchFailedError, match=r"not S3 .RuntimeError"):
            opened.check("key")
    assert "in breaks" in caplog.text


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("can't start new thread")])
def test_a_lack_of_memory_is_none_of_the_endpoints(open_bucket, proxy, monkeypatch, error):
    def lacks(*_: object) -> None:
        raise error

    monkeypatch.setattr(s3.Bucket, "_check", lacks)
    with open_bucket(of_job(proxy.url)) as opened:  # noqa: SIM117
        with pytest.raises(type(error)):
            opened.check("key")


def test_malformed_answers_to_uploads_are_told(open_bucket, proxy):
    nothing = s3_server.answer(200, Content_Length="0")
    with open_bucket(of_job(proxy.url)) as opened:
        proxy.fault(nothing, "POST", 10)
        with pytest.raises(FetchFailedError, match="not S3"):
            opened.check("key")
        proxy.reset()
        proxy.fault(nothing, "PUT", 10)
        with pytest.raises(FetchFailedError, match="not S3"):
            opened.upload("key", LARGE, "text/plain")


@pytest.mark.parametrize("fault", [refusal(503, "SlowDown"), s3_server.hang_up])
@pytest.mark.parametrize("content", [b"content", LARGE], ids=["small", "parts"])
def test_writing_is_tried_again(open_bucket, proxy, store, tmp_path, fault, content):
    proxy.fault(fault, "PUT", 2)
    with open_bucket(ours(proxy.url, tmp_path)) as opened:
        opened.upload("retried", content, "text/plain")
    assert store.get_object(Bucket="bucket", Key="retried")["Body"].read() == content


def test_what_stays_is_told(open_bucket, proxy):
    proxy.fault(refusal(502, "BadGateway"), times=100)
    fails(open_bucket, of_job(proxy.url), "the endpoint is busy .502 BadGateway. and stayed so")
    assert len(proxy.seen) == s3.MAX_TRIES


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (403, "InvalidAccessKeyId", "credentials were refused .*Check s3Config.accessId"),
        (403, "SignatureDoesNotMatch", "credentials were refused .*Check s3Config.accessId"),
        (403, "AccessDenied", "permission denied .*no such object.*s3:ListBucket.*s3:GetObject"),
        (301, "PermanentRedirect", "another endpoint"),
        (418, "Teapot", "refused with 418 Teapot"),
    ],
)
def test_a_refusal_says_what_to_do(open_bucket, proxy, status, code, message):
    proxy.fault(refusal(status, code), times=100)
    fails(open_bucket, of_job(proxy.url), message)


def test_missing_object_and_missing_bucket_differ(open_bucket, moto, store):
    store.delete_object(Bucket="bucket", Key="some/key")
    fails(open_bucket, of_job(moto), "no such bucket", bucket="nobucket")
    fails(open_bucket, of_job(moto), "no such object", bucket="bucket")


@pytest.mark.parametrize("fault", [s3_server.flood(), refusal(200, "<not xml")])
def test_an_answer_that_is_not_s3_is_told(open_bucket, proxy, fault):
    proxy.fault(fault, times=100)
    with open_bucket(of_job(proxy.url)) as opened:  # noqa: SIM117
        with pytest.raises(FetchFailedError, match=r"could not be reached|busy .500"):
            opened.check("key")


def test_nobody_there_is_told(open_bucket):
    fails(open_bucket, of_job("http://127.0.0.1:9"), "EndpointConnectionError")


def test_a_check_leaves_nothing(open_bucket, proxy, store):
    with open_bucket(of_job(proxy.url)) as opened:
        opened.check("checked/key")
    assert [seen.method for seen in proxy.seen] == ["POST", "DELETE"]
    assert not store.list_multipart_uploads(Bucket="bucket").get("Uploads")
    assert not store.list_objects_v2(Bucket="bucket", Prefix="checked").get("Contents")


def test_failures_are_of_the_class_that_is_asked_for(tmp_path, moto):
    settings = settings_of(tmp_path)
    with s3.connect(  # noqa: SIM117
        of_job(moto), "nobucket", settings, JobControl(), 30.0, OutputFailedError
    ) as opened:
        with pytest.raises(OutputFailedError, match="no such bucket"):
            opened.check("key")
