"""A loopback HTTP server that serves files well and badly, as a process of its own.

``python -m tests.media_server FOLDER`` prints its port and serves until it is
ended; in a test, ``with MediaServer(folder) as server: server.url("/files/x.wav")``.

==============================  ====================================================
``/files/NAME``                 a file of the folder
``/flaky/N/NAME``               status 500 for the first N requests of this path, then the file
``/late/N/SECONDS/NAME``        the file, whose second half is late for the first N requests
``/status/CODE``                that status
``/redirect?to=URL``            a redirect; ``/redirect/N/NAME``: N redirects, then the file
``/html``, ``/html-as-audio``   a web page, the second with the type audio/wav
``/empty``                      no bytes
``/truncated``                  10 of 1000 bytes; ``/broken-chunks``: half a chunk
``/long``                       announces 10^12 bytes; ``/endless``: chunks without end
``/drip``, ``/drip-headers``    a byte at a time, without end
``/silent``                     no answer
``/garbage``                    no HTTP
``/headers``                    the request's headers as JSON
``/requests``                   paths requested so far, as JSON
==============================  ====================================================
"""

import argparse
import contextlib
import json
import ssl
import time
from collections import Counter
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from tests.server_process import ServerProcess


class MediaServer(ServerProcess):
    """The server as a child process; with `certificate` (a PEM with its key) it speaks TLS."""

    def __init__(self, folder: Path, certificate: Path | None = None) -> None:
        speaking = ["--certificate", str(certificate)] if certificate else []
        super().__init__("-m", "tests.media_server", str(folder.absolute()), *speaking)
        self._scheme = "https" if certificate else "http"
        self.port = int(self.said)

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"{self._scheme}://{host}:{self.port}{path}"

    def count(self, path: str) -> int:
        """How often a path was requested; not for TLS."""
        with contextlib.closing(HTTPConnection("127.0.0.1", self.port)) as connection:
            connection.request("GET", "/requests")
            return int(json.load(connection.getresponse()).get(path, 0))


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.requests: Counter[str] = Counter()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError, ssl.SSLError):  # the client went, as tests do
            super().handle()

    def do_GET(self) -> None:
        self.server.requests[self.path] += 1
        self.close_connection = True
        _, kind, *arguments = urlsplit(self.path).path.split("/")
        getattr(self, f"serve_{kind.replace('-', '_')}")(*arguments)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing: the tests' output is no access log."""

    def answer(
        self, status: int, body: bytes = b"", content_type: str = "audio/wav", **headers: str
    ) -> None:
        headers = {"Content-Type": content_type, "Content-Length": str(len(body))} | headers
        self.start(status, headers)
        self.wfile.write(body)

    def start(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def serve_files(self, name: str) -> None:
        self.answer(200, (self.server.folder / name).read_bytes())

    def serve_flaky(self, failures: str, name: str) -> None:
        if self.server.requests[self.path] <= int(failures):
            self.answer(500)
        else:
            self.serve_files(name)

    def serve_late(self, times: str, seconds: str, name: str) -> None:
        body = (self.server.folder / name).read_bytes()
        self.start(200, {"Content-Type": "audio/wav", "Content-Length": str(len(body))})
        self.wfile.write(body[: len(body) // 2])
        if self.server.requests[self.path] <= int(times):
            time.sleep(float(seconds))
        self.wfile.write(body[len(body) // 2 :])

    def serve_status(self, code: str) -> None:
        self.answer(int(code), b"no audio here", "text/plain")

    def serve_redirect(self, count: str = "", name: str = "") -> None:
        if not count:
            location = parse_qs(urlsplit(self.path).query)["to"][0]
        elif int(count) > 1:
            location = f"../{int(count) - 1}/{name}"
        else:
            location = f"/files/{name}"
        self.answer(302, Location=location)

    def serve_html(self) -> None:
        self.answer(200, b"<p>Sign in</p>", "text/html; charset=utf-8")

    def serve_html_as_audio(self) -> None:
        self.answer(200, b"\n <!DOCTYPE html><p>Sign in</p>")

    def serve_empty(self) -> None:
        self.answer(200)

    def serve_truncated(self) -> None:
        self.start(200, {"Content-Length": "1000"})
        self.wfile.write(b"0123456789")

    def serve_broken_chunks(self) -> None:
        self.start(200, {"Transfer-Encoding": "chunked"})
        self.wfile.write(b"10\r\n01234567")

    def serve_long(self) -> None:
        self.start(200, {"Content-Length": "1000000000000"})

    def serve_endless(self) -> None:
        self.start(200, {"Transfer-Encoding": "chunked"})
        while True:
            self.wfile.write(b"1000\r\n" + bytes(0x1000) + b"\r\n")

    def serve_drip(self) -> None:
        self.start(200, {"Content-Length": "1000000"})
        self._drip(b"0")

    def serve_drip_headers(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\n")
        self._drip(b"A: 0\r\n")

    def _drip(self, data: bytes) -> None:
        while True:
            self.wfile.write(data)
            time.sleep(0.02)

    def serve_silent(self) -> None:
        self.rfile.read(1)  # returns when the client goes

    def serve_garbage(self) -> None:
        self.wfile.write(b"SSH-2.0-private-banner\r\n")

    def serve_headers(self) -> None:
        self.answer(200, json.dumps(dict(self.headers)).encode(), "application/json")

    def serve_requests(self) -> None:
        self.answer(200, json.dumps(self.server.requests).encode(), "application/json")


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve files on loopback, well and badly.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--certificate", type=Path, help="PEM with certificate and key")
    arguments = parser.parse_args()
    with _Server(arguments.folder) as server:
        if arguments.certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(arguments.certificate)
            server.socket = context.wrap_socket(
                server.socket, server_side=True, do_handshake_on_connect=False
            )
        print(server.server_port, flush=True)  # noqa: T201
        server.serve_forever()


if __name__ == "__main__":
    main()
