"""Whose S3 is reached, and with what."""

import logging
import socket

import pytest

from tests.s3.accounts import SECRET, SECRETS, fails, of_job, ours, settings_of
from tests.s3_server import refusal
from worker import s3_account
from worker.errors import ForbiddenUrlError, InvalidInputError
from worker.service import Envelope


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
    "host",
    [
        "results.s3.eu-west-1.amazonaws.com",
        "results.s3.amazonaws.com",
        "a.b.oss-cn-x.aliyuncs.com",
        "results.s3.fr-par.scw.cloud",
    ],
)
def test_the_endpoint_of_another_bucket_is_refused(open_bucket, tmp_path, host, origin):
    url = f"https://{host}"
    account = ours(url, tmp_path) if origin == "ours" else of_job(url)
    other = host.partition(".s3")[0].partition(".oss")[0]
    fails(open_bucket, account, f"s3://calls: the endpoint is that of .*'{other}'", bucket="calls")


@pytest.mark.parametrize(
    "host", ["minio.s3.svc.cluster.local:9000", "storage.s3.example.com", "a.oss.example.com"]
)
def test_s3_may_be_any_part_of_another_hosts_name(open_bucket, host):
    with open_bucket(of_job(f"https://{host}"), "calls") as opened:
        assert opened.link("key").startswith(f"https://{host}/calls/key?")


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
        ("https://s3-accelerate.amazonaws.com", "us-east-1"),
        ("https://s3.us-east-1.vpce.amazonaws.com", "us-east-1"),
        ("https://oss-cn-hangzhou-internal.aliyuncs.com", "cn-hangzhou"),
        ("https://cos.ap-guangzhou.myqcloud.com", "ap-guangzhou"),
        ("https://s3.fr-par.scw.cloud", "fr-par"),
        ("https://s3.storage.example.com", "us-east-1"),
        ("https://s3.svc.cluster.local", "us-east-1"),
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


def test_nothing_secret_is_logged(service, proxy, caplog):
    caplog.set_level(logging.DEBUG, logger="worker")
    proxy.fault(refusal(403, "SignatureDoesNotMatch"))
    config = {"accessId": "JOBKEY", "accessSecret": SECRET, "endpointUrl": proxy.url}
    reply = service.answer({"audio": "s3://bucket/some/key"}, None, Envelope("job", config))
    for told in reply["error"], caplog.text:
        assert "credentials were refused" in told
        assert not [word for word in SECRETS if word in told]


def test_an_endpoint_of_ours_that_is_no_address_is_told(open_bucket, tmp_path):
    fails(open_bucket, ours("nohost", tmp_path), "BUCKET_SECRET_ACCESS_KEY: write https://host")
