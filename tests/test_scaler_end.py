"""The end of the worker's loop: of running jobs, of those in between, of hanging threads."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.platform import WorkerProcess, until
from tests.toy_jobs import DEADLINE_S, FOR_EVER, TOY, begin_job


@pytest.fixture
def start(platform, tmp_path) -> Iterator[Callable[..., WorkerProcess]]:
    """Start workers that end with the test."""
    begun: list[WorkerProcess] = []

    def begin(**variables: str) -> WorkerProcess:
        worker = WorkerProcess(platform, tmp_path, tmp_path, *TOY, **variables)
        begun.append(worker)
        worker.ready()
        return worker

    yield begin
    for worker in begun:
        worker.kill()


def results_on(volume: Path) -> list[Path]:
    return [p for p in (volume / "results").glob("*") if p.is_file()]


def test_an_idle_worker_ends_at_once(platform, start):
    worker = start()
    worker.terminate()
    assert worker.wait(DEADLINE_S) == 0
    job = platform.submit({})
    assert platform.job(job)["workers"] == []
    assert worker.children() == []


def test_running_jobs_end_before_the_worker_does(platform, start):
    worker = start()
    jobs = [begin_job(platform, sleep_s=2.0) for _ in range(2)]
    worker.terminate()
    waiting = platform.submit({})
    assert worker.wait(DEADLINE_S) == 0
    for job in jobs:
        assert platform.wait(job)["status"] == "COMPLETED"
    assert platform.job(waiting)["workers"] == []


def test_what_does_not_end_in_time_is_left_to_another_worker(platform, start):
    worker = start(SPEECH_GRACE_S="0.5")
    job = begin_job(platform, sleep_s=2.0)
    worker.terminate()
    assert worker.wait(DEADLINE_S) == 0
    assert platform.results(job) == []
    assert worker.leftovers() == []
    platform.redeliver(job)
    other = start()
    assert platform.wait(job)["status"] == "COMPLETED"
    assert platform.job(job)["workers"] == [worker.id, other.id]


def test_a_thread_that_does_not_end_does_not_hold_the_process(platform, start):
    worker = start(SPEECH_GRACE_S="0.5")
    job = begin_job(platform, wedge=True)
    until(worker.leftovers)
    worker.terminate()
    assert worker.wait(DEADLINE_S) == 1
    assert platform.results(job) == []
    assert worker.children() == []


def test_a_result_that_cannot_be_posted_before_the_end_is_kept(platform, start, tmp_path):
    worker = start(SPEECH_GRACE_S="1.5")
    platform.misbehave("job-done", times=FOR_EVER, status=503)
    job = begin_job(platform, sleep_s=0.5)
    until(lambda: platform.records("job-done"))
    worker.terminate()
    assert worker.wait(DEADLINE_S) == 0
    (kept,) = results_on(tmp_path)
    assert kept.name == f"{job}.json"


def test_a_job_that_goes_on_after_its_limit_is_answered_and_the_worker_replaced(platform, start):
    worker = start(SPEECH_JOB_TIMEOUT_S="2", SPEECH_GRACE_S="20")
    wedged = begin_job(platform, wedge=True)
    until(worker.leftovers)
    time.sleep(1.5)
    other = begin_job(platform, sleep_s=1.7)  # still runs when the first is given up
    assert worker.wait(DEADLINE_S) == 1
    (result,) = platform.results(wedged)
    assert result["body"]["error"].startswith("TIMEOUT: ")
    assert result["body"]["stopPod"] is True
    assert platform.wait(other)["status"] == "COMPLETED"
    assert worker.children() == [], "its pings would tell that all is well"


def test_a_cancelled_job_that_goes_on_posts_nothing_and_the_worker_is_replaced(platform, start):
    worker = start(SPEECH_GRACE_S="20")
    job = begin_job(platform, wedge=True)
    until(worker.leftovers)
    platform.cancel(job)
    assert worker.wait(DEADLINE_S) == 1
    assert platform.results(job) == []
    assert worker.children() == []


def test_a_job_may_ask_for_a_fresh_worker(platform, start):
    worker = start()
    other = begin_job(platform, sleep_s=1.5)
    job = platform.submit({"refresh": True})
    assert worker.wait(DEADLINE_S) == 0
    (result,) = platform.results(job)
    assert result["body"]["stopPod"] is True
    assert "refresh_worker" not in result["body"]["output"]
    assert platform.wait(other)["status"] == "COMPLETED"
