"""The loopback platform, asked by a plain HTTP client."""

import socket
import subprocess
import sys
import time
from urllib.parse import urlsplit

import pytest

from tests.platform import Platform, until
from tests.platform.plain_worker import PlainWorker

ROOT = __file__.rpartition("/tests/")[0]
TIMEOUT_S = 30


@pytest.fixture
def worker(platform) -> PlainWorker:
    return PlainWorker(platform)


def test_a_job_goes_from_the_client_to_a_worker_and_back(platform, worker):
    id_ = platform.submit({"a": 1}, s3Config={"bucketName": "b"})
    assert platform.status(id_) == {"id": id_, "status": "IN_QUEUE"}
    assert worker.take() == {"id": id_, "input": {"a": 1}, "s3Config": {"bucketName": "b"}}
    assert platform.status(id_)["status"] == "IN_PROGRESS"
    worker.post(id_, {"output": [1, 2]})
    expected = {"id": id_, "status": "COMPLETED", "workerId": "a", "output": [1, 2]}
    assert platform.wait(id_) == expected


def test_a_result_with_an_error_is_a_failed_job(platform, worker):
    id_ = platform.submit({})
    worker.take()
    worker.post(id_, {"error": "NO: no"})
    assert platform.wait(id_)["status"] == "FAILED"
    assert platform.status(id_)["error"] == "NO: no"


def test_wait_gives_up(platform):
    with pytest.raises(TimeoutError, match=r"is IN_QUEUE after 0.1 s"):
        platform.wait(platform.submit({}), timeout=0.1)


def test_runsync_answers_with_the_result(platform, worker):
    url = f"{platform.url}/runsync"
    program = "import requests, sys; print(requests.post(sys.argv[1], json={'input': 1}).text)"
    command = [sys.executable, "-c", program, url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as client:
        job = worker.take()
        assert job["id"].startswith("sync-")
        worker.post(job["id"], {"output": "here"})
        answer, _ = client.communicate(timeout=TIMEOUT_S)
    assert '"status": "COMPLETED"' in answer
    assert '"output": "here"' in answer


def test_a_batch_holds_what_there_is(platform, worker):
    ids = [platform.submit({}) for _ in range(3)]
    batches = [worker.ask("job-take-batch", batch_size=2).json() for _ in range(2)]
    assert [[job["id"] for job in batch] for batch in batches] == [ids[:2], ids[2:]]


def test_polls_end_with_204():
    with Platform(poll_s=0.1) as platform:
        for call in ("job-take", "job-take-batch", "job-stop"):
            reply = PlainWorker(platform).ask(call, batch_size=2)
            assert (reply.status_code, reply.content) == (204, b"")


def test_a_poll_whose_client_has_gone_gets_no_job(platform, worker):
    address = urlsplit(platform.url)
    with socket.create_connection((address.hostname, address.port)) as gone:
        gone.sendall(b"GET /job-take/gone?gpu=x HTTP/1.1\r\nHost: x\r\n\r\n")
        until(lambda: platform.records("job-take"))
    time.sleep(0.1)  # loopback is quick, the platform need not be
    id_ = platform.submit({})
    assert worker.take()["id"] == id_
    assert platform.job(id_)["workers"] == ["a"]


def test_the_first_result_counts_and_all_are_kept(platform, worker):
    id_ = platform.submit({})
    worker.take()
    for number in (1, 2):
        worker.post(id_, {"output": number})
    assert platform.status(id_)["output"] == 1
    assert [result["body"]["output"] for result in platform.results(id_)] == [1, 2]


def test_an_update_shows_and_a_late_one_overwrites_the_result(platform, worker):
    id_ = platform.submit({})
    worker.take()
    worker.post(id_, {"status": "IN_PROGRESS", "output": "half"})
    assert platform.status(id_)["output"] == "half"
    worker.post(id_, {"output": "whole"})
    worker.post(id_, {"status": "IN_PROGRESS", "output": "late"})
    assert platform.status(id_)["status"] == "IN_PROGRESS"
    assert platform.status(id_)["output"] == "late"


@pytest.mark.parametrize(("sync", "limit"), [(False, 10_000_000), (True, 20_000_000)])
def test_a_result_over_the_limit_is_completed_without_data(platform, worker, sync, limit):
    frame = len('{"output": ""}')
    for excess, kept in ((0, True), (1, False)):
        id_ = platform.submit({}, sync=sync)
        worker.take()
        assert worker.post(id_, {"output": "x" * (limit - frame + excess)}).ok
        status = platform.status(id_)
        assert (status["status"], "output" in status) == ("COMPLETED", kept)


def test_parts_are_read_once_and_large_ones_are_refused(platform, worker):
    id_ = platform.submit({})
    worker.take()
    for part in ("one", "two", "x" * 1_000_000):
        last = worker.post(id_, {"output": part}, call="job-stream")
    assert last.status_code == 413
    worker.post(id_, {"output": "all"})
    stream = {"status": "COMPLETED", "stream": [{"output": "one"}, {"output": "two"}]}
    assert platform.stream(id_) == stream
    assert platform.stream(id_)["stream"] == []
    assert platform.job(id_)["parts"] == ["one", "two"]


def test_cancelling_a_job_in_work_tells_its_worker(platform, worker):
    id_ = platform.submit({})
    worker.take()
    platform.cancel(id_)
    assert worker.ask("job-stop").json() == {"jobsToStop": [id_]}
    worker.post(id_, {"output": "too late"})
    assert platform.status(id_)["status"] == "CANCELLED"
    assert len(platform.results(id_)) == 1


def test_a_cancelled_job_in_the_queue_is_not_handed_out(platform, worker):
    cancelled, other = platform.submit({}), platform.submit({})
    platform.cancel(cancelled)
    assert worker.take()["id"] == other


def test_a_job_that_has_ended_is_not_handed_out_again(platform, worker):
    id_ = platform.submit({})
    worker.take()
    platform.redeliver(id_)
    worker.post(id_, {"output": 1})
    other = platform.submit({})
    assert worker.take()["id"] == other


def test_a_job_that_no_ping_names_is_handed_out_again():
    with Platform(redeliver_after_s=0.2) as platform:
        first, second = PlainWorker(platform, "a"), PlainWorker(platform, "b")
        id_ = platform.submit({})
        first.take()
        first.ping("another")
        assert second.take()["id"] == id_
        second.post(id_, {"output": 1})
        time.sleep(0.5)
        assert platform.job(id_)["workers"] == ["a", "b"]


def test_a_ping_keeps_the_jobs_it_names(platform, worker):
    id_ = platform.submit({})
    worker.take()
    taken = platform.job(id_)["last_sign"]
    worker.ping("another")
    PlainWorker(platform, "b").ping(id_)
    assert platform.job(id_)["last_sign"] == taken
    worker.ping("another", id_)
    assert platform.job(id_)["last_sign"] > taken


def test_a_job_is_handed_out_again_when_told(platform):
    id_ = platform.submit({})
    PlainWorker(platform, "a").take()
    platform.redeliver(id_)
    assert PlainWorker(platform, "b").take()["id"] == id_


def test_raw_jobs_come_as_they_are(platform, worker):
    id_ = platform.submit({})
    duplicate = worker.take()
    worker.post(id_, {"output": 1})
    raw = [{"input": {}}, {"id": "x"}, [], "job", duplicate]
    for payload in raw:
        platform.submit_raw(payload)
    assert [worker.take() for _ in raw] == raw
    assert platform.status(id_)["status"] == "COMPLETED"
    worker.post("x", {"output": 2})
    assert platform.status("x")["output"] == 2


def test_what_no_worker_should_send_is_refused(platform, worker):
    id_ = platform.submit({})
    assert worker.post("unknown", {"output": 1}).status_code == 404
    assert worker.post(id_, [1]).status_code == 400
    assert worker.post(id_, None, data=b"{'output'").status_code == 400


def test_records_tell_what_was_asked(platform, worker):
    id_ = platform.submit({})
    PlainWorker(platform, "a").take()
    worker.post(id_, {"output": 1})
    worker.post(id_, {"output": "x" * 2_000_000})
    small, large = platform.records("job-done", worker="a")
    assert small["method"] == "POST"
    assert small["path"] == f"/job-done/a/{id_}"
    assert small["query"] == {"gpu": "x", "isStream": "false"}
    assert small["headers"]["Content-Type"] == "application/x-www-form-urlencoded"
    assert (small["job"], small["size"], small["json"]) == (id_, 13, {"output": 1})
    assert (large["size"], large["json"]) == (2_000_014, None)
    assert small["time"] < large["time"]
    assert platform.records("job-done", worker="b") == []
    assert [record["call"] for record in platform.records()][:2] == ["run", "job-take"]


def test_it_does_not_outlive_a_test_that_was_killed():
    program = "import os; from tests.platform import Platform as P; p = P(); print(p.url); "
    program += "__import__('sys').stdout.flush(); os.kill(os.getpid(), 9)"
    command = [sys.executable, "-c", program]
    ended = subprocess.run(
        command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=TIMEOUT_S
    )
    address = urlsplit(ended.stdout.strip())

    def is_gone() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((address.hostname, address.port)) != 0

    until(is_gone)
