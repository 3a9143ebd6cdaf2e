"""``python -m tests.runpod_api``: print the port, serve until ended."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.runpod_api import KEY

NEEDED = {"name", "imageName", "env", "networkVolumeId", "computeType"}


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.lock = threading.Lock()
        self.forget()

    def forget(self) -> None:
        self.pods: dict[str, dict[str, Any]] = {}
        self.calls: list[dict[str, Any]] = []
        self.faults: list[dict[str, Any]] = []
        self.made = 0

    def next_fault(self, method: str) -> dict[str, Any]:
        for fault in self.faults:
            if fault["method"] == method and fault["times"] > 0:
                fault["times"] -= 1
                return fault
        return {}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self.serve()

    def do_POST(self) -> None:
        self.serve()

    def do_DELETE(self) -> None:
        self.serve()

    def serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        given = json.loads(body) if body else None
        if self.path.startswith("/control/"):
            with self.server.lock:
                self.answer(200, self.control(self.path.removeprefix("/control/"), given))
            return
        with self.server.lock:
            key = self.headers.get("Authorization", "").removeprefix("Bearer ")
            call = {"method": self.command, "path": self.path, "key": key, "status": None}
            self.server.calls.append(call)
            fault = self.server.next_fault(self.command)
            status, answer = 0, None
            if not fault or fault.get("carry_out") or "body" in fault:
                status, answer = self.platform(key, given)
        if fault.get("silent"):
            self.rfile.read(1)  # until the client goes
        if fault.get("silent") or fault.get("drop"):
            self.close_connection = True
            return
        if "status" in fault:
            status, answer = fault["status"], {"error": fault.get("words", "scripted")}
        call["status"] = status
        self.answer(status, fault.get("body", answer), fault.get("retry_after"))

    def platform(self, key: str, given: Any) -> tuple[int, Any]:
        """Do what RunPod does."""
        pods = self.server.pods
        if key != KEY:
            return 401, {"error": f"key {key} is not known"}
        match [self.command, *self.path.strip("/").split("/")]:
            case ["POST", "v1", "pods"]:
                if missing := NEEDED - given.keys():
                    return 400, {"error": f"missing: {sorted(missing)}"}
                self.server.made += 1
                pod = {**given, "id": f"pod{self.server.made}", "desiredStatus": "RUNNING"}
                pods[pod["id"]] = pod
                return 201, pod
            case ["GET", "v1", "pods", name] if name in pods:
                return 200, pods[name]
            case ["DELETE", "v1", "pods", name] if name in pods:
                del pods[name]
                return 204, None
        return 404, {"error": "pod not found"}

    def control(self, name: str, given: Any) -> Any:
        match name, self.command:
            case "fault", "POST":
                self.server.faults.append(given)
            case "pods", "POST":
                self.server.pods[given["id"]] = given
            case "reset", "POST":
                self.server.forget()
            case "pods" | "calls", "GET":
                return getattr(self.server, name)
        return None

    def answer(self, status: int, content: Any, retry_after: int | None = None) -> None:
        body = b"" if status == 204 else json.dumps(content).encode()
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
        if retry_after is not None:
            self.send_header("Retry-After", str(retry_after))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def main() -> None:
    with Server() as server:
        print(server.server_port, flush=True)  # noqa: T201
        server.serve_forever()


if __name__ == "__main__":
    main()
