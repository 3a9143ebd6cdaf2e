"""The async handler: progress before the result, cancellation, limits, threads of its own."""

import asyncio
import threading
import time

import pytest

from worker.control import JobControl
from worker.errors import WorkerError
from worker.runpod_app import JobRunner
from worker.service import Envelope
from worker.telemetry import job_id

FOR_EVER_S = 1e6
JOB = {"id": "a", "input": 1}


class Steps:
    """A service that works in steps of a tenth of a second, until it is cancelled or done."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.ended = threading.Event()
        self.job: str | None = None
        self.envelope: Envelope | None = None

    def answer(self, job_input: object, control: JobControl, envelope: Envelope) -> dict:
        self.job, self.envelope = job_id.get(), envelope
        try:
            for step in range(self.steps):
                control.update("asr", step / self.steps)
                control.publish({"step": step})
                time.sleep(0.1)
        except WorkerError as error:
            return {"error": error.reply}
        finally:
            self.ended.set()
        return {"text": str(job_input)}


class Hangs:
    """A service whose thread ends when the test says so, whatever its control says."""

    def __init__(self) -> None:
        self.released = threading.Event()

    def answer(self, job_input: object, control: JobControl, envelope: Envelope) -> dict:
        self.released.wait(30)
        return {}


class Told:
    """Stands for an outbox: what it was told, each after a moment."""

    def __init__(self) -> None:
        self.progresses: list[dict] = []
        self.parts: list[dict] = []

    async def progress(self, progress: dict) -> None:
        await asyncio.sleep(0.05)
        self.progresses.append(progress)

    async def part(self, part: dict) -> None:
        await asyncio.sleep(0.01)
        self.parts.append(part)

    async def whole(self, reply: dict) -> None:
        self.parts.append(reply)


def test_progress_is_told_in_order_and_before_the_result():
    service, told = Steps(35), Told()
    reply = asyncio.run(JobRunner(service, 1, FOR_EVER_S).handle(JOB, told))
    assert reply == {"text": "1"}
    shares = [p["progress"] for p in told.progresses]
    assert len(shares) >= 2
    assert shares == sorted(set(shares))
    assert {p["stage"] for p in told.progresses} == {"asr"}


def test_the_service_learns_of_the_job():
    service = Steps(0)
    config = {"bucketName": "b"}
    asyncio.run(JobRunner(service, 1, FOR_EVER_S).handle({**JOB, "s3Config": config}))
    assert service.job == "a"
    assert service.envelope == Envelope("a", config)


def test_parts_are_told_in_order_and_the_whole_result_last():
    told = Told()
    job = {"id": "a", "input": {"stream": True}}
    reply = asyncio.run(JobRunner(Steps(15), 1, FOR_EVER_S).handle(job, told))
    assert told.parts == [*({"step": step} for step in range(15)), reply]


def test_an_error_ends_no_stream():
    told = Told()
    job = {"id": "a", "input": {"stream": True}}
    reply = asyncio.run(JobRunner(Steps(15), 1, 0.5).handle(job, told))
    assert reply["error"].startswith("TIMEOUT: ")
    assert "error" not in told.parts[-1]


def test_without_a_platform_there_is_nobody_to_tell():
    job = {"id": "a", "input": {"stream": True}}
    reply = asyncio.run(JobRunner(Steps(15), 1, FOR_EVER_S).handle(job))
    assert reply["text"]


def test_a_cancelled_handler_returns_when_the_work_has_ended():
    service = Steps(600)

    async def cancel() -> None:
        task = asyncio.create_task(JobRunner(service, 1, FOR_EVER_S).handle(JOB))
        await asyncio.sleep(0.3)
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()  # once more, as at the end of the grace
        with pytest.raises(asyncio.CancelledError):
            await task
        assert service.ended.is_set()

    asyncio.run(cancel())


def test_a_job_that_takes_too_long_ends_itself():
    runner = JobRunner(Steps(600), 1, 0.3)
    reply = asyncio.run(runner.handle(JOB))
    assert reply["error"].startswith("TIMEOUT: ")
    assert "refresh_worker" not in reply
    assert not runner.wedged


def test_a_thread_that_ignores_its_limit_is_wedged():
    service = Hangs()
    runner = JobRunner(service, 1, limit_s=0.1, wedged_s=0.5)
    reply = asyncio.run(runner.handle(JOB))
    service.released.set()
    assert reply["error"].startswith("TIMEOUT: ")
    assert reply["refresh_worker"] is True
    assert runner.wedged


def test_a_thread_that_ignores_its_cancellation_is_wedged():
    service = Hangs()
    runner = JobRunner(service, 1, FOR_EVER_S, wedged_s=0.5)

    async def cancel() -> None:
        task = asyncio.create_task(runner.handle(JOB))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    service.released.set()
    assert runner.wedged


def test_a_wedged_worker_stays_so_when_other_jobs_end():
    service, other = Hangs(), Hangs()
    runner = JobRunner(service, 2, FOR_EVER_S, wedged_s=0.5)

    async def cancel() -> None:
        first = asyncio.create_task(runner.handle(JOB))
        await asyncio.sleep(0.1)
        runner._service = other
        second = asyncio.create_task(runner.handle({"id": "b", "input": 1}))
        await asyncio.sleep(0.1)
        first.cancel()
        await asyncio.sleep(0.3)
        second.cancel()  # is waited for while the first is given up
        await asyncio.wait({first})
        other.released.set()
        await asyncio.wait({second})

    asyncio.run(cancel())
    service.released.set()
    assert runner.wedged


def test_a_job_whose_parts_cannot_be_posted_is_ended():
    class Refuses(Told):
        async def part(self, part: dict) -> None:
            raise ValueError("it does not serialise")

    service = Steps(600)
    with pytest.raises(ValueError, match="serialise"):
        asyncio.run(JobRunner(service, 1, FOR_EVER_S).handle(JOB, Refuses()))
    assert service.ended.is_set()


def test_a_job_is_run_where_memory_for_threads_is_short(monkeypatch):
    runner = JobRunner(Steps(1), 2, FOR_EVER_S)

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)

    async def both() -> list[dict]:
        return await asyncio.gather(*(runner.handle({**JOB, "id": name}) for name in "ab"))

    assert asyncio.run(both()) == [{"text": "1"}] * 2


def test_a_worker_that_gets_too_few_threads_does_not_start(monkeypatch):
    start, begun = threading.Thread.start, []

    def begin(thread: threading.Thread) -> None:
        if begun:
            raise RuntimeError("can't start new thread")
        begun.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", begin)
    with pytest.raises(RuntimeError, match="new thread"):
        JobRunner(Steps(1), 2, FOR_EVER_S)


def test_as_many_jobs_work_at_once_as_are_taken():
    meeting = threading.Barrier(8)

    class Meeting:
        def answer(self, job_input: object, control: JobControl, envelope: Envelope) -> dict:
            meeting.wait(30)  # breaks unless all are there
            return {}

    async def all_at_once() -> list[dict]:
        runner = JobRunner(Meeting(), 8, FOR_EVER_S)
        return await asyncio.gather(*(runner.handle({"id": str(i), "input": 1}) for i in range(8)))

    assert asyncio.run(all_at_once()) == [{}] * 8
