"""The loopback platform misbehaves on command."""

import socket
import time
from urllib.parse import urlsplit

import pytest
import requests

from tests.platform import until
from tests.platform.plain_worker import PlainWorker

TIMEOUT_S = 30


@pytest.fixture
def worker(platform) -> PlainWorker:
    return PlainWorker(platform)


@pytest.mark.parametrize(
    ("how", "status", "content_type"),
    [
        ({"status": 500}, 500, "application/json"),
        ({"status": 204}, 204, "application/json"),
        ({"status": 200, "body": "no {JSON"}, 200, "application/json"),
        ({"status": 200, "body": "<p>", "content_type": "text/html"}, 200, "text/html"),
    ],
)
def test_it_misbehaves_as_often_as_told(platform, worker, how, status, content_type):
    platform.submit({})
    platform.misbehave("job-take", times=2, **how)
    for _ in range(2):
        reply = worker.ask()
        assert (reply.status_code, reply.text) == (status, how.get("body", ""))
        assert reply.headers["Content-Type"] == content_type
    worker.take()
    assert [record["status"] for record in platform.records("job-take")] == [status, status, 200]


def test_a_slow_answer_is_the_true_one(platform, worker):
    id_ = platform.submit({})
    platform.misbehave("job-take", delay_s=0.3)
    started = time.monotonic()
    assert worker.take()["id"] == id_
    assert time.monotonic() - started >= 0.3


@pytest.mark.parametrize("carry_out", [True, False])
def test_a_dropped_result_is_carried_out_or_not(platform, worker, carry_out):
    id_ = platform.submit({})
    worker.take()
    platform.misbehave("job-done", do="drop", carry_out=carry_out)
    with pytest.raises(requests.ConnectionError):
        worker.post(id_, {"output": 1})
    assert len(platform.results(id_)) == carry_out
    assert platform.records("job-done")[0]["status"] is None


@pytest.mark.parametrize("carries_on", [True, False])
def test_a_slow_call_is_carried_out_without_its_client_or_not(platform, carries_on):
    worker = PlainWorker(platform)
    id_ = platform.submit({})
    worker.take()
    platform.misbehave("job-done", delay_s=0.5, carries_on=carries_on)
    url = f"{platform.url}/job-done/a/{id_}?x"
    with pytest.raises(requests.Timeout):
        requests.post(url, json={"output": 1}, timeout=0.2)
    time.sleep(1)
    assert len(platform.results(id_)) == carries_on


def test_a_hanging_answer_begins_and_does_not_end(platform):
    platform.misbehave("ping", do="hang")
    with requests.get(f"{platform.url}/ping/a?x", stream=True, timeout=1.5) as reply:
        assert reply.status_code == 200
        with pytest.raises(requests.RequestException):
            assert reply.content


def test_it_misbehaves_towards_one_worker(platform, worker):
    platform.submit({})
    platform.misbehave("job-take", status=500, worker="b")
    worker.take()
    assert PlainWorker(platform, "b").ask().status_code == 500


def test_misbehaviour_can_be_forgotten(platform):
    platform.misbehave("run", times=100, status=500)
    platform.behave()
    platform.submit({})


def test_down_breaks_connections_and_refuses_new_ones(platform, worker):
    id_ = platform.submit({})
    worker.take()
    address = urlsplit(platform.url)
    with socket.create_connection((address.hostname, address.port), timeout=TIMEOUT_S) as poll:
        poll.sendall(b"GET /job-take/a?gpu=x HTTP/1.1\r\nHost: x\r\n\r\n")
        until(lambda: len(platform.records("job-take")) == 2)
        platform.down(0.5)
        assert poll.recv(1) == b""
    with pytest.raises(requests.ConnectionError):
        requests.get(platform.url, timeout=TIMEOUT_S)
    assert platform.job(id_)["status"] == "IN_PROGRESS"  # control is on another port

    def is_back() -> bool:
        try:
            return worker.post(id_, {"output": 1}).ok
        except requests.ConnectionError:
            return False

    until(is_back)
    assert platform.wait(id_)["output"] == 1
