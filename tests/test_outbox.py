"""Results on their way to the platform: tried again, kept where nobody takes them."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.platform import Platform
from worker import outbox as module
from worker.outbox import Addresses, Outbox
from worker.parts import serialise

REPLY = {"output": {"text": "Grüße"}}


def use(
    platform: Platform, job: str, results: Path, what: Callable[[Outbox], Awaitable[None]]
) -> None:
    """Do something with the outbox of a job."""
    done = f"{platform.url}/job-done/pod/$ID?gpu=x"
    stream = f"{platform.url}/job-stream/pod/$ID?gpu=x"

    async def run() -> None:
        async with aiohttp.ClientSession() as session:
            await what(Outbox(session, Addresses(done, stream), job, results))

    asyncio.run(run())


def result(outbox: Outbox) -> Awaitable[None]:
    return outbox.result(serialise(REPLY))


@pytest.fixture
def hasty(monkeypatch):
    """Give up after a second."""
    monkeypatch.setattr(module, "RESULT_PATIENCE_S", 1.0)
    monkeypatch.setattr(module, "PART_PATIENCE_S", 0.3)


@pytest.mark.parametrize("status", [500, 503, 429, 408])
def test_what_may_pass_is_tried_again(platform, tmp_path, status):
    job = platform.submit({})
    platform.misbehave("job-done", times=2, status=status)
    use(platform, job, tmp_path / "results", result)
    assert [r["body"] for r in platform.results(job)] == [REPLY]
    assert not (tmp_path / "results").exists()


def test_a_platform_that_is_away_gets_the_result_when_it_is_back(platform, tmp_path):
    job = platform.submit({})
    platform.down(1.5)
    use(platform, job, tmp_path / "results", result)
    assert len(platform.results(job)) == 1


@pytest.mark.parametrize("status", [400, 401, 404, 413])
def test_a_refused_result_is_posted_once_and_kept(platform, tmp_path, status, caplog):
    job = platform.submit({})
    platform.misbehave("job-done", times=10, status=status)
    use(platform, job, tmp_path / "results", result)
    assert len(platform.records("job-done")) == 1
    (kept,) = (tmp_path / "results").iterdir()
    assert kept.name == f"{job}.json"
    assert json.loads(kept.read_bytes()) == REPLY
    assert f"HTTP {status}" in caplog.text
    assert str(kept) in caplog.text


def test_a_result_that_nobody_takes_is_kept(platform, tmp_path, hasty):
    job = platform.submit({})
    platform.misbehave("job-done", times=100, status=500)
    use(platform, job, tmp_path / "results", result)
    assert (tmp_path / "results" / f"{job}.json").exists()
    assert len(platform.records("job-done")) > 2


def test_a_result_is_kept_where_the_worker_has_to_end(platform, tmp_path):
    job = platform.submit({})
    platform.misbehave("job-done", times=100, status=500)

    async def abandon(outbox: Outbox) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(result(outbox), 0.5)

    use(platform, job, tmp_path / "results", abandon)
    assert (tmp_path / "results" / f"{job}.json").exists()


@pytest.mark.parametrize(
    "job", ["../../x", "..", ".hidden", "a/b", "x" * 300, "a\0b", "ü", "a\ud800"]
)
def test_no_id_leads_out_of_the_folder(platform, tmp_path, job):
    platform.misbehave("job-done", times=1, status=404)
    use(platform, job, tmp_path / "results", result)
    (kept,) = (tmp_path / "results").iterdir()
    assert len(kept.stem) == 64
    assert list(tmp_path.iterdir()) == [tmp_path / "results"]


def test_a_result_that_cannot_be_kept_is_told(platform, tmp_path, caplog):
    platform.misbehave("job-done", times=1, status=404)
    (tmp_path / "results").write_text("no folder")
    use(platform, "a", tmp_path / "results", result)
    assert "is lost" in caplog.text
    assert "HTTP 404" in caplog.text


def test_a_redirect_is_no_delivery(tmp_path, hasty):
    calls = []

    async def answer(request: web.Request) -> web.Response:
        calls.append(request.method)
        if request.path == "/login":
            return web.Response()
        raise web.HTTPFound("/login")

    async def run() -> None:
        app = web.Application()
        app.router.add_route("*", "/{_:.*}", answer)
        async with TestServer(app) as server, aiohttp.ClientSession() as session:
            address = f"{server.make_url('/done')}/$ID?gpu=x"
            await result(Outbox(session, Addresses(address, address), "a", tmp_path / "results"))

    asyncio.run(run())
    assert set(calls) == {"POST"}
    assert (tmp_path / "results" / "a.json").exists()


def test_a_platform_that_does_not_answer_is_not_waited_for_longer_than_the_patience(
    platform, tmp_path, hasty
):
    job = platform.submit({})
    platform.misbehave("job-stream", times=100, status=200, delay_s=20)
    platform.misbehave("job-done", times=100, status=200, delay_s=20)

    async def stream(outbox: Outbox) -> None:
        await outbox.part({"turns": []})
        await result(outbox)

    began = time.monotonic()
    use(platform, job, tmp_path / "results", stream)
    assert time.monotonic() - began < 15
    assert (tmp_path / "results" / f"{job}.json").exists()


def test_progress_is_posted_once(platform, tmp_path, caplog):
    job = platform.submit({})
    platform.misbehave("job-done", times=1, status=500)

    async def twice(outbox: Outbox) -> None:
        await outbox.progress({"stage": "vad"})
        await outbox.progress({"stage": "asr"})

    use(platform, job, tmp_path, twice)
    assert [p["body"]["output"] for p in platform.job(job)["progress"]] == [{"stage": "asr"}]
    assert "progress could not be posted" in caplog.text


def test_the_result_waits_for_the_answer_to_a_report(platform, tmp_path):
    job = platform.submit({})
    platform.misbehave("job-done", delay_s=6.5, carries_on=True)

    async def report(outbox: Outbox) -> None:
        await outbox.progress({"stage": "asr"})
        await result(outbox)

    use(platform, job, tmp_path, report)
    time.sleep(1)
    assert platform.status(job)["status"] == "COMPLETED"


def test_after_a_report_without_answer_there_are_no_more(platform, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PROGRESS_TIMEOUT_S", 0.2)
    job = platform.submit({})
    platform.misbehave("job-done", delay_s=20)

    async def twice(outbox: Outbox) -> None:
        await outbox.progress({"stage": "vad"})
        await outbox.progress({"stage": "asr"})
        await result(outbox)

    use(platform, job, tmp_path, twice)
    assert len(platform.records("job-done")) == 2
    assert len(platform.results(job)) == 1


def test_parts_come_in_order_and_in_pieces(platform, tmp_path):
    job = platform.submit({})
    segments = [{"text": f"{i} {'x' * 100_000}"} for i in range(25)]

    async def stream(outbox: Outbox) -> None:
        await outbox.part({"turns": [1]})
        await outbox.part({"segments": segments})
        await outbox.whole({"segments": segments})
        await outbox.result(serialise({"output": {"segments": segments}}))

    platform.misbehave("job-stream", times=2, status=500)
    use(platform, job, tmp_path, stream)
    first, *pieces, last = platform.job(job)["parts"]
    assert first == {"turns": [1]}
    assert len(pieces) >= 3
    assert [s for piece in pieces for s in piece["segments"]] == segments
    assert "job's status" in last["note"]
    (record,) = platform.records("job-done")
    assert record["query"]["isStream"] == "true"


def test_a_stream_ends_where_a_part_is_lost(platform, tmp_path, hasty, caplog):
    job = platform.submit({})

    async def stream(outbox: Outbox) -> None:
        await outbox.part({"turns": [1]})
        platform.misbehave("job-stream", times=1, status=413)
        await outbox.part({"turns": [2]})
        await outbox.part({"turns": [3]})
        await outbox.whole({"turns": [1, 2, 3]})
        await result(outbox)

    use(platform, job, tmp_path, stream)
    assert platform.job(job)["parts"] == [{"turns": [1]}]
    assert "the stream ends early" in caplog.text
    assert len(platform.results(job)) == 1
