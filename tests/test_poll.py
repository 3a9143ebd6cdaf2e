"""Answers that come at the very moment at which nobody waits for them any more."""

import asyncio
import time

import pytest

from worker.poll import Poll

TIMEOUT_S = 0.1


async def begin(timeout_s: float) -> tuple[asyncio.Future[list[str]], asyncio.Task[list[str]]]:
    """Ask; the answer is to be set."""
    sent: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()

    async def call() -> list[str]:
        return await sent

    asked = asyncio.create_task(Poll("no answer", timeout_s).ask(call()))
    await asyncio.sleep(0.01)
    return sent, asked


def test_an_answer_at_the_end_of_the_time_is_one():
    async def run() -> list[str]:
        sent, asked = await begin(TIMEOUT_S)
        asyncio.get_running_loop().call_later(TIMEOUT_S / 2, sent.set_result, ["a"])
        time.sleep(2 * TIMEOUT_S)  # noqa: ASYNC251 - both are due when the loop goes on
        return await asked

    assert asyncio.run(run()) == ["a"]


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_an_answer_that_came_before_the_end_is_one(steps):
    async def run() -> list[str]:
        sent, asked = await begin(60)
        sent.set_result(["a"])
        for _ in range(steps):
            await asyncio.sleep(0)
        asked.cancel()
        return await asked

    assert asyncio.run(run()) == ["a"]


def test_a_call_that_is_not_answered_ends(caplog):
    async def run() -> list[str]:
        sent, asked = await begin(TIMEOUT_S)
        answer = await asked
        await asyncio.sleep(0)
        assert sent.cancelled()
        return answer

    assert asyncio.run(run()) == []
    assert "no answer within 0.1 s" in caplog.text


def test_a_call_ends_with_its_caller():
    async def run() -> None:
        sent, asked = await begin(60)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        await asyncio.sleep(0)
        assert sent.cancelled()

    asyncio.run(run())
