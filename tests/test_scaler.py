"""The worker's loop as a real process under the platform: jobs in, results out."""

import time
from collections.abc import Iterator

import pytest

from tests.platform import Platform, WorkerProcess, until
from tests.toy_jobs import FOR_EVER, TOY, begin_job, is_in_work

TAKES = ("job-take", "job-take-batch")


@pytest.fixture(scope="module")
def served(tmp_path_factory) -> Iterator[tuple[Platform, WorkerProcess]]:
    """A worker that the tests share; none of them ends it."""
    folder = tmp_path_factory.mktemp("served")
    with Platform() as platform, WorkerProcess(platform, folder, folder, *TOY) as worker:
        worker.ready()
        yield platform, worker


def spoil_takes(platform: Platform, **how: object) -> None:
    for call in TAKES:
        platform.misbehave(call, **how)


def takes(platform: Platform, how: dict[str, object]) -> list[dict]:
    """Takes that ended as `how` says."""
    records = [r for call in TAKES for r in platform.records(call)]
    return [r for r in records if r["status"] == how.get("status")]


def test_as_many_jobs_are_in_work_as_settings_say(served):
    platform, _ = served
    jobs = [platform.submit({"sleep_s": 1.0}) for _ in range(3)]
    until(lambda: sum(is_in_work(platform, job) for job in jobs) == 2)
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
    until(worker.leftovers)
    platform.cancel(job)
    until(lambda: not worker.leftovers())
    assert platform.wait(platform.submit({}))["status"] == "COMPLETED"
    assert platform.results(job) == []


def test_a_cancelled_job_keeps_its_slot_until_its_thread_ends(served):
    platform, worker = served
    job = begin_job(platform, device_s=0.8)
    until(worker.leftovers)
    (folder,) = worker.leftovers()
    begin_job(platform, sleep_s=2.0)  # has the other slot
    platform.cancel(job)
    other = platform.submit({})
    until(lambda: platform.job(other)["workers"])
    assert not folder.exists()
    assert platform.wait(other)["status"] == "COMPLETED"
    assert platform.results(job) == []


def test_a_job_that_comes_again_while_it_is_being_stopped_is_run(served):
    platform, worker = served
    job = begin_job(platform, device_s=0.8)
    until(worker.leftovers)
    platform.cancel(job)
    until(lambda: f"job '{job}' is stopped" in worker.log())
    platform.submit_raw({"id": job, "input": {"text": "once more"}})
    until(lambda: platform.results(job))
    (result,) = platform.results(job)
    assert result["body"]["output"]["asked"] == {"text": "once more"}


def test_errors_of_the_stop_channel_do_not_write_its_address_into_the_log(served):
    platform, worker = served
    platform.misbehave("job-stop", times=3, status=500)
    platform.cancel(begin_job(platform, sleep_s=0.1))  # goes to the poll that is held
    until(lambda: [r["status"] for r in platform.records("job-stop")].count(500) == 3)
    job = begin_job(platform, sleep_s=600)
    platform.cancel(job)
    until(lambda: not worker.leftovers())
    assert "the stop channel does not answer: 500" in worker.log()
    assert "gpu=x" not in worker.log()


def test_errors_of_pings_do_not_write_their_address_into_the_log(served):
    platform, worker = served
    platform.misbehave("ping", times=FOR_EVER, do="drop")
    until(lambda: "the platform does not take pings" in worker.log())
    platform.behave()
    assert "gpu=x" not in worker.log()


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
    until(lambda: platform.results("without-input"))


def test_a_job_with_an_odd_id_is_answered(served):
    platform, _ = served
    job = "a/b?c d\r\ne"
    platform.submit_raw({"id": job, "input": {}})
    until(lambda: [r for r in platform.records("job-done") if r["job"] == job])


@pytest.mark.parametrize(
    "how",
    [
        {"status": 500, "times": 3},
        {"status": 404, "times": 3},
        {"status": 400, "times": 3},
        {"status": 204, "times": 3},
        {"status": 200, "times": 3},
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
    until(lambda: len(takes(platform, how)) > before)
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
    platform, worker = served
    jobs = [begin_job(platform, sleep_s=1.0) for _ in range(2)]
    platform.down(2)
    for job in jobs:
        assert platform.wait(job)["status"] == "COMPLETED"
    assert platform.wait(platform.submit({}))["status"] == "COMPLETED"
    assert "gpu=x" not in worker.log()


def test_an_answer_without_content_is_no_job(served):
    platform, worker = served
    before = worker.log().count("without an id")
    spoil_takes(platform, status=200, times=2)
    platform.submit({})  # goes to the take that is held
    asked = worker.num_takes()
    until(lambda: worker.num_takes() > asked + 2)
    assert worker.log().count("without an id") == before
