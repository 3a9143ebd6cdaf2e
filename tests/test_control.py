import threading

import pytest

from worker.control import Exclusive, JobControl
from worker.errors import CancelledError


@pytest.fixture
def reports() -> list[tuple[str, float]]:
    return []


@pytest.fixture
def control(reports) -> JobControl:
    return JobControl(lambda stage, share: reports.append((stage, share)))


def test_a_job_that_is_not_cancelled_goes_on(control, reports):
    control.check()
    control.update("vad", 0.5)
    assert reports == [("vad", 0.5)]


def test_a_cancelled_job_ends_and_reports_nothing_more(control, reports):
    control.cancel()
    control.cancel()
    with pytest.raises(CancelledError, match="cancelled"):
        control.check()
    with pytest.raises(CancelledError):
        control.update("vad", 0.5)
    with pytest.raises(CancelledError):
        next(control.watch("vad", [1], 1))
    assert reports == []


def test_the_steps_of_a_stage_are_reported(control, reports):
    assert list(control.watch("embedding", "abcd", 4)) == list("abcd")
    assert reports == [("embedding", share) for share in (0, 0.25, 0.5, 0.75)]


def test_a_stage_without_items_reports_nothing(control, reports):
    assert list(control.watch("embedding", [], 0)) == []
    assert reports == []


def test_a_stage_ends_at_the_step_after_it_is_cancelled(control, reports):
    steps = control.watch("vad", range(10), 10)
    assert [next(steps) for _ in range(4)] == [0, 1, 2, 3]
    control.cancel()
    with pytest.raises(CancelledError):
        next(steps)
    assert len(reports) == 4


def test_a_job_without_a_listener():
    assert list(JobControl().watch("vad", "ab", 2)) == ["a", "b"]


def test_a_lock_is_held_by_one_and_given_back():
    lock = threading.Lock()
    with Exclusive(lock, JobControl()):
        assert lock.locked()
    assert not lock.locked()


def test_a_cancelled_job_does_not_wait_for_the_device():
    lock, control = threading.Lock(), JobControl()
    lock.acquire()
    threading.Timer(0.2, control.cancel).start()
    with pytest.raises(CancelledError), Exclusive(lock, control):
        pass
    assert lock.locked()


def test_a_pause_ends_when_the_job_is_cancelled():
    control = JobControl()
    threading.Timer(0.2, control.cancel).start()
    with pytest.raises(CancelledError):
        control.wait(600)
