"""Objects of a bucket, through moto's server and through a proxy that misbehaves."""

import logging
import os
import socket
import threading
import time
from functools import partial
from pathlib import Path

import pytest

from tests import s3_server
from tests.s3_server import Proxy, refusal
from worker import s3, s3_account
from worker.control import JobControl
from worker.errors import (
    AudioTooLargeError,
    CancelledError,
    FetchFailedError,
    ForbiddenUrlError,
    InvalidInputError,
    JobTimeoutError,
    OutputFailedError,
    WorkerError,
)
from worker.s3_account import Account
from worker.schema import parse_s3_config
from worker.service import Envelope
from worker.settings import Settings

SECRET = "a/very+secret"
SECRETS = (SECRET, "JOBKEY", "OURKEY", "OWNKEY", "own-secret", "own-token")
FILES = Path("/proc/self/fd")
NOWHERE = Path("/proc/none")
LARGE = os.urandom(2 * s3.PART_BYTES + 5)
"""Three parts."""


@pytest.fixture(scope="module")
def moto():
    with s3_server.moto() as url:
        yield url


@pytest.fixture(scope="module")
def _proxy(moto):
    with Proxy(moto) as proxy:
        yield proxy


@pytest.fixture
def proxy(_proxy) -> Proxy:
    _proxy.reset()
    return _proxy


@pytest.fixture(scope="module")
def store(moto):
    """A client of the test's own, which sees what is in the bucket."""
    return s3_server.client_of(moto)


@pytest.fixture(autouse=True)
def _own_keys(monkeypatch) -> None:
    """The worker's own keys, which a job's endpoint must never see; and short pauses."""
    monkeypatch.setattr(s3, "PAUSE_S", 0.01)
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "OWNKEY")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "own-secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "own-token")


def settings_of(tmp_path: Path, **variables: str) -> Settings:
    networks = {"SPEECH_ALLOWED_NETWORKS": "127.0.0.1/32"}
    return Settings.from_environment({"SPEECH_VOLUME": str(tmp_path), **networks, **variables})


def ours(url: str, tmp_path: Path, **variables: str) -> Account:
    keys = {"BUCKET_ACCESS_KEY_ID": "OURKEY", "BUCKET_SECRET_ACCESS_KEY": SECRET}
    settings = settings_of(tmp_path, BUCKET_ENDPOINT_URL=url, **keys, **variables)
    return s3_account.of_settings(settings)


def of_job(url: str) -> Account:
    config = {"accessId": "JOBKEY", "accessSecret": SECRET, "endpointUrl": url}
    return s3_account.of_job(parse_s3_config(config))


@pytest.fixture
def open_bucket(tmp_path):
    def open_one(account, bucket="bucket", *, control=None, limit_s=30.0, **variables):
        settings = settings_of(tmp_path, **variables)
        control = control or JobControl()
        return s3.connect(account, bucket, settings, control, limit_s, FetchFailedError)

    return open_one


def fails(open_bucket, account, message: str, *, kind=FetchFailedError, bucket="bucket", **options):
    """Assert that an object cannot be read, that it is said why, and that nothing is left."""
    target = options.pop("target", NOWHERE)
    with pytest.raises(kind, match=message) as caught:  # noqa: SIM117
        with open_bucket(account, bucket, **options) as opened:
            opened.download("some/key", target, 10_000)
    told = str(caught.value)
    assert len(told) < 500
    assert not [word for word in SECRETS if word in told]
    assert not target.exists()


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
        s3_server.answer(206, b"c", Content_Length="1", Content_Range="bytes 0-0/many"),
    ],
    ids=["no length", "no date", "no size"],
)
def test_a_malformed_object_is_told(open_bucket, proxy, tmp_path, fault):
    proxy.fault(fault, times=10)
    fails(open_bucket, of_job(proxy.url), "not S3", target=tmp_path / "read")


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


def test_an_endpoint_of_ours_that_is_no_address_is_told(open_bucket, tmp_path):
    fails(open_bucket, ours("nohost", tmp_path), "BUCKET_SECRET_ACCESS_KEY: write https://host")


def test_a_check_leaves_nothing(open_bucket, proxy, store):
    with open_bucket(of_job(proxy.url)) as opened:
        opened.check("checked/key")
    assert [seen.method for seen in proxy.seen] == ["POST", "DELETE"]
    assert not store.list_multipart_uploads(Bucket="bucket").get("Uploads")
    assert not store.list_objects_v2(Bucket="bucket", Prefix="checked").get("Contents")


# Who is reached, and with what.


def test_a_jobs_endpoint_sees_nothing_of_ours(open_bucket, proxy):
    with open_bucket(of_job(proxy.url)) as opened:
        opened.upload("key", b"content", "text/plain")
        link = opened.link("key")
    seen = "".join(f"{seen.path}{seen.headers}" for seen in proxy.seen)
    assert "JOBKEY" in seen
    for word in ("OWNKEY", "own-secret", "own-token", SECRET):
        assert word not in seen + link


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "2130706433", "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254"],
)
def test_a_jobs_endpoint_passes_the_guard(open_bucket, proxy, host):
    account = of_job(f"http://{host}:{proxy.port}")
    told = "S3 endpoints must have a public one"
    fails(open_bucket, account, told, kind=ForbiddenUrlError, SPEECH_ALLOWED_NETWORKS="")
    assert not proxy.seen


def test_our_endpoint_may_be_private(open_bucket, moto, store, tmp_path):
    store.put_object(Bucket="bucket", Key="key", Body=b"content")
    with open_bucket(ours(moto, tmp_path), SPEECH_ALLOWED_NETWORKS="") as opened:
        assert opened.download("key", tmp_path / "read", 100) == 7


def test_files_of_the_machine_are_not_asked(open_bucket, moto, monkeypatch, tmp_path):
    config = tmp_path / "config"
    config.write_text("[default]\ns3 =\n    addressing_style = virtual\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_PROFILE", "none")
    with open_bucket(of_job(moto)) as opened:
        opened.check("key")


@pytest.fixture
def names(monkeypatch):
    """What names resolve to: a list of addresses for one lookup after the other. It notes all."""
    known: dict[str, list[str]] = {}
    asked: list[str] = []
    real = socket.getaddrinfo

    def resolve(host, *arguments, **options):
        asked.append(host)
        addresses = known.get(host)
        if addresses:
            host = addresses.pop(0) if len(addresses) > 1 else addresses[0]
        return real(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    known["asked"] = asked
    return known


def test_a_name_that_changes_its_address_gains_nothing(open_bucket, proxy, store, tmp_path, names):
    store.put_object(Bucket="bucket", Key="some/key", Body=b"content")
    names["localhost.test"] = ["127.0.0.1", "127.0.0.2"]
    account = of_job(f"http://localhost.test:{proxy.port}")
    # The first connection goes to what was checked; the proxy closes it, the next is checked again.
    # moto takes names that begin otherwise for a bucket's.
    fails(open_bucket, account, "private", kind=ForbiddenUrlError, target=tmp_path / "read")
    assert len(proxy.seen) == 1
    assert names["asked"].count("localhost.test") == 2


@pytest.mark.parametrize("status", [301, 302, 307])
def test_a_redirect_is_not_followed(open_bucket, proxy, names, status):
    proxy.fault(
        refusal(status, "Moved", Location="http://169.254.169.254/latest/meta-data/"), times=100
    )
    fails(open_bucket, of_job(proxy.url), "another endpoint|refused with")
    assert set(names["asked"]) == {"127.0.0.1"}


def test_the_proxy_of_the_environment_is_not_used(open_bucket, proxy, monkeypatch, store, tmp_path):
    store.put_object(Bucket="bucket", Key="key", Body=b"content")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with open_bucket(of_job(proxy.url)) as opened:
        assert opened.download("key", tmp_path / "read", 100) == 7


@pytest.mark.parametrize("origin", ["ours", "job"])
def test_an_endpoint_may_hold_the_bucket(open_bucket, moto, store, tmp_path, names, origin):
    # A name of the form that S3 has, for moto tells both styles apart by it.
    port = moto.rpartition(":")[2]
    names["bucket.s3.eu-west-1.amazonaws.com"] = ["127.0.0.1"]
    url = f"http://bucket.s3.eu-west-1.amazonaws.com:{port}"
    account = ours(url, tmp_path) if origin == "ours" else of_job(url)
    assert account.region == "eu-west-1"
    with open_bucket(account) as opened:
        opened.upload("virtual/key", b"content", "text/plain")
        assert opened.download("virtual/key", tmp_path / "read", 100) == 7
        assert opened.link("virtual/key").startswith(f"{url}/virtual/key?")
    assert store.get_object(Bucket="bucket", Key="virtual/key")["Body"].read() == b"content"


@pytest.mark.parametrize("origin", ["ours", "job"])
@pytest.mark.parametrize(
    "host", ["results.s3.eu-west-1.amazonaws.com", "a.b.oss-cn-x.aliyuncs.com"]
)
def test_the_endpoint_of_another_bucket_is_refused(open_bucket, tmp_path, host, origin):
    url = f"https://{host}"
    account = ours(url, tmp_path) if origin == "ours" else of_job(url)
    other = host.partition(".s3")[0].partition(".oss")[0]
    fails(open_bucket, account, f"s3://calls: the endpoint is that of .*'{other}'", bucket="calls")


def test_a_private_endpoint_of_aws_holds_no_bucket(open_bucket):
    url = "https://bucket.vpce-1a2b-3c4d.s3.us-east-1.vpce.amazonaws.com"
    with open_bucket(of_job(url), "calls") as opened:
        assert opened.link("key").startswith(f"{url}/calls/key?")


@pytest.mark.parametrize(
    ("endpoint", "region"),
    [
        ("https://s3.dualstack.us-west-2.amazonaws.com", "us-west-2"),
        ("https://s3-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
        ("https://s3-fips.dualstack.us-east-2.amazonaws.com", "us-east-2"),
        ("https://bucket.s3-eu-west-3.amazonaws.com", "eu-west-3"),
        ("https://s3api-eu-ro-1.runpod.io/", "EU-RO-1"),
        ("https://s3.eu-central-1.amazonaws.com", "eu-central-1"),
        ("https://s3.us-west-004.backblazeb2.com", "us-west-004"),
        ("https://s3.amazonaws.com", "us-east-1"),
        ("https://minio.example.com:9000", "us-east-1"),
    ],
)
def test_the_region_is_in_the_endpoint(endpoint, region):
    assert of_job(endpoint).region == region


def test_a_region_that_is_set_goes_before_the_endpoints_name(tmp_path):
    def region(url: str) -> str:
        return ours(url, tmp_path, AWS_DEFAULT_REGION="auto").region

    assert region("https://s3.eu-central-1.example.com") == "auto"
    # That of RunPod's volumes cannot be another.
    assert region("https://s3api-eu-ro-1.runpod.io") == "EU-RO-1"
    aws = {"AWS_ACCESS_KEY_ID": "A", "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_DEFAULT_REGION": "auto"}
    settings = settings_of(tmp_path, AWS_ENDPOINT_URL="https://s3.eu-central-1.example.com", **aws)
    assert s3_account.of_settings(settings).region == "auto"


def test_links_are_plain_where_the_endpoint_takes_no_others(open_bucket):
    with open_bucket(of_job("https://s3api-eu-ro-1.runpod.io/"), "volume") as opened:
        assert opened.link("folder/key") == "s3://volume/folder/key"
    with open_bucket(of_job("https://s3.eu-west-1.amazonaws.com")) as opened:
        link = opened.link("folder/key")
    assert link.startswith("https://s3.eu-west-1.amazonaws.com/bucket/folder/key?")
    assert f"X-Amz-Expires={7 * 24 * 3600}" in link


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("ftp://host", ForbiddenUrlError),
        ("https://user:secret@host", ForbiddenUrlError),
        ("https://", InvalidInputError),
        ("https://host/bucket", InvalidInputError),
        ("https://host/?a=b", InvalidInputError),
        ("host", ForbiddenUrlError),
    ],
)
def test_an_endpoint_of_a_job_is_an_address_of_the_web(url, kind):
    with pytest.raises(kind) as caught:
        of_job(url)
    assert "secret" not in str(caught.value)


def test_keys_of_the_operator_have_an_order(tmp_path):
    aws = {"AWS_ACCESS_KEY_ID": "A", "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_SESSION_TOKEN": "T"}
    bucket = {"BUCKET_ENDPOINT_URL": "https://b.test", "BUCKET_ACCESS_KEY_ID": "B"}
    assert s3_account.of_settings(settings_of(tmp_path)) is None
    found = s3_account.of_settings(settings_of(tmp_path, **aws, **bucket))
    assert (found.access_id, found.endpoint, found.session_token) == ("A", None, "T")
    bucket["BUCKET_SECRET_ACCESS_KEY"] = SECRET
    settings = settings_of(tmp_path, **aws, **bucket)
    found = s3_account.of_settings(settings)
    assert (found.access_id, found.endpoint, found.session_token) == ("B", "https://b.test", None)
    assert SECRET not in repr(found) + repr(settings)


# How calls end.


@pytest.mark.parametrize("end", ["cancel", "timeout", "limit"])
@pytest.mark.parametrize("work", ["check", "upload", "download"])
def test_no_endpoint_holds_a_job(open_bucket, proxy, tmp_path, end, work):
    control = JobControl()
    limit_s = 30.0
    kind: type[WorkerError] = FetchFailedError
    if end == "cancel":
        threading.Timer(0.3, control.cancel).start()
        kind = CancelledError
    elif end == "timeout":
        control.limit(0.3)
        kind = JobTimeoutError
    else:
        limit_s = 0.3
    proxy.fault(s3_server.drip, times=100)
    started = time.monotonic()
    with open_bucket(of_job(proxy.url), control=control, limit_s=limit_s) as opened:
        calls = {
            "check": lambda: opened.check("key"),
            "upload": lambda: opened.upload("key", b"content", "text/plain"),
            "download": lambda: opened.download("key", tmp_path / "read", 10**9),
        }
        with pytest.raises(kind):
            calls[work]()
    assert time.monotonic() - started < 20
    assert not list(tmp_path.iterdir())
    assert not [t for t in threading.enumerate() if t.name.startswith("s3")]


def test_a_cancelled_upload_is_taken_back(open_bucket, proxy, store):
    control = JobControl()
    started: list[bool] = []

    def stall(handler) -> None:
        started.append(bool(store.list_multipart_uploads(Bucket="bucket").get("Uploads")))
        control.cancel()
        s3_server.drip(handler)

    proxy.fault(stall, "PUT")
    with open_bucket(of_job(proxy.url), control=control) as opened:  # noqa: SIM117
        with pytest.raises(CancelledError):
            opened.upload("never", LARGE, "text/plain")
    assert started == [True]
    assert not store.list_multipart_uploads(Bucket="bucket").get("Uploads")
    assert not store.list_objects_v2(Bucket="bucket", Prefix="never").get("Contents")


def test_a_cancelled_download_leaves_no_file(open_bucket, proxy, store, tmp_path):
    store.put_object(Bucket="bucket", Key="large", Body=LARGE)
    control = JobControl()
    seen = []

    def stall(handler) -> None:
        if len(proxy.seen) == 1:
            return handler.forward(b"")
        seen.append(handler.path)
        control.cancel()
        return s3_server.drip(handler, **{"Content-Range": f"bytes 0-999999/{len(LARGE)}"})

    proxy.fault(stall, "GET", 2)
    with open_bucket(of_job(proxy.url), control=control) as opened:  # noqa: SIM117
        with pytest.raises(CancelledError):
            opened.download("large", tmp_path / "read", 10**9)
    assert seen
    assert not list(tmp_path.iterdir())


def test_nothing_secret_is_logged(service, proxy, caplog):
    caplog.set_level(logging.DEBUG, logger="worker")
    proxy.fault(refusal(403, "SignatureDoesNotMatch"))
    config = {"accessId": "JOBKEY", "accessSecret": SECRET, "endpointUrl": proxy.url}
    reply = service.answer({"audio": "s3://bucket/some/key"}, None, Envelope("job", config))
    for told in reply["error"], caplog.text:
        assert "credentials were refused" in told
        assert not [word for word in SECRETS if word in told]


def test_an_answer_that_is_the_connections_last_holds_no_job(open_bucket, proxy, tmp_path):
    proxy.fault(partial(s3_server.drip, Connection="close"), times=100)
    started = time.monotonic()
    with open_bucket(of_job(proxy.url), limit_s=0.5) as opened:  # noqa: SIM117
        with pytest.raises(FetchFailedError, match="took more than"):
            opened.download("key", tmp_path / "read", 10**9)
    assert time.monotonic() - started < s3.LEAVE_S


def test_a_name_that_nobody_resolves_holds_no_job(open_bucket, proxy, monkeypatch):
    monkeypatch.setattr(s3, "LEAVE_S", 0.2)
    monkeypatch.setattr(s3, "END_S", 0.1)
    answered, real = threading.Event(), socket.getaddrinfo

    def resolve(*arguments, **options):
        answered.wait(20)
        return real(*arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with open_bucket(of_job(proxy.url), limit_s=0.3) as opened:  # noqa: SIM117
        with pytest.raises(FetchFailedError, match="took more than"):
            opened.check("key")
    left = [t for t in threading.enumerate() if t.name.startswith("s3")]
    assert left
    answered.set()
    for thread in left:
        thread.join(20)
        assert not thread.is_alive()
    assert not proxy.seen


def num_open(at_most: int) -> int:
    """How many descriptors are open, once there are so few, or after ten seconds."""
    deadline = time.monotonic() + 10
    while (found := len(list(FILES.iterdir()))) > at_most and time.monotonic() < deadline:
        time.sleep(0.05)  # the proxy's side of them
    return found


def test_no_connection_is_left(open_bucket, proxy):
    before = len(list(FILES.iterdir()))
    for _ in range(5):
        with open_bucket(of_job(proxy.url)) as opened:
            opened.check("key")
    assert num_open(before + 1) <= before + 1


def test_connections_that_ended_are_not_kept(open_bucket, proxy):
    with open_bucket(of_job(proxy.url)) as opened:
        before = len(list(FILES.iterdir()))
        for index in range(20):
            proxy.fault(s3_server.hang_up, "PUT")
            opened.upload(f"many/{index}", b"content", "text/plain")
        assert num_open(before + s3.CONNECTIONS) <= before + s3.CONNECTIONS


def test_failures_are_of_the_class_that_is_asked_for(tmp_path, moto):
    settings = settings_of(tmp_path)
    with s3.connect(  # noqa: SIM117
        of_job(moto), "nobucket", settings, JobControl(), 30.0, OutputFailedError
    ) as opened:
        with pytest.raises(OutputFailedError, match="no such bucket"):
            opened.check("key")
