"""Sources of every scheme become local files, or the error that the job API names."""

import base64
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import s3_server
from tests.media_server import MediaServer
from worker import s3_account
from worker.control import JobControl
from worker.errors import (
    AudioTooLargeError,
    FetchFailedError,
    ForbiddenUrlError,
    InvalidInputError,
    UnsupportedAudioError,
    WorkerError,
)
from worker.fetch import fetch
from worker.parsing import parse_s3_config
from worker.settings import Settings

BODY = bytes(range(256)) * 4


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MediaServer]:
    folder = tmp_path_factory.mktemp("media")
    (folder / "a.wav").write_bytes(BODY)
    with MediaServer(folder) as server:
        yield server


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """A volume with a good file, and with everything that a job may not have."""
    volume = tmp_path / "volume"
    outside = tmp_path / "outside"
    for folder in (volume / "samples", volume / ".metadata", volume / "python-deps", outside):
        folder.mkdir(parents=True)
        (folder / "a.wav").write_bytes(BODY)
    (volume / "samples" / "a%2e b?.wav").write_bytes(BODY)
    (volume / "samples" / "empty.wav").touch()
    (volume / "samples" / "inside.wav").symlink_to("a.wav")
    (volume / "samples" / "outside.wav").symlink_to(outside / "a.wav")
    (volume / "samples" / "dangling.wav").symlink_to(tmp_path / "nothing")
    (volume / "samples" / "loop.wav").symlink_to("loop.wav")
    (volume / "samples" / "metadata").symlink_to(volume / ".metadata")
    (volume / "link").symlink_to(outside)
    os.mkfifo(volume / "samples" / "fifo.wav")
    return volume


@pytest.fixture
def settings(volume: Path) -> Settings:
    return Settings.from_environment(
        {
            "SPEECH_VOLUME": str(volume),
            "SPEECH_ALLOWED_NETWORKS": "127.0.0.1/32",
            "SPEECH_MAX_AUDIO_MB": "1",
        }
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "job"
    folder.mkdir()
    return folder


def fails(
    source: str, error: type[WorkerError], message: str, folder: Path, settings: Settings
) -> None:
    """Assert that a source fails with a readable message and leaves nothing behind."""
    with pytest.raises(error, match=message) as caught:
        fetch(source, folder, settings, JobControl())
    assert len(str(caught.value)) < 500
    assert list(folder.iterdir()) == []


def test_http(server: MediaServer, folder: Path, settings: Settings) -> None:
    first = fetch(server.url("/files/a.wav"), folder, settings, JobControl())
    second = fetch(
        server.url("/files/a.wav").replace("http", "HTTP"), folder, settings, JobControl()
    )
    assert first != second
    assert {first.parent, second.parent} == {folder}
    assert first.read_bytes() == second.read_bytes() == BODY


@pytest.mark.parametrize(
    ("path", "error", "message"),
    [
        ("/html", FetchFailedError, "answered with an HTML page, not audio"),
        ("/html-as-audio", FetchFailedError, "answered with an HTML page, not audio"),
        ("/status/404", FetchFailedError, "status 404"),
        ("/empty", UnsupportedAudioError, "empty file"),
        ("/endless", AudioTooLargeError, "more than 1 MB"),
        ("/redirect?to=http://127.0.0.2/", ForbiddenUrlError, "'127.0.0.2'"),
    ],
)
def test_http_that_fails(
    path: str,
    error: type[WorkerError],
    message: str,
    server: MediaServer,
    folder: Path,
    settings: Settings,
) -> None:
    fails(server.url(path), error, message, folder, settings)


def test_the_time_limit_is_that_of_the_settings(
    server: MediaServer, folder: Path, settings: Settings
) -> None:
    hasty = settings.model_copy(update={"fetch_timeout_s": 0.2})
    fails(server.url("/drip"), FetchFailedError, r"more than 0\.2 s", folder, hasty)


def test_volume_files_stay_in_place(volume: Path, folder: Path, settings: Settings) -> None:
    file = fetch("volume://samples/a.wav", folder, settings, JobControl())
    assert file == (volume / "samples" / "a.wav").resolve()
    assert fetch("volume://samples/inside.wav", folder, settings, JobControl()) == file
    assert fetch("VOLUME://./samples//a.wav", folder, settings, JobControl()) == file
    assert list(folder.iterdir()) == []


def test_volume_paths_are_literal(folder: Path, settings: Settings) -> None:
    assert (
        fetch("volume://samples/a%2e b?.wav", folder, settings, JobControl()).read_bytes() == BODY
    )


def test_a_volume_that_is_a_link_itself(
    volume: Path, tmp_path: Path, folder: Path, settings: Settings
) -> None:
    (tmp_path / "mount").symlink_to(volume)
    mounted = settings.model_copy(update={"volume": tmp_path / "mount"})
    assert fetch("volume://samples/a.wav", folder, mounted, JobControl()).read_bytes() == BODY


@pytest.mark.parametrize(
    "path",
    [
        "../outside/a.wav",
        "../../etc/passwd",
        "samples/../a.wav",
        "samples/..",
        "/etc/passwd",
        "//etc/passwd",
        "samples/a.wav\0",
        "samples/a.wav\0.mp3",
        "samples/outside.wav",
        "samples/dangling.wav",
        "link/a.wav",
        "link/nothing.wav",
        ".metadata/a.wav",
        "./.metadata/nothing.wav",
        "python-deps/a.wav",
        "samples/metadata/a.wav",
        "",
        ".",
        "samples",
        "samples/fifo.wav",
    ],
)
def test_volume_paths_that_are_forbidden(path: str, folder: Path, settings: Settings) -> None:
    fails(f"volume://{path}", ForbiddenUrlError, "^volume://", folder, settings)


@pytest.mark.parametrize(
    "path",
    [
        "samples/nothing.wav",
        "nothing/a.wav",
        "samples/a.wav/b.wav",
        "samples/loop.wav",
        "%2e%2e/outside/a.wav",
        "..%2foutside/a.wav",
        "..\\outside\\a.wav",
        "~/a.wav",
        "samples/\ud800.wav",
        "a" * 5000,
    ],
)
def test_volume_paths_that_do_not_exist(path: str, folder: Path, settings: Settings) -> None:
    fails(f"volume://{path}", FetchFailedError, "not found on the volume", folder, settings)


def test_volume_files_have_the_size_limit(volume: Path, folder: Path, settings: Settings) -> None:
    file = volume / "samples" / "large.wav"
    file.write_bytes(bytes(1_000_000))
    assert fetch("volume://samples/large.wav", folder, settings, JobControl()) == file.resolve()
    file.write_bytes(bytes(1_000_001))
    fails("volume://samples/large.wav", AudioTooLargeError, "1 MB", folder, settings)
    fails("volume://samples/empty.wav", UnsupportedAudioError, "empty file", folder, settings)


@pytest.mark.parametrize(
    "head", ["data:audio/wav;base64,", "data:;base64,", "DATA:video/mp4;codecs=avc1;Base64,"]
)
def test_data(head: str, folder: Path, settings: Settings) -> None:
    file = fetch(head + base64.b64encode(BODY).decode(), folder, settings, JobControl())
    assert file.parent == folder
    assert file.read_bytes() == BODY


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("data:audio/wav;base64,UklGRg=", "not valid base64"),
        ("data:audio/wav;base64,UklGR", "not valid base64"),
        ("data:audio/wav;base64,UklG Rg==", "not valid base64"),
        ("data:audio/wav;base64,UklG\nRg==", "not valid base64"),
        ("data:audio/wav;base64,Uk-_", "not valid base64"),
        ("data:audio/wav;base64,UklGRg%3D%3D", "not valid base64"),
        ("data:audio/wav;base64,UklGRg==UklG", "not valid base64"),
        ("data:audio/wav;base64,=", "not valid base64"),
        ("data:audio/wav;base64,é", "not valid base64"),
        ("data:audio/wav;base64," + "A" * 100_001, "100001 characters"),
        ("data:audio/wav,UklGRg==", "not a data URI with base64"),
        ("data:audio/wav;base64", "not a data URI with base64"),
        ("data:", "not a data URI with base64"),
        ("data:" + "A" * 100_000, "not a data URI with base64"),
    ],
)
def test_data_that_is_malformed(
    source: str, message: str, folder: Path, settings: Settings
) -> None:
    fails(source, InvalidInputError, message, folder, settings)


def test_data_has_the_size_limit(folder: Path, settings: Settings) -> None:
    head = "data:audio/wav;base64,"
    largest = base64.b64encode(bytes(1_000_000)).decode()
    fetch(head + largest, folder, settings, JobControl()).unlink()
    larger = base64.b64encode(bytes(1_000_001)).decode()
    fails(head + larger, AudioTooLargeError, "1 MB", folder, settings)
    fails(head, UnsupportedAudioError, "empty file", folder, settings)


@pytest.mark.parametrize(
    "source",
    [
        "",
        "a.wav",
        "/etc/passwd",
        "volume:samples/a.wav",
        "volume:/samples/a.wav",
        "file:///etc/passwd",
        "ftp://host/a.wav",
        " https://host/a.wav",
        "UklGRg" * 100_000,
    ],
)
def test_other_schemes(source: str, folder: Path, settings: Settings) -> None:
    fails(source, InvalidInputError, "Allowed are https://", folder, settings)


@pytest.mark.parametrize(
    "source",
    [
        "s3:bucket/a.wav",
        "s3://bucket",
        "s3://bucket/",
        "s3://bucket/folder/",
        "s3:///a.wav",
        "s3://user:secret@bucket/a.wav",
    ],
)
def test_s3_names_an_object(source: str, folder: Path, settings: Settings) -> None:
    fails(source, InvalidInputError, "not an object of S3. Write s3://bucket/key", folder, settings)


def test_s3_without_keys_says_what_to_set(folder: Path, settings: Settings) -> None:
    message = r"s3://bucket/a\.wav needs keys\. .*s3Config.*BUCKET_ENDPOINT_URL.*AWS_"
    fails("s3://bucket/a.wav", FetchFailedError, message, folder, settings)


def test_s3(folder: Path, settings: Settings) -> None:
    with s3_server.moto() as url:
        store = s3_server.client_of(url)
        store.put_object(Bucket="bucket", Key="a b?#%41.wav", Body=BODY)
        store.put_object(Bucket="bucket", Key="empty.wav", Body=b"")
        store.put_object(Bucket="bucket", Key="large.wav", Body=bytes(1_000_001))
        config = {"accessId": "key", "accessSecret": "secret", "endpointUrl": url}
        account = s3_account.of_job(parse_s3_config(config))
        file = fetch("S3://bucket/a b?#%41.wav", folder, settings, JobControl(), account)
        assert file.parent == folder
        assert file.read_bytes() == BODY
        file.unlink()
        for name, error in [
            ("empty.wav", UnsupportedAudioError),
            ("large.wav", AudioTooLargeError),
            ("none.wav", FetchFailedError),
        ]:
            with pytest.raises(error, match=f"s3://bucket/{name}"):
                fetch(f"s3://bucket/{name}", folder, settings, JobControl(), account)
        assert list(folder.iterdir()) == []
