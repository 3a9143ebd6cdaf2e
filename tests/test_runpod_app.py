"""The async handler: progress before the result, cancellation, threads of its own."""

import asyncio
import json
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from worker.control import JobControl
from worker.runpod_app import make_handler
from worker.telemetry import job_id

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = "volume://samples/sample.wav"


class Steps:
    """A service that works in steps of a tenth of a second, until it is cancelled or done."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.ended = threading.Event()
        self.job: str | None = None

    def answer(self, job_input: object, control: JobControl) -> dict:
        self.job = job_id.get()
        try:
            for step in range(self.steps):
                control.update("asr", step / self.steps)
                time.sleep(0.1)
            return {"text": str(job_input)}
        finally:
            self.ended.set()


async def ignore(job: dict, progress: dict) -> None:
    pass


def test_progress_is_posted_in_order_and_before_the_result():
    posted: list[float] = []

    async def post(job: dict, progress: dict) -> None:
        assert (job["id"], progress["stage"]) == ("a", "asr")
        await asyncio.sleep(0.05)
        posted.append(progress["progress"])

    service = Steps(35)
    handler = make_handler(service, post, 1)
    assert asyncio.run(handler({"id": "a", "input": 1})) == {"text": "1"}
    assert posted == sorted(set(posted))
    assert len(posted) >= 2
    assert service.job == "a"


@pytest.mark.parametrize("failure", [OSError("gone"), TimeoutError(), ValueError("odd")])
def test_a_job_does_not_fail_because_its_progress_cannot_be_posted(failure, caplog):
    async def post(job: dict, progress: dict) -> None:
        raise failure

    handler = make_handler(Steps(15), post, 1)
    assert asyncio.run(handler({"id": "a", "input": 1})) == {"text": "1"}
    assert "progress could not be posted" in caplog.text


def test_a_cancelled_handler_cancels_the_work():
    service = Steps(600)

    async def cancel() -> None:
        task = asyncio.create_task(make_handler(service, ignore, 1)({"id": "a", "input": 1}))
        await asyncio.sleep(0.3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    assert service.ended.wait(10)


def test_as_many_jobs_work_at_once_as_are_taken():
    meeting = threading.Barrier(8)

    class Meeting:
        def answer(self, job_input: object, control: JobControl) -> dict:
            meeting.wait(30)  # breaks unless all are there
            return {}

    async def all_at_once() -> list[dict]:
        handler = make_handler(Meeting(), ignore, 8)
        return await asyncio.gather(*(handler({"id": str(i), "input": 1}) for i in range(8)))

    assert asyncio.run(all_at_once()) == [{}] * 8


def test_progress_reaches_the_platform(tmp_path):
    """The SDK reads the address when it is imported: hence a process of its own."""
    received: list[tuple[str, dict]] = []

    class Platform(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.append((self.path, json.loads(body)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Platform)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    program = (
        "import asyncio; from worker.runpod_app import post_progress; "
        "asyncio.run(post_progress({'id': 'job-7'}, {'stage': 'asr', 'progress': 0.5}))"
    )
    url = f"http://127.0.0.1:{server.server_port}/job-done/$RUNPOD_POD_ID/$ID?gpu=x"
    environment = {"RUNPOD_WEBHOOK_POST_OUTPUT": url, "RUNPOD_POD_ID": "pod", "HOME": str(tmp_path)}
    command = [sys.executable, "-c", program]
    try:
        subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=60)
        # Outside of the platform there is nobody to tell.
        environment.pop("RUNPOD_WEBHOOK_POST_OUTPUT")
        subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=60)
    finally:
        server.shutdown()
        server.server_close()
    ((path, body),) = received
    assert path.startswith("/job-done/pod/job-7?")
    assert body == {"status": "IN_PROGRESS", "output": {"stage": "asr", "progress": 0.5}}
