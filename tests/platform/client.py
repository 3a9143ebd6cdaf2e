"""The platform as a test uses it: a child process, its clients' calls and its control."""

import json
import time
import urllib.request
from typing import Any
from urllib.parse import urlencode

from tests.server_process import ServerProcess

ENDED = ("COMPLETED", "FAILED", "CANCELLED")
CALL_TIMEOUT_S = 30.0

# Whatever proxy the environment names has no part in this.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Platform(ServerProcess):
    """RunPod's platform as a process of its own; ``with Platform() as platform: ...``.

    Parameters
    ----------
    poll_s : how long job-take and job-stop are held before they are answered with 204.
    redeliver_after_s : a job in work that no ping has named for so long is handed out again.
    """

    def __init__(self, *, poll_s: float = 10.0, redeliver_after_s: float = 5.0) -> None:
        options = ["--poll-s", str(poll_s), "--redeliver-after-s", str(redeliver_after_s)]
        super().__init__("-m", "tests.platform", *options)
        ports = json.loads(self.said)
        self.url = f"http://127.0.0.1:{ports['platform']}"
        self._control_url = f"http://127.0.0.1:{ports['control']}/control"

    # A client's calls

    def submit(self, input: object, *, sync: bool = False, **envelope: object) -> str:  # noqa: A002
        """Send a job and return its id; `envelope` stands beside the input, like `s3Config`.

        With `sync` it comes through /runsync, which is not waited for.
        """
        path = "/runsync?wait=0" if sync else "/run"
        id_: str = _call("POST", self.url + path, {"input": input, **envelope})["id"]
        return id_

    def status(self, id: str) -> dict[str, Any]:  # noqa: A002
        """The job's `status` and what else is known: `output`, `error`, `workerId`."""
        status: dict[str, Any] = _call("GET", f"{self.url}/status/{id}")
        return status

    def wait(self, id: str, timeout: float = 60.0) -> dict[str, Any]:  # noqa: A002
        """Wait until the job has ended, whether the platform is up or down; its last status.

        Raises
        ------
        TimeoutError
            It has not ended in `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        while (job := self.job(id))["status"] not in ENDED:
            if time.monotonic() > deadline:
                raise TimeoutError(f"job {id} is {job['status']} after {timeout:g} s")
            time.sleep(0.02)
        return self.status(id)

    def stream(self, id: str) -> dict[str, Any]:  # noqa: A002
        """The job's `status` and, as `stream`, what came since the last call."""
        answer: dict[str, Any] = _call("GET", f"{self.url}/stream/{id}")
        return answer

    def cancel(self, id: str) -> None:  # noqa: A002
        """End the job for its client; a worker that has it is told to stop."""
        _call("POST", f"{self.url}/cancel/{id}", {})

    # Control

    def misbehave(self, call: str, times: int = 1, **how: object) -> None:
        """Do something wrong to the next `times` requests of a call, like ``job-take``.

        `how` is what `tests.platform.faults.Fault` has: `delay_s`, `status`, `body`,
        `content_type`, `headers`, `do` (``drop``, ``hang``, ``cut``), `carry_out`,
        `carries_on`, `worker`.
        """
        self._command("misbehave", {"call": call, "times": times, **how})

    def behave(self) -> None:
        """Forget what misbehaviour is left."""
        self._command("behave")

    def reset(self) -> None:
        """Be as new, on the same port: no job, no record, no misbehaviour, no connection."""
        self._command("reset")

    def submit_raw(self, payload: object) -> None:
        """Hand this to a worker as it is: a job without an id, without input, a duplicate."""
        self._command("raw", payload)

    def redeliver(self, id: str) -> None:  # noqa: A002
        """Hand out a job once more, although a worker may have it."""
        self._command(f"redeliver/{id}")

    def forget(self, id: str) -> None:  # noqa: A002
        """Know nothing of a job any more, as of one that ended half an hour ago."""
        self._command(f"forget/{id}")

    def jobs(self) -> list[dict[str, Any]]:
        """All that is known of each job that clients sent, in their order."""
        return [self.job(id_) for id_ in _call("GET", f"{self._control_url}/jobs")]

    def down(self, seconds: float) -> None:
        """Break all connections and refuse new ones; returns at once."""
        self._command("down", {"seconds": seconds})

    def records(self, call: str | None = None, worker: str | None = None) -> list[dict[str, Any]]:
        """Requests so far, in order: what `tests.platform.faults.Records` keeps of each."""
        asked = {"call": call, "worker": worker}
        query = urlencode({name: value for name, value in asked.items() if value})
        found: list[dict[str, Any]] = _call("GET", f"{self._control_url}/records?{query}")
        return found

    def job(self, id: str) -> dict[str, Any]:  # noqa: A002
        """All that is known of a job: the fields of `tests.platform.jobs.Job`."""
        job: dict[str, Any] = _call("GET", f"{self._control_url}/jobs/{id}")
        return job

    def results(self, id: str) -> list[dict[str, Any]]:  # noqa: A002
        """Every result that was posted for a job: `worker`, `time`, `size`, `body`."""
        results: list[dict[str, Any]] = self.job(id)["results"]
        return results

    def _command(self, path: str, body: object = None) -> None:
        _call("POST", f"{self._control_url}/{path}", {} if body is None else body)


def _call(method: str, url: str, body: object = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, method=method)
    request.add_header("Content-Type", "application/json")
    with _opener.open(request, timeout=CALL_TIMEOUT_S) as response:
        return json.load(response)
