"""A worker that answers at once, for tests of the client: ``with StandIn(platform): ...``.

``python -m tests.client.stand_in URL`` takes jobs from the platform there. Fields that no real
worker has tell it what to do: ``answer`` is posted as it is, ``hold`` has a job answered never,
``progress`` is posted before the answer, ``seconds`` is how long that takes.
"""

import sys
import time
from typing import Any

import requests

from tests.platform import Platform
from tests.server_process import ServerProcess

TIMEOUT_S = 30
PROGRESS_S = 0.3
"""Long enough for a client to see it."""
AGAIN_S = 0.02


class StandIn(ServerProcess):
    """The worker, as a process that ends with the block."""

    def __init__(self, platform: Platform) -> None:
        super().__init__("-m", "tests.client.stand_in", platform.url)


def reply_to(input: dict[str, Any]) -> dict[str, Any]:  # noqa: A002
    """What a transcript of a telephone call of two could be."""
    texts = {kind: f"{kind} of {input['audio']['id']}\n" for kind in input["formats"]}
    texts.pop("json", None)
    return {
        "task": input["task"],
        "audio": {"id": input["audio"]["id"], "duration": 61.5, "sample_rate": 8000},
        "speakers": [{"speaker": f"SPEAKER_0{n}", "duration": 30.0, "turns": 1} for n in (0, 1)],
        "turns": [{"start": 0.0, "end": 30.0, "speaker": "SPEAKER_00"}],
        "language": "en",
        "text": "Hello.",
        "segments": [{"start": 0.0, "end": 1.0, "speaker": "SPEAKER_00", "text": "Hello."}],
        "timings": {"total": 1.0},
        "of_a_newer_worker": {"a": 1},
        **({"files": texts} if texts else {}),
    }


def serve(url: str) -> None:
    """Take jobs and post answers."""
    with requests.Session() as session:
        while True:
            try:
                taken = session.get(f"{url}/job-take/stand-in?gpu=x", timeout=TIMEOUT_S)
            except requests.ConnectionError:  # the platform is down, or as new
                time.sleep(AGAIN_S)
                continue
            if taken.status_code != 200:
                continue
            job = taken.json()
            asked = job["input"]
            if asked.get("hold"):
                continue
            done = f"{url}/job-done/stand-in/{job['id']}?gpu=x"
            if progress := asked.get("progress"):
                update = {"status": "IN_PROGRESS", "output": progress}
                session.post(done, json=update, timeout=TIMEOUT_S)
                time.sleep(PROGRESS_S)
            time.sleep(asked.get("seconds", 0))
            answer = asked["answer"] if "answer" in asked else {"output": reply_to(asked)}
            session.post(done, json=answer, timeout=TIMEOUT_S)


if __name__ == "__main__":
    print("ready", flush=True)  # noqa: T201
    serve(sys.argv[1])
