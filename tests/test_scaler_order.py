"""Orders of events in the worker's loop that no signal and no clock can bring about for sure."""

import asyncio
import io
import sys

import pytest

from handler import import_sdk
from worker.control import JobControl
from worker.errors import WorkerError
from worker.runpod_app import JobRunner

JOB = {"id": "a", "input": {}}


class Works:
    """A service that works for a while."""

    def answer(self, job_input: object, control: JobControl, envelope: object) -> dict:
        try:
            control.wait(0.3)
        except WorkerError as error:
            return {"error": error.reply}
        return {"text": ""}


async def never_answers(*_: object) -> list:
    """A take that the platform holds."""
    return await asyncio.get_running_loop().create_future()


@pytest.fixture
def make(monkeypatch, make_settings):
    """Make a loop whose takes are answered by a function, and the list of its results."""
    import_sdk()

    from worker import scaler

    posted: list[bytes] = []

    class Outbox:
        def __init__(self, *_: object) -> None:
            pass

        async def result(self, body: bytes) -> None:
            posted.append(body)

    def make(ask):
        monkeypatch.setattr(scaler, "_ask", ask)
        monkeypatch.setattr(scaler, "Outbox", Outbox)
        settings = make_settings(SPEECH_CONCURRENCY="1")
        return scaler.Scaler({"settings": settings, "runner": JobRunner(Works(), 1, 100)}), posted

    return make


@pytest.mark.parametrize("steps", range(8))
def test_a_job_that_was_sent_when_the_worker_is_told_to_end_is_run(make, steps):
    async def run() -> list[bytes]:
        sent = asyncio.get_running_loop().create_future()

        async def ask(*_: object) -> list:
            return await sent

        loop, posted = make(ask)
        running = asyncio.create_task(loop.run())
        await asyncio.sleep(0.05)
        loop.kill_worker()
        for _ in range(steps):
            await asyncio.sleep(0)
        sent.set_result([JOB])
        await running
        return posted

    assert len(asyncio.run(run())) == 1


def test_a_job_is_stopped_whatever_its_id(make, monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), "utf-8"))  # strict

    async def run() -> list[bytes]:
        loop, posted = make(never_answers)
        running = asyncio.create_task(loop.run())
        await asyncio.sleep(0.05)
        loop._begin(None, {**JOB, "id": "a\ud800"})
        await asyncio.sleep(0.05)
        assert await loop.stop_job("a\ud800")
        await asyncio.sleep(0.6)
        loop.kill_worker()
        await running
        return posted

    assert asyncio.run(run()) == []


def test_a_worker_whose_stop_channel_breaks_ends(make, monkeypatch):
    """It could not be told to stop a job any more."""
    from runpod.serverless.modules import rp_job

    monkeypatch.setattr(rp_job, "JOB_GET_URL", "http://127.0.0.1:9/job-take/a")

    async def run() -> list[bytes]:
        async def ask(*_: object) -> list:
            return await asyncio.get_running_loop().create_future()

        async def stop(_: object) -> list:
            await asyncio.sleep(0.1)
            return [[]]  # no id

        loop, posted = make(ask)
        loop.stop_signals_fetcher = stop
        running = asyncio.create_task(loop.run())
        await asyncio.sleep(0.05)
        loop._begin(None, JOB)
        await asyncio.wait({running}, timeout=10)
        has_ended = running.done()
        loop.kill_worker()
        with pytest.raises(TypeError, match="unhashable"):
            await running
        assert has_ended
        return posted

    assert len(asyncio.run(run())) == 1


def test_a_job_that_came_again_may_be_stopped_again(make):
    async def run() -> list[bytes]:
        loop, posted = make(never_answers)
        running = asyncio.create_task(loop.run())
        await asyncio.sleep(0.05)
        loop._begin(None, JOB)
        await asyncio.sleep(0.05)
        await loop.stop_job("a")
        loop._begin(None, JOB)
        await loop.stop_job("a")
        await asyncio.sleep(0.6)
        loop.kill_worker()
        await running
        return posted

    assert asyncio.run(run()) == []
