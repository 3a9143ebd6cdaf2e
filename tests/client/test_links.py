"""Texts that an answer links to, and what a link may do wrong."""

import json
from collections.abc import Iterator

import pytest

from client import Client, JobFailed, errors, links
from tests import s3_server
from tests.client.processes import TO_LOOPBACK, environment, run
from tests.client.stand_in import reply_to
from tests.media_server import MediaServer

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture
def client(loopback, stand_in) -> Iterator[Client]:
    with Client(endpoint="loopback") as client:
        yield client


@pytest.fixture
def media(tmp_path) -> Iterator[MediaServer]:
    folder = tmp_path / "media"
    folder.mkdir()
    (folder / "a.srt").write_text("Größe\n")
    (folder / "odd.srt").write_bytes(b"Gr\xf6\xdfe\n")
    with MediaServer(folder) as server:
        yield server


@pytest.fixture
def follow(client, calls):
    """The SRT of a recording whose answer says this in its place."""

    def ask(srt: object, **fields: object) -> str:
        return client.transcribe(
            calls("a.wav") / "a.wav", formats=["srt"], answer=answer(srt), **fields
        ).files["srt"]

    return ask


def answer(srt: object) -> dict:
    reply = reply_to({"task": "transcript", "audio": {"id": "a"}, "formats": ["json"]})
    return {"output": {**reply, "files": {"srt": srt}}}


def test_a_link_is_tried_as_often_as_a_call(follow, media):
    assert follow(media.url("/flaky/3/a.srt")) == "Größe\n"
    assert media.count("/flaky/3/a.srt") == 4
    with pytest.raises(errors.StorageError, match=r"HTTP 500, in 8 tries"):
        follow(media.url("/flaky/99/a.srt"))


@pytest.mark.parametrize(
    ("path", "says"), [("/status/404", "HTTP 404"), ("/files/a.srt", "more than")]
)
def test_what_no_other_try_can_mend_is_tried_once(follow, media, monkeypatch, path, says):
    monkeypatch.setattr(links, "MAX_BYTES", 3)
    with pytest.raises(errors.StorageError, match=says):
        follow(media.url(path))
    assert media.count(path) == 1


def test_a_link_without_an_end_is_left(follow, media, monkeypatch):
    monkeypatch.setattr(links, "MAX_BYTES", 1_000_000)
    with pytest.raises(errors.StorageError, match=r"more than 1 MB"):
        follow(media.url("/endless"))


def test_what_is_no_text_is_an_error(follow, media):
    with pytest.raises(errors.StorageError, match=r"no UTF-8 .* at byte 2"):
        follow(media.url("/files/odd.srt"))


@pytest.mark.parametrize(
    "link",
    [
        "http://[::1",
        "http://a:port/x",
        "https://a..b/x",
        f"https://{'a' * 300}.example/x",
        "https://\N{SNOWMAN}\ufffd/x",
        "http://\x7f/x",
        "s3://UPPER/x",
        "s3://\ud800/x",
        "s3://\x1b/x",
    ],
)
def test_an_odd_link_is_an_error_of_its_job(follow, link):
    with pytest.raises(errors.StorageError, match="cannot be read: ") as odd:
        follow(link)
    assert str(odd.value).isprintable()


def test_an_odd_link_does_not_end_a_batch(platform, stand_in, calls, tmp_path):
    odd = f"answer={json.dumps(answer('http://[::1'))}"
    arguments = [calls("a.wav", "b.wav"), "--out", tmp_path / "out", *TO_LOOPBACK]
    done = run("submit", *arguments, "--option", odd, env=environment(platform))
    assert done.returncode == 1
    assert "2 no result yet" in done.stdout
    assert "Traceback" not in done.stderr
    assert "unexpected" not in done.stderr


@pytest.mark.parametrize("srt", [None, 3, ["text"], {}])
def test_what_stands_for_a_file_and_is_no_string(follow, srt):
    with pytest.raises(JobFailed, match=r"^BAD_RESULT: files\.srt"):
        follow(srt)


def test_secrets_of_a_link_are_not_repeated(follow, media):
    link = media.url("/status/403?token=secret").replace("//", "//user:secret@")
    with pytest.raises(errors.StorageError) as refused:
        follow(link)
    assert "secret" not in str(refused.value)


def test_only_buckets_that_were_named_are_read(follow, monkeypatch):
    with s3_server.moto() as url:
        for name, value in (
            ("ENDPOINT_URL", url),
            ("ACCESS_KEY_ID", "a"),
            ("SECRET_ACCESS_KEY", "b"),
        ):
            monkeypatch.setenv(f"BUCKET_{name}", value)
        s3_server.client_of(url).put_object(Bucket="bucket", Key="a.srt", Body=b"of the bucket\n")
        with pytest.raises(errors.StorageError, match=r"did not name.*--s3 s3://bucket/"):
            follow("s3://bucket/a.srt")
        with pytest.raises(errors.StorageError, match="did not name"):
            follow("s3://bucket/a.srt", output="s3://other/results/")
        assert follow("s3://bucket/a.srt", output="s3://bucket/results/") == "of the bucket\n"
