"""Models pushed to another volume through its S3 API: moto, and a proxy that misbehaves."""

import io
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import s3_server
from tests.copied_models import CONTENTS, PART_BYTES, WEIGHTS, push_all, served, take
from tests.s3_server import Proxy, answer, hang_up, refusal
from tests.server_process import ROOT
from volume_bootstrap.bucket import store
from volume_bootstrap.errors import ModelError, StoreError
from volume_bootstrap.layout import Volume, manifest_of
from volume_bootstrap.sources.s3_client import connect

LOCK = ".metadata/lock"
MANIFEST = ".metadata/tiny-py3.11.json"
ONE = "models/hub/org/.one/"


@pytest.fixture(scope="module")
def moto():
    with s3_server.moto() as url:
        yield url


@pytest.fixture(scope="module")
def client(moto):
    return s3_server.client_of(moto)


@pytest.fixture(scope="module")
def _proxy(moto):
    with Proxy(moto) as proxy:
        yield proxy


@pytest.fixture
def proxy(_proxy) -> Proxy:
    _proxy.reset()
    return _proxy


@pytest.fixture(autouse=True)
def _environment(monkeypatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very-secret")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr(store, "PAUSE_S", 0.001)


@pytest.fixture
def volume(tmp_path: Path) -> Volume:
    made = Volume(tmp_path / "volume")
    take(made, tmp_path / "copied")
    return made


_names = iter(range(1000))


@pytest.fixture
def bucket(client) -> str:
    """A volume that nothing is on yet."""
    name = f"volume{next(_names)}"
    client.create_bucket(Bucket=name)
    return name


def keys(client, bucket: str) -> list[str]:
    found = client.list_objects_v2(Bucket=bucket).get("Contents", [])
    return [each["Key"] for each in found]


def puts(proxy: Proxy) -> list[str]:
    return [seen.path.partition("?")[0] for seen in proxy.seen if seen.method == "PUT"]


def parts(proxy: Proxy) -> list[str]:
    return [s.path.rpartition("=")[2] for s in proxy.seen if "partNumber" in s.path]


def push(volume, bucket, proxy, **options):
    return push_all(volume, f"s3://{bucket}", proxy.url, **options)


def test_the_worker_finds_what_was_pushed(volume, bucket, proxy, client, tmp_path):
    done = push(volume, bucket, proxy)
    assert (done.num_sent, done.switched, done.lacking) == (len(CONTENTS), True, ())
    assert done.sent_bytes == sum(map(len, CONTENTS.values()))
    assert served(client, bucket, tmp_path / "pod") == {"one": WEIGHTS}
    assert sorted(parts(proxy)) == ["1", "2", "3"]
    # Whatever a worker finds by the manifest is there before it.
    assert [path.rpartition("/")[2] for path in puts(proxy)[-3:]] == [
        ".record.json", "tiny-py3.11.json", "tiny-py3.11.json",
    ]  # fmt: skip
    assert not [seen for seen in proxy.seen if "list-type" in seen.path]
    assert not list((volume.metadata / "uploads").iterdir())


def test_below_a_prefix(volume, bucket, proxy, client, tmp_path):
    push_all(volume, f"s3://{bucket}/a/b/", proxy.url)
    assert served(client, bucket, tmp_path / "pod", "a/b/") == {"one": WEIGHTS}
    assert all(key.startswith("a/b/") for key in keys(client, bucket))


def test_a_second_time_nothing_is_sent(volume, bucket, proxy):
    push(volume, bucket, proxy)
    proxy.reset()
    done = push(volume, bucket, proxy)
    assert (done.num_sent, done.switched) == (0, False)
    assert puts(proxy) == []


def test_a_newer_version_takes_its_place_and_the_older_stays(
    volume, bucket, proxy, client, tmp_path
):
    push(volume, bucket, proxy)
    newer = {**CONTENTS, "model.pt": b"newer"}
    take(volume, tmp_path / "newer", newer)
    push(volume, bucket, proxy)
    assert served(client, bucket, tmp_path / "pod") == {"one": b"newer"}
    folders = {key.removeprefix(ONE).partition("/")[0] for key in keys(client, bucket)}
    assert len([name for name in folders if len(name) == 12]) == 2


def test_models_that_are_there_stay_and_defaults_wait_for_their_models(
    volume, bucket, proxy, client, tmp_path
):
    push(volume, bucket, proxy)
    other = Volume(tmp_path / "other")
    defaults = {"asr": {"models": {"asr": "three"}}}
    two = {"model.pt": b"two"}
    take(other, tmp_path / "two", two, alias="two", defaults=defaults)
    done = push(other, bucket, proxy)
    assert (done.num_sent, done.lacking) == (1, ())
    assert served(client, bucket, tmp_path / "pod") == {"one": WEIGHTS, "two": b"two"}
    assert manifest_of(Volume(tmp_path / "pod"), "tiny").defaults == {}
    take(other, tmp_path / "three", {"model.pt": b"three"}, alias="three", defaults=defaults)
    push(other, bucket, proxy)
    pod = Volume(tmp_path / "pod2")
    assert set(served(client, bucket, pod.root)) == {"one", "two", "three"}
    assert manifest_of(pod, "tiny").defaults == defaults


def test_defaults_without_their_models_are_told(volume, bucket, proxy, tmp_path):
    other = Volume(tmp_path / "other")
    defaults = {"asr": {"models": {"asr": "three"}}}
    take(other, tmp_path / "two", {"model.pt": b"two"}, alias="two", defaults=defaults)
    assert push(other, bucket, proxy).lacking == ("three",)


def test_a_manifest_that_is_damaged_is_not_forgotten(volume, bucket, proxy, client, tmp_path):
    push(volume, bucket, proxy)
    client.put_object(Bucket=bucket, Key=MANIFEST, Body=b"{")
    take(volume, tmp_path / "newer", {**CONTENTS, "config.yaml": b"a: 2"})
    push(volume, bucket, proxy)  # the copy tells what it told
    for key in (MANIFEST, MANIFEST.replace("/", "/copies/")):
        client.put_object(Bucket=bucket, Key=key, Body=b"{")
    proxy.reset()
    take(volume, tmp_path / "newest", {**CONTENTS, "config.yaml": b"a: 3"})
    where = f"s3://{bucket}/{MANIFEST} cannot be read: .* Mend it on a pod: python -m"
    with pytest.raises(StoreError, match=where):
        push(volume, bucket, proxy)
    assert puts(proxy) == []


def test_another_writer_is_not_disturbed(volume, bucket, proxy, client):
    client.put_object(Bucket=bucket, Key=LOCK, Body=b'{"pid": 7, "host": "pod"}')
    with pytest.raises(StoreError, match=f"process 7 on pod is writing to s3://{bucket}/ at"):
        push(volume, bucket, proxy)
    client.put_object(Bucket=bucket, Key=LOCK, Body=b"")
    with pytest.raises(StoreError, match="somebody is writing to"):
        push(volume, bucket, proxy)
    assert keys(client, bucket) == [LOCK]


@pytest.mark.parametrize("first", [True, False])
def test_two_pushes_at_once_lose_no_model(volume, bucket, moto, proxy, client, tmp_path, first):
    """The other one comes when the manifest was read and is not yet replaced."""
    if not first:
        push(volume, bucket, proxy)
        take(volume, tmp_path / "newer", {**CONTENTS, "config.yaml": b"a: 2"})
    other = Volume(tmp_path / "other")
    take(other, tmp_path / "two", {"model.pt": b"two"}, alias="two")
    came = []

    def between(handler) -> None:
        if handler.path.endswith(MANIFEST) and not came:
            came.append(push_all(other, f"s3://{bucket}", moto))
        handler.forward(handler.received)

    proxy.fault(between, "PUT", times=99)
    with pytest.raises(StoreError, match=r"another push replaced s3://.*; run this again"):
        push(volume, bucket, proxy)
    assert len(came) == 1
    assert served(client, bucket, tmp_path / "pod")["two"] == b"two"
    proxy.reset()
    push(volume, bucket, proxy)
    assert served(client, bucket, tmp_path / "pod2") == {"one": WEIGHTS, "two": b"two"}


def test_where_conditions_are_ignored_the_manifest_is_read_back(
    volume, bucket, moto, proxy, client, tmp_path
):
    """The other one, which had read the same, replaces what this one wrote."""
    other = Volume(tmp_path / "other")
    take(other, tmp_path / "two", {"model.pt": b"two"}, alias="two")
    push_all(other, f"s3://{bucket}", moto)
    theirs = client.get_object(Bucket=bucket, Key=MANIFEST)["Body"].read()

    def overwritten(handler) -> None:
        handler.forward(handler.received)
        if handler.path.endswith(MANIFEST):
            client.put_object(Bucket=bucket, Key=MANIFEST, Body=theirs)

    proxy.fault(overwritten, "PUT", times=99)
    with pytest.raises(StoreError, match="another push replaced"):
        push(volume, bucket, proxy)
    proxy.reset()
    push(volume, bucket, proxy)
    assert set(served(client, bucket, tmp_path / "pod")) == {"one", "two"}


@pytest.mark.parametrize("status", [412, 501])
def test_an_endpoint_without_conditions_will_do(volume, bucket, proxy, client, tmp_path, status):
    def unknown(handler) -> None:
        conditions = {"if-match", "if-none-match"} & {name.lower() for name in handler.headers}
        fault = refusal(status, "NotImplemented") if conditions else None
        fault(handler) if fault else handler.forward(handler.received)

    for contents in (CONTENTS, {**CONTENTS, "config.yaml": b"a: 2"}):
        take(volume, tmp_path / "copied", contents)
        proxy.fault(unknown, "PUT", times=99)
        assert push(volume, bucket, proxy).switched
    assert served(client, bucket, tmp_path / "pod") == {"one": WEIGHTS}


def test_a_switch_without_an_answer_is_known_again(volume, bucket, proxy, client, tmp_path):
    lost: list[str] = []

    def once(handler) -> None:
        if handler.path.endswith(MANIFEST) and not lost:
            lost.append(handler.path)
            unanswered(handler)
        else:
            handler.forward(handler.received)

    proxy.fault(once, "PUT", times=99)
    assert push(volume, bucket, proxy).switched
    assert puts(proxy).count(*lost) == 2
    assert served(client, bucket, tmp_path / "pod") == {"one": WEIGHTS}


def test_a_writer_that_died_is_in_nobodys_way(volume, bucket, proxy, client, tmp_path):
    client.put_object(Bucket=bucket, Key=LOCK, Body=b"{}")
    old = answer(200, Last_Modified="Mon, 02 Jan 2023 10:00:00 GMT", Content_Length="2", ETag='"x"')
    proxy.fault(lambda h: old(h) if h.path.endswith("lock") else h.forward(b""), "HEAD", times=99)
    push(volume, bucket, proxy)
    assert served(client, bucket, tmp_path / "pod") == {"one": WEIGHTS}


def slow_down(handler) -> None:
    refusal(503, "SlowDown")(handler)


@pytest.mark.parametrize("fault", [refusal(502, "Bad"), slow_down, hang_up, refusal(524, "")])
def test_what_passes_is_tried_again(volume, bucket, proxy, client, tmp_path, fault):
    for method in ("HEAD", "GET", "PUT", "POST"):
        proxy.fault(fault, method, times=2)
    push(volume, bucket, proxy)
    assert served(client, bucket, tmp_path / "pod") == {"one": WEIGHTS}


def test_what_stays_is_an_error_and_the_next_run_goes_on(volume, bucket, proxy, client, tmp_path):
    proxy.fault(refusal(502, "Bad"), "PUT", times=1000, after=2)
    with pytest.raises(StoreError, match=r"answers 502 Bad; 8 attempts in a row failed\. Run it"):
        push(volume, bucket, proxy)
    assert MANIFEST not in keys(client, bucket)
    proxy.reset()
    push(volume, bucket, proxy)
    assert len(parts(proxy)) == 1
    assert served(client, bucket, tmp_path / "pod") == {"one": WEIGHTS}


def broken_off(volume, bucket, proxy) -> None:
    """Leave an upload with two of three parts."""
    proxy.fault(refusal(400, "No"), "PUT", times=1000, after=2)
    with pytest.raises(StoreError, match="answers 400 No: no"):
        push(volume, bucket, proxy)
    proxy.reset()


def uploads(client, bucket: str) -> list[dict[str, str]]:
    return client.list_multipart_uploads(Bucket=bucket).get("Uploads", [])


def test_an_upload_that_expired_is_begun_anew(volume, bucket, proxy, client, tmp_path):
    broken_off(volume, bucket, proxy)
    (left,) = uploads(client, bucket)
    client.abort_multipart_upload(Bucket=bucket, Key=left["Key"], UploadId=left["UploadId"])
    push(volume, bucket, proxy)
    assert sorted(parts(proxy)) == ["1", "2", "3"]
    assert served(client, bucket, tmp_path / "pod") == {"one": WEIGHTS}


@pytest.mark.parametrize("text", ["{", "[1]", '{"a": 1}'])
def test_without_its_journal_an_upload_is_ended_and_begun_anew(
    volume, bucket, proxy, client, tmp_path, text
):
    broken_off(volume, bucket, proxy)
    (journal,) = (volume.metadata / "uploads").iterdir()
    journal.write_text(text)
    push(volume, bucket, proxy)
    assert uploads(client, bucket) == []
    assert served(client, bucket, tmp_path / "pod") == {"one": WEIGHTS}


def test_an_endpoint_that_does_not_tell_of_uploads_will_do(volume, bucket, proxy, client, tmp_path):
    refused = refusal(501, "NotImplemented")
    proxy.fault(lambda h: refused(h) if "?uploads&" in h.path else h.forward(b""), "GET", times=99)
    push(volume, bucket, proxy)
    assert served(client, bucket, tmp_path / "pod") == {"one": WEIGHTS}


def unanswered(handler) -> None:
    """It is done, but nobody hears of it."""
    handler.wfile = io.BytesIO()
    handler.forward(handler.received)


def test_parts_that_were_joined_without_an_answer_are_not_sent_again(
    volume, bucket, proxy, client, tmp_path
):
    proxy.fault(unanswered, "POST", after=1)
    push(volume, bucket, proxy)
    assert len(parts(proxy)) == 3
    assert served(client, bucket, tmp_path / "pod") == {"one": WEIGHTS}


def test_what_arrived_as_something_else_is_sent_again(volume, bucket, proxy, client, tmp_path):
    lost: list[str] = []

    def swallowed(handler) -> None:
        lost.append(handler.path)
        answer(200, ETag='"x"', Content_Length="0")(handler)

    proxy.fault(swallowed, "PUT", after=3)
    push(volume, bucket, proxy)
    assert puts(proxy).count(*lost) == 2
    assert served(client, bucket, tmp_path / "pod") == {"one": WEIGHTS}


def test_an_endpoint_that_swallows_files_is_told(volume, bucket, proxy, client):
    proxy.fault(answer(200, ETag='"x"', Content_Length="0"), "PUT", times=99, after=3)
    with pytest.raises(StoreError, match="was sent 3 times and is not"):
        push(volume, bucket, proxy)
    assert MANIFEST not in keys(client, bucket)


def opaque(handler) -> None:
    """Its ETags are no MD5."""
    start = handler.start

    def changed(status: int, headers: dict[str, str]) -> None:
        start(status, {k: '"opaque"' if k == "ETag" else v for k, v in headers.items()})

    handler.start = changed
    handler.forward(b"")


def test_where_etags_tell_nothing_files_are_read_back(volume, bucket, proxy, client, tmp_path):
    proxy.fault(opaque, "HEAD", times=999)
    push(volume, bucket, proxy)
    assert served(client, bucket, tmp_path / "pod") == {"one": WEIGHTS}
    read = {s.path.rpartition("/")[2] for s in proxy.seen if s.method == "GET"}
    assert {path.rpartition("/")[2] for path in CONTENTS} <= read
    # The same file that somebody else brought is read, not sent; one of the same size is sent.
    record = f"{ONE}{Path(manifest_of(volume, 'tiny').models[0].folder).name}/"
    client.delete_object(Bucket=bucket, Key=f"{record}.record.json")
    client.put_object(Bucket=bucket, Key=f"{record}config.yaml", Body=b"b: 2")
    proxy.reset()
    proxy.fault(opaque, "HEAD", times=999)
    assert push(volume, bucket, proxy).num_sent == 1
    assert served(client, bucket, tmp_path / "pod2") == {"one": WEIGHTS}


def test_a_version_that_is_cleaned_away_meanwhile_is_not_served(volume, bucket, proxy, client):
    record = Path(manifest_of(volume, "tiny").models[0].folder).name

    def cleaned(handler) -> None:
        client.delete_object(Bucket=bucket, Key=f"{ONE}{record}/model.pt")
        handler.forward(handler.received)

    # After three parts and three small files comes the record beside them.
    proxy.fault(cleaned, "PUT", after=6)
    with pytest.raises(StoreError, match=r"model\.pt of hub/org/\.one/.* went away"):
        push(volume, bucket, proxy)
    assert MANIFEST not in keys(client, bucket)


def test_a_damaged_model_is_not_pushed(volume, bucket, proxy, client):
    record = manifest_of(volume, "tiny").models[0]
    (volume.models / record.folder / "config.yaml").write_bytes(b"a: 9")
    with pytest.raises(ModelError, match=r"config\.yaml has the SHA-256 .* Mend it with `setup`"):
        push(volume, bucket, proxy)
    assert MANIFEST not in keys(client, bucket)


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_said_without_it(volume, bucket, proxy, status):
    proxy.fault(refusal(status, "AccessDenied"))
    with pytest.raises(StoreError, match=f"answers {status}.* Set AWS_ACCESS_KEY_ID") as caught:
        push(volume, bucket, proxy)
    assert "very-secret" not in str(caught.value)


def test_a_volume_that_is_not_there_is_said(volume, proxy):
    with pytest.raises(StoreError, match=r"has no bucket 'nobody'\. For a volume of RunPod"):
        push(volume, "nobody", proxy)


@pytest.mark.parametrize("place", ["bucket", "s3://", "s3:///x", "s3://b", "s3://bucket/../x"])
def test_what_is_no_place_is_said(volume, proxy, place):
    with pytest.raises(StoreError, match="is no place in a bucket; give s3://BUCKET"):
        push_all(volume, place, proxy.url)


@pytest.mark.parametrize("endpoint", ["nohost", "http://user:very-secret@127.0.0.1:abc"])
def test_an_endpoint_that_is_no_address_is_said(volume, endpoint):
    with pytest.raises(StoreError, match=r"Check --endpoint-url and the AWS_\*") as caught:
        push_all(volume, "s3://bucket", endpoint)
    assert "very-secret" not in str(caught.value)


def test_without_keys_it_is_said(volume, bucket, proxy, monkeypatch, tmp_path):
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(
        StoreError, match=r"Unable to locate credentials\. Check .* AWS_ACCESS_KEY_ID"
    ):
        push(volume, bucket, proxy)


def test_nobody_there_is_said(volume):
    with pytest.raises(StoreError, match=r"at http://127\.0\.0\.1:9: EndpointConnectionError; 8"):
        push_all(volume, "s3://bucket", "http://127.0.0.1:9")


@pytest.mark.parametrize(
    ("variables", "region"), [({}, "EUR-IS-1"), ({"AWS_DEFAULT_REGION": "EU-RO-1"}, "EU-RO-1")]
)
def test_the_region_of_a_runpod_volume_is_in_its_endpoint(monkeypatch, variables, region):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert connect("https://s3api-eur-is-1.runpod.io/").meta.region_name == region


def start(volume: Volume, bucket: str, proxy: Proxy) -> subprocess.Popen[str]:
    words = ["-m", "tests.copied_models", str(volume.root), f"s3://{bucket}", proxy.url]
    return subprocess.Popen([sys.executable, *words], cwd=ROOT, stderr=subprocess.PIPE, text=True)


def slowly(handler) -> None:
    """There is time to be killed."""
    time.sleep(0.03)
    handler.forward(handler.received)


STAGES = ["look", "upload", "join", "manifest"]


@pytest.mark.parametrize("stage", STAGES)
def test_a_killed_push_serves_the_old_and_the_next_one_finishes(
    volume, bucket, proxy, client, tmp_path, stage
):
    push(volume, bucket, proxy)
    newer = random.Random(stage).randbytes(2 * PART_BYTES + 500)
    take(volume, tmp_path / "newer", {**CONTENTS, "model.pt": newer})
    proxy.reset()
    proxy.fault(slowly, times=999)
    with start(volume, bucket, proxy) as process:
        for line in process.stderr:
            if line == f"stage: {stage}\n":
                break
        time.sleep(random.Random(f"{stage} moment").uniform(0, 0.05))
        process.kill()
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    found = served(client, bucket, tmp_path / "pod")["one"]
    assert found in ({WEIGHTS, newer} if stage == "manifest" else {WEIGHTS})
    push(volume, bucket, proxy)
    assert served(client, bucket, tmp_path / "pod2") == {"one": newer}
    assert uploads(client, bucket) == []


def test_a_termination_ends_it_and_the_next_one_goes_on(volume, bucket, proxy, client, tmp_path):
    proxy.fault(slowly, times=999)
    with start(volume, bucket, proxy) as process:
        for line in process.stderr:
            if line == "stage: upload\n":
                break
        process.terminate()
        process.communicate()
    assert process.returncode == 128 + signal.SIGTERM
    push(volume, bucket, proxy)
    assert served(client, bucket, tmp_path / "pod") == {"one": WEIGHTS}
