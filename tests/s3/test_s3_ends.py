"""How calls of S3 end, and that nothing is left of them."""

import socket
import threading
import time
from functools import partial
from pathlib import Path

import pytest

from tests import s3_server
from tests.s3.accounts import LARGE, of_job
from worker import s3
from worker.control import JobControl
from worker.errors import CancelledError, FetchFailedError, JobTimeoutError, WorkerError

FILES = Path("/proc/self/fd")


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
