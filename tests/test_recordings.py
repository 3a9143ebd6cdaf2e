"""Recordings are read in order, ahead of the work, and leave nothing behind."""

import base64
import contextlib
import resource
import threading
import time
from pathlib import Path

import pytest

from tests.media_server import MediaServer
from worker.control import JobControl
from worker.errors import CancelledError, WorkerError
from worker.recordings import AHEAD, Recording, read_ahead
from worker.sources import AudioSource


@pytest.fixture(scope="module")
def server(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("served")
    (folder / "sample.wav").symlink_to(data / "sample.wav")
    with MediaServer(folder) as running:
        yield running


def sources(*urls: str) -> list[AudioSource]:
    return [AudioSource(url=url) for url in urls]


def test_each_comes_in_order_or_its_error(server, tmp_path, make_settings):
    good, missing = server.url("/files/sample.wav"), server.url("/missing.wav")
    urls = sources(good, missing, "volume://samples/sample.wav", "ftp://x/y.wav", good)
    found = list(read_ahead(urls, tmp_path, make_settings(), JobControl()))
    kinds = ["error" if isinstance(f, WorkerError) else f.audio.duration for f in found]
    assert kinds == [30.0, "error", 30.0, "error", 30.0]
    assert [f.code for f in found if isinstance(f, WorkerError)] == [
        "FETCH_FAILED",
        "INVALID_INPUT",
    ]
    for recording in found:
        if isinstance(recording, Recording):
            assert {p.name for p in recording.folder.iterdir()} == {"samples.f32"}
            recording.close()
    assert list(tmp_path.iterdir()) == []
    assert (make_settings().layout.root / "samples" / "sample.wav").is_file()


def test_a_few_are_read_ahead_and_no_more(server, tmp_path, make_settings):
    before = server.count("/files/sample.wav")
    urls = sources(*[server.url("/files/sample.wav")] * 20)
    with contextlib.closing(
        read_ahead(urls, tmp_path, make_settings(), JobControl())
    ) as recordings:
        next(recordings).close()
        deadline = time.monotonic() + 30
        while server.count("/files/sample.wav") - before < 1 + AHEAD:
            assert time.monotonic() < deadline, "the next ones are not read while one is worked on"
            time.sleep(0.02)
        for _ in range(2):
            next(recordings).close()
        assert server.count("/files/sample.wav") - before <= 3 + AHEAD
    assert server.count("/files/sample.wav") - before <= 3 + AHEAD
    assert list(tmp_path.iterdir()) == []


def test_a_cancelled_job_stops_reading(server, tmp_path, make_settings):
    control = JobControl()
    threading.Timer(0.3, control.cancel).start()
    urls = sources(*[server.url("/silent")] * 5)
    with pytest.raises(CancelledError):
        list(read_ahead(urls, tmp_path, make_settings(), control))
    assert list(Path(tmp_path).iterdir()) == []


@pytest.mark.parametrize("source", ["http", "data"])
def test_a_full_disk_is_said_and_ends_that_recording_alone(
    server, tmp_path, make_settings, data, source
):
    """A limit on the size of files fails a write as a full disk does."""
    large = server.url("/files/sample.wav")
    if source == "data":
        content = (data / "sample.wav").read_bytes()
        large = "data:audio/wav;base64," + base64.b64encode(content).decode()
    urls = sources(large, "volume://samples/none.wav")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        found = list(read_ahead(urls, tmp_path, make_settings(), JobControl()))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [e.code for e in found if isinstance(e, WorkerError)] == [
        "AUDIO_TOO_LARGE",
        "FETCH_FAILED",
    ]
    assert "disk is full" in str(found[0])
    assert list(tmp_path.iterdir()) == []


def test_who_stops_early_does_not_wait_for_slow_peers(server, tmp_path, make_settings):
    control = JobControl()
    urls = sources("volume://samples/sample.wav", *[server.url("/silent")] * 3)
    with contextlib.closing(read_ahead(urls, tmp_path, make_settings(), control)) as recordings:
        next(recordings).close()
    with pytest.raises(CancelledError):
        control.check()
    assert list(tmp_path.iterdir()) == []
