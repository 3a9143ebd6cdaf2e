"""A package index on loopback over a folder of wheels, as a process of its own.

``with serve(folder) as index:`` and uv and pip install from ``index.url``: a simple index as HTML
and JSON (PEP 503, PEP 691) with SHA-256, metadata apart from the wheel (PEP 658), and Range.

``index.misbehave(...)`` makes it a bad one until ``index.behave()``:

==========================  =======================================================
``down=True``               each connection is reset
``bytes_per_s=N``           wheels come this slowly
``wrong_hash=True``         the listing names another SHA-256 for every wheel
``status=503, times=N``     that status for the next N requests, without end where `times` is none
``redirect_loop=True``      each wheel redirects to itself
``credentials="user:word"`` whoever does not say them gets 401
==========================  =======================================================
"""

import argparse
import base64
import contextlib
import hashlib
import json
import re
import socket
import struct
import time
import zipfile
from collections.abc import Iterator
from functools import cache
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from tests.server_process import ServerProcess

SIMPLE_JSON = "application/vnd.pypi.simple.v1+json"


class Index:
    """The index as a test sees it: its address, its log, its moods."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.url = f"http://127.0.0.1:{port}/simple"

    def misbehave(self, **faults: float | bool | str) -> None:
        """Replace what it does wrong; see the module for what there is."""
        self._ask("POST", "/control", json.dumps(faults))

    def behave(self) -> None:
        self.misbehave()

    def requests(self) -> list[str]:
        """Return every request so far, such as ``GET /simple/greeting/ 200``, the oldest first."""
        return list(json.loads(self._ask("GET", "/control")))

    def _ask(self, method: str, path: str, body: str | None = None) -> bytes:
        with contextlib.closing(HTTPConnection("127.0.0.1", self._port)) as connection:
            connection.request(method, path, body)
            answer = connection.getresponse()
            content = answer.read()
        if answer.status != 200:
            raise ValueError(f"the index answered {answer.status}: {content.decode()}")
        return content


@contextlib.contextmanager
def serve(folder: Path) -> Iterator[Index]:
    """Serve the wheels in a folder, also those that come later, until the block ends."""
    with ServerProcess("-m", "tests.index_server", str(folder.absolute())) as server:
        yield Index(int(server.said))


@cache
def _sha256_of(path: Path, _changed_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@cache
def _metadata_of(path: Path, _changed_ns: int) -> bytes:
    with zipfile.ZipFile(path) as wheel:
        (name,) = (n for n in wheel.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", n))
        return wheel.read(name)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.faults: dict[str, Any] = {}
        self.log: list[str] = []

    def wheels(self, project: str) -> list[Path]:
        """Wheels of a project, by its normalised name."""
        return [
            path
            for path in sorted(self.folder.glob("*.whl"))
            if re.sub(r"[-_.]+", "-", path.name.partition("-")[0]).lower() == project
        ]

    def takes_a_failure(self) -> bool:
        """Whether this request gets the status that was asked for."""
        left = self.faults.get("times")
        if "status" not in self.faults or left == 0:
            return False
        if left is not None:
            self.faults["times"] = left - 1
        return True


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):  # the client went, or was killed
            super().handle()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing: there is a log to ask for."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        if not self.path.startswith("/control"):
            self.server.log.append(f"{self.command} {self.path} {int(code)}")

    def do_POST(self) -> None:
        faults = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        known = {
            "down",
            "bytes_per_s",
            "wrong_hash",
            "status",
            "times",
            "redirect_loop",
            "credentials",
        }
        if unknown := set(faults) - known:
            self.answer(400, f"no fault is called {', '.join(unknown)}".encode(), "text/plain")
        else:
            self.server.faults = faults
            self.answer(200)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        if path == "/control":
            self.answer(200, json.dumps(self.server.log).encode(), "application/json")
        elif self.server.faults.get("down"):
            self.reset()
        elif not self.is_known():
            self.answer(401, b"who are you?", "text/plain")
        elif self.server.takes_a_failure():
            self.answer(self.server.faults["status"], b"not now", "text/plain")
        elif match := re.fullmatch(r"/simple/([^/]+)/?", path):
            self.list_wheels(match[1])
        elif match := re.fullmatch(r"/files/([^/]+\.whl)(\.metadata)?", path):
            self.send_wheel(self.server.folder / match[1], metadata=bool(match[2]))
        else:
            self.answer(404)

    def is_known(self) -> bool:
        wanted = self.server.faults.get("credentials")
        given = self.headers.get("Authorization", "").removeprefix("Basic ")
        return wanted is None or base64.b64decode(given).decode() == wanted

    def reset(self) -> None:
        """End the connection without a word: no time to linger is a reset."""
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.connection.close()
        raise ConnectionResetError

    def list_wheels(self, project: str) -> None:
        files = [self.describe(wheel) for wheel in self.server.wheels(project)]
        if not files:
            self.answer(404)
        elif SIMPLE_JSON in self.headers.get("Accept", ""):
            self.answer(200, _as_json(project, files), SIMPLE_JSON)
        else:
            self.answer(200, _as_html(files), "text/html; charset=utf-8")

    def describe(self, wheel: Path) -> dict[str, Any]:
        stat = wheel.stat()
        sha256 = _sha256_of(wheel, stat.st_mtime_ns)
        if self.server.faults.get("wrong_hash"):
            sha256 = hashlib.sha256(b"another wheel").hexdigest()
        metadata = hashlib.sha256(_metadata_of(wheel, stat.st_mtime_ns)).hexdigest()
        return {
            "filename": wheel.name,
            "url": f"/files/{wheel.name}",
            "hashes": {"sha256": sha256},
            "core-metadata": {"sha256": metadata},
            "size": stat.st_size,
        }

    def send_wheel(self, wheel: Path, *, metadata: bool) -> None:
        if not wheel.is_file():
            self.answer(404)
        elif metadata:
            self.answer(200, _metadata_of(wheel, wheel.stat().st_mtime_ns), "text/plain")
        elif self.server.faults.get("redirect_loop"):
            self.answer(302, Location=self.path)
        else:
            self.send_range(wheel)

    def send_range(self, wheel: Path) -> None:
        size = wheel.stat().st_size
        wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        start, end = 0, size
        if wanted and wanted[1]:
            start, end = int(wanted[1]), min(int(wanted[2] or size - 1) + 1, size)
        elif wanted and wanted[2]:
            start = max(0, size - int(wanted[2]))
        if start >= end and size:
            return self.answer(416)
        self.send_response(206 if wanted else 200)
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{size}")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Cache-Control", "max-age=31536000, immutable")
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(end - start))
        self.end_headers()
        if self.command == "HEAD":
            return None
        speed = self.server.faults.get("bytes_per_s")
        step = max(1, speed // 20) if speed else end - start
        with wheel.open("rb") as file:
            for offset in range(start, end, step):
                self.connection.sendfile(file, offset, min(step, end - offset))
                time.sleep(1 / 20 if speed else 0)
        return None

    def answer(
        self, status: int, body: bytes = b"", content_type: str = "text/plain", **headers: str
    ) -> None:
        self.send_response(status)
        headers = {"Content-Type": content_type, "Content-Length": str(len(body))} | headers
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _as_json(name: str, files: list[dict[str, Any]]) -> bytes:
    versions = sorted({file["filename"].split("-")[1] for file in files})
    page = {"meta": {"api-version": "1.1"}, "name": name, "files": files, "versions": versions}
    return json.dumps(page).encode()


def _as_html(files: list[dict[str, Any]]) -> bytes:
    return "".join(
        f'<a href="{file["url"]}#sha256={file["hashes"]["sha256"]}" '
        f'data-core-metadata="sha256={file["core-metadata"]["sha256"]}">{file["filename"]}</a>\n'
        for file in files
    ).encode()


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve a folder of wheels as a package index.")
    parser.add_argument("folder", type=Path)
    with _Server(parser.parse_args().folder) as server:
        print(server.server_port, flush=True)  # noqa: T201
        server.serve_forever()


if __name__ == "__main__":
    main()
