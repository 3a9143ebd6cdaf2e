"""RunPod's REST API on loopback, in a process of its own: pods are created, looked at, ended.

``python -m tests.runpod_api`` prints its port and serves until it is ended. A test says
``with RunPodApi() as api:``; `api.fault` scripts what the next calls suffer, `api.calls` tells all
that came, with the key that each bore, and `api.add` is what a person does in the console.

=======================  ==========================================================================
``POST /v1/pods``        creates one: 201 and the pod, RUNNING; 400 where a field is missing
``GET /v1/pods/ID``      the pod, or 404
``DELETE /v1/pods/ID``   ends it: 204, or 404
``/control/...``         the test's own side, without a key
=======================  ==========================================================================

Without the key as Bearer: 401. A fault is ``{"method", "times"}`` and one of ``status`` (with
``retry_after``, ``words``), ``carry_out`` (done all the same, whatever is answered), ``silent``
(nothing is answered until the client goes), ``drop`` (the connection ends without an answer),
``body`` (in place of the true answer).
"""

import json
import urllib.request
from typing import Any

from tests.server_process import ServerProcess

KEY = "rpa_LOOPBACKKEY"


class RunPodApi(ServerProcess):
    """The API as a child process."""

    def __init__(self) -> None:
        super().__init__("-m", "tests.runpod_api")
        self._root = f"http://127.0.0.1:{int(self.said)}"
        self.base = f"{self._root}/v1"

    def fault(self, method: str, times: int = 1, **how: object) -> None:
        """Do something wrong to the next `times` calls of a method."""
        self._call("POST", "fault", {"method": method, "times": times, **how})

    def add(self, pod_id: str, status: str = "RUNNING") -> None:
        """Let there be a pod."""
        self._call("POST", "pods", {"id": pod_id, "desiredStatus": status})

    @property
    def pods(self) -> dict[str, dict[str, Any]]:
        """All that there are, by id: what was asked for, and ``desiredStatus``."""
        pods: dict[str, dict[str, Any]] = self._call("GET", "pods")
        return pods

    @property
    def calls(self) -> list[dict[str, Any]]:
        """Calls so far, in order: `method`, `path`, `key`, `status` (none: not answered)."""
        calls: list[dict[str, Any]] = self._call("GET", "calls")
        return calls

    def reset(self) -> None:
        """Forget pods, faults and calls."""
        self._call("POST", "reset", {})

    def _call(self, method: str, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self._root}/control/{path}", data, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)
