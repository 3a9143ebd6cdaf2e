"""A worker reduced to its calls, for tests of the platform itself."""

import json
from typing import Any

import requests

from tests.platform.client import Platform

TIMEOUT_S = 30.0


class PlainWorker:
    """Takes, posts and pings when told; it runs nothing."""

    def __init__(self, platform: Platform, id: str = "a") -> None:  # noqa: A002
        self.id = id
        self._url = platform.url

    def ask(self, call: str = "job-take", **query: str | int) -> requests.Response:
        """Make one of the calls that are held: job-take, job-take-batch, job-stop."""
        asked: dict[str, str | int] = {"gpu": "x", **query}
        return requests.get(f"{self._url}/{call}/{self.id}", params=asked, timeout=TIMEOUT_S)

    def take(self) -> Any:
        """Take a job; there must be one."""
        reply = self.ask()
        assert reply.status_code == 200
        return reply.json()

    def post(
        self, job: str, message: object, call: str = "job-done", data: bytes | None = None
    ) -> requests.Response:
        """Send as the SDK does: JSON (or `data` instead) under the type of a form."""
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        url = f"{self._url}/{call}/{self.id}/{job}?gpu=x&isStream=false"
        content = json.dumps(message).encode() if data is None else data
        return requests.post(url, content, headers=headers, timeout=TIMEOUT_S)

    def ping(self, *jobs: str) -> None:
        """Tell which jobs are in work."""
        self.ask("ping", job_id=",".join(jobs))
