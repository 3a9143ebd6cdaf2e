"""The worker's loop as a real process under the platform: jobs in, results out, one clean end."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.platform import Platform, WorkerProcess

TOY = ("-m", "tests.toy_worker")
DEADLINE_S = 30.0
FOR_EVER = 10_000
TAKES = ("job-take", "job-take-batch")


@pytest.fixture(scope="module")
def served(tmp_path_factory) -> Iterator[tuple[Platform, WorkerProcess]]:
    """A worker that the tests share; none of them ends it."""
    folder = tmp_path_factory.mktemp("served")
    with Platform() as platform, WorkerProcess(platform, folder, folder, *TOY) as worker:
        worker.ready()
        yield platform, worker


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


def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def spoil_takes(platform: Platform, **how: object) -> None:
    for call in TAKES:
        platform.misbehave(call, **how)


def takes(platform: Platform, how: dict[str, object]) -> list[dict]:
    """Takes that ended as `how` says."""
    records = [r for call in TAKES for r in platform.records(call)]
    return [r for r in records if r["status"] == how.get("status")]


def is_in_work(platform: Platform, job: str) -> bool:
    return platform.job(job)["status"] == "IN_PROGRESS"


def begin_job(platform: Platform, **asked: object) -> str:
    job = platform.submit(asked)
    until(partial(is_in_work, platform, job), "the job is not taken")
    return job


def results_on(volume: Path) -> list[Path]:
    return [p for p in (volume / "results").glob("*") if p.is_file()]


def test_as_many_jobs_are_in_work_as_settings_say(served):
    platform, _ = served
    jobs = [platform.submit({"sleep_s": 1.0}) for _ in range(3)]
    until(lambda: sum(is_in_work(platform, job) for job in jobs) == 2, "two are not taken")
    assert platform.job(jobs[2])["status"] == "IN_QUEUE"
    for job in jobs:
        assert platform.wait(job)["status"] == "COMPLETED"


def test_progress_comes_in_order_and_never_after_the_result(served):
    platform, _ = served
    job = platform.submit({"sleep_s": 3.5})
    platform.wait(job)
    calls = [r["json"] for r in platform.records("job-done") if r["job"] == job]
    *progress, result = calls
    assert [call["status"] for call in progress] == ["IN_PROGRESS"] * len(progress)
    shares = [call["output"]["progress"] for call in progress]
    assert len(shares) >= 2
    assert shares == sorted(shares)
    assert result == {"output": {"asked": {"sleep_s": 3.5}, "text": ""}}


def test_a_result_goes_out_as_the_sdk_sends_it(served):
    platform, worker = served
    job = platform.submit({"text": "Grüße, 你好"})
    assert platform.wait(job)["output"]["asked"] == {"text": "Grüße, 你好"}
    (record,) = [r for r in platform.records("job-done") if r["job"] == job]
    assert record["worker"] == worker.id
    assert record["query"] == {"gpu": "x", "isStream": "false"}
    assert record["headers"]["Content-Type"] == "application/x-www-form-urlencoded"
    assert record["headers"]["X-Request-ID"] == job


def test_a_cancelled_job_ends_and_posts_nothing(served):
    platform, worker = served
    job = begin_job(platform, sleep_s=600)
    until(worker.leftovers, "no temporary folder")
    platform.cancel(job)
    until(lambda: not worker.leftovers(), "the temporary folder stays")
    assert platform.wait(platform.submit({}))["status"] == "COMPLETED"
    assert platform.results(job) == []


def test_a_cancelled_job_keeps_the_device_until_its_thread_ends(served):
    platform, worker = served
    job = begin_job(platform, device_s=0.8)
    until(worker.leftovers, "not begun")
    platform.cancel(job)
    assert platform.wait(platform.submit({"device_s": 0.01}))["status"] == "COMPLETED"
    assert platform.results(job) == []
    assert not worker.leftovers()


@pytest.mark.parametrize(
    "nonsense", [{"input": {}}, {"id": 5, "input": {}}, {"id": "", "input": {}}, "text", [[1]]]
)
def test_what_is_no_job_is_passed_over(served, nonsense):
    platform, _ = served
    platform.submit_raw(nonsense)
    assert platform.wait(platform.submit({}))["status"] == "COMPLETED"


def test_a_job_without_input_is_answered(served):
    platform, _ = served
    platform.submit_raw({"id": "without-input"})
    until(lambda: platform.results("without-input"), "not answered")


def test_a_job_with_an_odd_id_is_answered(served):
    platform, _ = served
    job = "a/b?c d\r\ne"
    platform.submit_raw({"id": job, "input": {}})
    until(lambda: [r for r in platform.records("job-done") if r["job"] == job], "not answered")


@pytest.mark.parametrize(
    "how",
    [
        {"status": 500, "times": 3},
        {"status": 404, "times": 3},
        {"status": 400, "times": 3},
        {"status": 204, "times": 3},
        {"status": 200, "body": "<html>", "times": 3},
        {"status": 200, "body": "<html>", "content_type": "text/html", "times": 3},
        {"status": 200, "body": "7", "times": 3},
        {"do": "drop", "times": 3},
        {"status": 429, "times": 1},
    ],
    ids=str,
)
def test_a_take_that_goes_wrong_is_tried_again(served, how):
    platform, _ = served
    before = len(takes(platform, how))
    spoil_takes(platform, **how)
    platform.submit({})  # goes to the take that is held
    until(lambda: len(takes(platform, how)) > before, "nothing went wrong")
    platform.behave()
    assert platform.wait(platform.submit({}))["status"] == "COMPLETED"


def test_a_platform_that_answers_at_once_is_not_asked_in_a_busy_loop(served):
    platform, worker = served
    spoil_takes(platform, times=FOR_EVER, status=500)
    platform.wait(platform.submit({}))  # goes to the take that is held
    before = worker.num_takes()
    time.sleep(2)
    assert 1 <= worker.num_takes() - before <= 12
    platform.behave()
    assert platform.wait(platform.submit({}))["status"] == "COMPLETED"


def test_a_duplicate_of_a_job_in_work_is_not_run(served):
    platform, worker = served
    job = begin_job(platform, sleep_s=1.5)
    platform.redeliver(job)
    platform.wait(job)
    assert platform.job(job)["workers"] == [worker.id] * 2
    assert platform.wait(platform.submit({}))["status"] == "COMPLETED"
    assert len(platform.results(job)) == 1


def test_a_reply_that_does_not_serialise_is_an_error_without_internals(served):
    platform, worker = served
    status = platform.wait(platform.submit({"nan": True}))
    assert status["status"] == "FAILED"
    assert status["error"].startswith("INTERNAL: ")
    assert "Traceback" not in status["error"]
    reference = status["error"].split("reference ")[1][:12]
    assert reference in worker.log()


@pytest.mark.parametrize("how", [{"status": 500}, {"status": 429}, {"do": "drop"}], ids=str)
def test_a_result_is_posted_until_it_is_taken(served, how):
    platform, _ = served
    platform.misbehave("job-done", times=3, **how)
    job = platform.submit({})
    assert platform.wait(job)["status"] == "COMPLETED"
    assert len([r for r in platform.records("job-done") if r["job"] == job]) == 4


def test_the_platform_goes_away_and_comes_back(served):
    platform, _ = served
    jobs = [begin_job(platform, sleep_s=1.0) for _ in range(2)]
    platform.down(2)
    for job in jobs:
        assert platform.wait(job)["status"] == "COMPLETED"
    assert platform.wait(platform.submit({}))["status"] == "COMPLETED"


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
    until(worker.leftovers, "not begun")
    worker.terminate()
    worker.wait(DEADLINE_S)
    assert platform.results(job) == []
    assert worker.children() == []


def test_a_result_that_cannot_be_posted_before_the_end_is_kept(platform, start, tmp_path):
    worker = start(SPEECH_GRACE_S="1.5")
    platform.misbehave("job-done", times=FOR_EVER, status=503)
    job = begin_job(platform, sleep_s=0.5)
    until(lambda: platform.records("job-done"), "nothing posted")
    worker.terminate()
    assert worker.wait(DEADLINE_S) == 0
    (kept,) = results_on(tmp_path)
    assert kept.name == f"{job}.json"


def test_a_job_that_goes_on_after_its_limit_is_answered_and_the_worker_replaced(platform, start):
    worker = start(SPEECH_JOB_TIMEOUT_S="2", SPEECH_GRACE_S="20")
    wedged = begin_job(platform, wedge=True)
    until(worker.leftovers, "not begun")
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
    until(worker.leftovers, "not begun")
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
