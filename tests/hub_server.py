"""A loopback model hub as a process of its own: ModelScope, Hugging Face and plain files.

``python -m tests.hub_server FOLDER`` prints its port and serves until it is ended; in a test,
``with HubServer(folder) as hub: hub.url("/files/...")``. A model is a folder ``<org>/<name>``.

========================================  ==================================================
``/api/v1/models/ID/repo/files``          ModelScope: the files of a model, with SHA-256
``/api/v1/models/ID/repo?FilePath=``      ModelScope: one file
``/api/models/ID/revision/REVISION``      Hugging Face: the files of a model
``/ID/resolve/REVISION/PATH``             Hugging Face: one file
``/files/PATH``                           one file of the folder
``/log``, ``/control``                    requests so far; faults from now on (POST)
========================================  ==================================================

Every file comes with Range, If-Range, ETag and HEAD. A fault is
``{"match": part of the URL, "do": ..., "times": N}`` and strikes the next N requests that match:

``break`` (ends after `bytes` of the body), ``wrong`` (other bytes of the same length),
``status`` (`status`, with `retry_after`), ``loop`` (redirects to itself), ``redirect`` (to `to`),
``stall`` (goes silent after `bytes` until the client goes), ``silent`` (does not even answer),
``slow`` (`bytes` a moment),
``page`` (a web page), ``answer`` (`status`, `body` and `headers`), ``no-range`` (the whole file,
whatever is asked for), ``no-etag`` (no ETag; ends after `bytes`, if that is given), ``no-if-range``
(the part that is asked for, of whatever file is there now).
"""

import argparse
import contextlib
import hashlib
import json
import threading
import time
from functools import cache
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.server_process import ServerProcess

REVISIONS = ("master", "main", "v1.0.0")
COMMIT = "0123456789abcdef0123456789abcdef01234567"
TOKEN = "loopback-token"
"""Models of an organisation called ``private`` are for those who send it."""


class HubServer(ServerProcess):
    """The server as a child process."""

    def __init__(self, folder: Path) -> None:
        super().__init__("-m", "tests.hub_server", str(folder.absolute()))
        self.folder = folder
        self.port = int(self.said)

    def url(self, path: str = "") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def fault(self, match: str, do: str, times: int = 1_000_000, **details: object) -> None:
        """Do something wrong to the next `times` requests whose URL holds `match`."""
        self._call("POST", "/control", {"match": match, "do": do, "times": times, **details})

    def reset(self) -> None:
        """Forget faults and requests."""
        self._call("POST", "/control", {"match": "", "do": "reset", "times": 0})

    def log(self, part: str = "") -> list[dict[str, Any]]:
        """Requests so far whose URL holds `part`: `method`, `url`, `range`, `agent`, `status`."""
        requests: list[dict[str, Any]] = self._call("GET", "/log")
        return [request for request in requests if part in request["url"]]

    def _call(self, method: str, path: str, body: object = None) -> Any:
        with contextlib.closing(HTTPConnection("127.0.0.1", self.port)) as connection:
            # A GET has no body: the server would read it as the next request.
            connection.request(method, path, None if body is None else json.dumps(body))
            return json.load(connection.getresponse())


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.faults: list[dict[str, Any]] = []
        self.requests: list[dict[str, Any]] = []
        self.lock = threading.Lock()

    def next_fault(self, url: str) -> dict[str, Any]:
        with self.lock:
            for fault in self.faults:
                if fault["times"] > 0 and fault["match"] in url:
                    fault["times"] -= 1
                    return fault
        return {"do": None}


@cache
def digests(path: Path, mtime_ns: int) -> tuple[str, str]:
    """SHA-256 of a file, and SHA-1 of the blob that git makes of it."""
    content = path.read_bytes()
    blob = b"blob %d\0" % len(content)
    return hashlib.sha256(content).hexdigest(), hashlib.sha1(blob + content).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server
    fault: dict[str, Any]

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError, TimeoutError):  # the client went, as tests do
            super().handle()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing: the tests' output is no access log."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        entry = {"method": self.command, "url": self.path, "range": self.headers.get("Range")}
        entry |= {"agent": self.headers.get("User-Agent"), "status": int(code)}
        entry |= {"authorised": "Authorization" in self.headers}
        with self.server.lock:
            self.server.requests.append(entry)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/control":
            fault = json.loads(body)
            with self.server.lock:
                if fault["do"] == "reset":
                    self.server.faults.clear()
                    self.server.requests.clear()
                else:
                    self.server.faults.append(fault)
        self.command = "LOG"  # is not told of itself
        self.answer_json({})

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        path, query = unquote(parts.path), {k: v[0] for k, v in parse_qs(parts.query).items()}
        if path == "/log":
            self.command = "LOG"
            with self.server.lock:
                body = [r for r in self.server.requests if r["method"] != "LOG"]
            self.answer_json(body)
            return
        self.fault = self.server.next_fault(self.path)
        if self.strike():
            return
        if "/private/" in path and TOKEN not in self.headers.get("Authorization", ""):
            self.answer(401 if "/api/v1" in path else 403, b"{}")
        elif path.startswith("/api/v1/models/"):
            self.serve_modelscope(path, query)
        elif path.startswith("/api/models/"):
            self.serve_info(path)
        elif path.startswith("/files/"):
            self.serve_file(self.server.folder / path.removeprefix("/files/"))
        elif "/resolve/" in path:
            model, _, rest = path[1:].partition("/resolve/")
            revision, _, name = rest.partition("/")
            self.serve_file(self.server.folder / model / name, revision)
        else:
            self.answer(404)

    def strike(self) -> bool:
        """Do the fault, where it takes the place of an answer."""
        do = self.fault["do"]
        if do == "status":
            wait = self.fault.get("retry_after")
            self.answer(
                self.fault["status"], **({} if wait is None else {"Retry-After": str(wait)})
            )
        elif do in {"loop", "redirect"}:
            self.answer(302, Location=self.fault.get("to", self.path))
        elif do == "page":
            self.answer(200, b"<html>Sign in</html>", **{"Content-Type": "text/html"})
        elif do == "answer":
            body = self.fault.get("body", "").encode()
            self.answer(self.fault.get("status", 200), body, **self.fault.get("headers", {}))
        elif do == "silent":
            self.rfile.read(1)  # returns when the client goes
            self.close_connection = True
        return do in {"status", "loop", "redirect", "page", "answer", "silent"}

    def serve_modelscope(self, path: str, query: dict[str, str]) -> None:
        model, _, rest = path.removeprefix("/api/v1/models/").partition("/repo")
        folder = self.server.folder / model
        if not folder.is_dir() or query.get("Revision") not in REVISIONS:
            self.answer(404, b'{"Code": 10010205001, "Message": "not found", "Success": false}')
        elif rest == "/files":
            files = [
                {
                    "Type": "blob", "Path": name, "Name": name.rpartition("/")[2],
                    "Size": file.stat().st_size,
                    "Sha256": digests(file, file.stat().st_mtime_ns)[0],
                }
                for name, file in _walk(folder)
            ]  # fmt: skip
            self.answer_json({"Code": 200, "Success": True, "Data": {"Files": files}})
        else:
            self.serve_file(folder / query["FilePath"])

    def serve_info(self, path: str) -> None:
        model, _, revision = path.removeprefix("/api/models/").partition("/revision/")
        folder = self.server.folder / model
        if not folder.is_dir() or (revision or "main") not in {*REVISIONS, COMMIT}:
            self.answer(404, **{"X-Error-Code": "RepoNotFound"})
            return
        entries = []
        for name, file in _walk(folder):
            size, (sha256, blob) = file.stat().st_size, digests(file, file.stat().st_mtime_ns)
            entry = {"rfilename": name, "size": size, "blobId": blob}
            if file.suffix in {".pt", ".bin", ".onnx"}:
                entry["lfs"] = {"sha256": sha256, "size": size, "pointerSize": 134}
            entries.append(entry)
        self.answer_json({"id": model, "sha": COMMIT, "siblings": entries})

    def serve_file(self, path: Path, revision: str = "main") -> None:
        if not path.is_file() or revision not in {*REVISIONS, COMMIT}:
            self.answer(404, **{"X-Error-Code": "EntryNotFound"})
            return
        size = path.stat().st_size
        etag = f'"{size:x}-{path.stat().st_mtime_ns:x}"'
        start = self.first_byte(etag)
        headers = {"ETag": etag, "Accept-Ranges": "bytes", "X-Repo-Commit": COMMIT}
        if self.fault["do"] == "no-etag":
            del headers["ETag"]
        if start and start >= size:
            self.answer(416, **headers, **{"Content-Range": f"bytes */{size}"})
            return
        if start:
            headers["Content-Range"] = f"bytes {start}-{size - 1}/{size}"
        self.start(206 if start else 200, {**headers, "Content-Length": str(size - start)})
        if self.command == "GET":
            self.send_body(path, start, size - start)

    def first_byte(self, etag: str) -> int:
        wanted = self.headers.get("Range", "")
        if not wanted or self.fault["do"] == "no-range":
            return 0
        if self.headers.get("If-Range", etag) != etag and self.fault["do"] != "no-if-range":
            return 0
        return int(wanted.removeprefix("bytes=").partition("-")[0])

    def send_body(self, path: Path, start: int, length: int) -> None:
        do, limit = self.fault["do"], self.fault.get("bytes", 0)
        self.wfile.flush()
        if do == "wrong":
            self.wfile.write(bytes(length))
            return
        with path.open("rb") as file:
            if do == "slow":
                self.send_slowly(file.read()[start:], limit)
                return
            is_cut = do in {"break", "stall"} or (do == "no-etag" and limit)
            length = min(length, limit) if is_cut else length
            file.seek(start)
            while length and (sent := self.connection.sendfile(file, file.tell(), length)):
                length -= sent
        if do == "stall":
            self.rfile.read(1)  # returns when the client goes
        if is_cut:
            self.close_connection = True

    def send_slowly(self, content: bytes, step: int) -> None:
        for offset in range(0, len(content), step):
            self.wfile.write(content[offset : offset + step])
            time.sleep(0.02)

    def answer_json(self, body: object) -> None:
        self.answer(200, json.dumps(body).encode(), **{"Content-Type": "application/json"})

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.start(status, {"Content-Length": str(len(body)), **headers})
        if self.command != "HEAD":
            self.wfile.write(body)
        if "Content-Length" in headers:  # of a fault: what follows would be read as another answer
            self.close_connection = True

    def start(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()


def _walk(folder: Path) -> list[tuple[str, Path]]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [(str(path.relative_to(folder)), path) for path in files]


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve models on loopback, well and badly.")
    parser.add_argument("folder", type=Path)
    with _Server(parser.parse_args().folder) as server:
        print(server.server_port, flush=True)  # noqa: T201
        server.serve_forever()


if __name__ == "__main__":
    main()
