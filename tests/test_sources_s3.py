"""boto3 against moto's server, a whole S3, and against a server that serves objects badly."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from tests.hub_server import HubServer
from volume_bootstrap.errors import SourceError
from volume_bootstrap.progress import Progress
from volume_bootstrap.project_files import S3Source
from volume_bootstrap.sources import s3, transfer
from volume_bootstrap.sources.wanted import DRAFTS, Wanted

CONTENT = bytes(range(256)) * 12_000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
PINNED = Wanted("sub/model.pt", sha256=SHA256)
UNKNOWN = Wanted("sub/model.pt")
MOTO = """
import json, sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(json.dumps(server.get_host_and_port()), flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-ro-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr(transfer, "BACKOFF_S", 0.001)


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    """URL of an S3 with the object ``s3://bucket/models/sub/model.pt``."""
    command = [sys.executable, "-c", MOTO]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        host, port = json.loads(process.stdout.readline())
        client = boto3.client(
            "s3",
            endpoint_url=f"http://{host}:{port}",
            region_name="us-east-1",
            aws_access_key_id="key",
            aws_secret_access_key="secret",
        )
        client.create_bucket(Bucket="bucket")
        client.put_object(Bucket="bucket", Key="models/sub/model.pt", Body=CONTENT)
        yield f"http://{host}:{port}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    folder = tmp_path_factory.mktemp("served") / "files"
    file = folder / "bucket" / "models" / "sub" / "model.pt"
    file.parent.mkdir(parents=True)
    file.write_bytes(CONTENT)
    with HubServer(folder) as started:
        yield started


@pytest.fixture
def bad(server: HubServer) -> HubServer:
    """Knows HEAD and GET of an object, as S3 does, and misbehaves on command."""
    server.reset()
    return server


def fetch(
    endpoint: str | None, folder: Path, wanted: Wanted = PINNED, url: str = "s3://bucket/models"
) -> dict[str, str]:
    with Progress("test") as progress:
        source = S3Source(kind="s3", url=url, endpoint_url=endpoint)
        return s3.fetch(source, [wanted], folder, progress)


def gets(bad: HubServer) -> list[str | None]:
    return [request["range"] for request in bad.log("model.pt") if request["method"] == "GET"]


@pytest.mark.parametrize(
    ("url", "path"),
    [("s3://bucket/models/", "sub/model.pt"), ("s3://bucket", "models/sub/model.pt")],
)
def test_objects_come_from_below_the_prefix(moto, tmp_path, url, path):
    assert fetch(moto, tmp_path, Wanted(path), url) == {path: SHA256}
    assert (tmp_path / path).read_bytes() == CONTENT


def test_the_endpoint_may_come_from_the_environment(moto, tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto)
    assert fetch(None, tmp_path) == {"sub/model.pt": SHA256}


def test_what_is_there_of_an_object_is_gone_on_with(moto, tmp_path):
    draft = tmp_path / DRAFTS / "sub" / "model.pt"
    draft.parent.mkdir(parents=True)
    draft.write_bytes(CONTENT[:1_000_000])
    assert fetch(moto, tmp_path) == {"sub/model.pt": SHA256}


@pytest.mark.parametrize("beginning", [CONTENT, CONTENT + b"more", b"another"])
def test_whatever_is_there_the_right_object_comes(moto, tmp_path, beginning):
    draft = tmp_path / DRAFTS / "sub" / "model.pt"
    draft.parent.mkdir(parents=True)
    draft.write_bytes(beginning)
    assert fetch(moto, tmp_path) == {"sub/model.pt": SHA256}
    assert (tmp_path / "sub" / "model.pt").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("url", "path"), [("s3://bucket/models", "none.pt"), ("s3://nobucket", "model.pt")]
)
def test_what_is_not_there_is_said(moto, tmp_path, url, path):
    with pytest.raises(SourceError, match=rf"{url}/{path} at http://127.* answers 404"):
        fetch(moto, tmp_path, Wanted(path), url)


def test_without_credentials_it_is_said(moto, tmp_path, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(SourceError, match="s3://bucket/models/: Unable to locate credentials"):
        fetch(moto, tmp_path)


@pytest.mark.parametrize("wanted", [PINNED, UNKNOWN])
def test_what_breaks_off_is_gone_on_with(bad, tmp_path, wanted):
    bad.fault("model.pt", "slow", times=1)  # the HEAD, which has no body to be broken
    bad.fault("model.pt", "break", times=1, bytes=2_000_000)
    assert fetch(bad.url("/files"), tmp_path, wanted) == {"sub/model.pt": SHA256}
    first, second = gets(bad)
    assert first is None
    assert second in {"bytes=1048576-", "bytes=2000000-"}


def test_a_502_is_tried_again(bad, tmp_path):
    bad.fault("model.pt", "status", times=3, status=502)
    assert fetch(bad.url("/files"), tmp_path) == {"sub/model.pt": SHA256}


def test_a_502_that_stays_is_an_error(bad, tmp_path):
    bad.fault("model.pt", "status", status=502)
    with pytest.raises(SourceError, match=r"answers 502; 4 attempts in a row brought nothing"):
        fetch(bad.url("/files"), tmp_path)


def test_a_refusal_names_the_variables(bad, tmp_path):
    bad.fault("model.pt", "status", status=403)
    with pytest.raises(SourceError, match=r"answers 403\. Set AWS_ACCESS_KEY_ID"):
        fetch(bad.url("/files"), tmp_path)


def test_another_object_is_refused(bad, tmp_path):
    bad.fault("model.pt", "wrong")
    with pytest.raises(SourceError, match=rf"has SHA-256 \w+, not {SHA256}"):
        fetch(bad.url("/files"), tmp_path)
    assert not (tmp_path / "sub" / "model.pt").exists()


def test_credentials_of_an_endpoint_are_in_no_message(tmp_path):
    with pytest.raises(SourceError, match=r"model\.pt at http://127\.0\.0\.1:9: ") as caught:
        fetch("http://user:secret@127.0.0.1:9", tmp_path)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("endpoint", ["nohost", "http://user:secret@127.0.0.1:abc", "http://a b"])
def test_an_endpoint_that_is_no_address_is_said(tmp_path, monkeypatch, endpoint):
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    with pytest.raises(SourceError, match=r"s3://bucket/models/: .*(endp|URI)") as caught:
        fetch(None, tmp_path)
    assert "secret" not in str(caught.value)


def test_nobody_there_is_said(tmp_path):
    with pytest.raises(SourceError, match=r"http://127\.0\.0\.1:9: EndpointConnectionError"):
        fetch("http://127.0.0.1:9", tmp_path)
