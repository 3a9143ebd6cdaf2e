"""S3 on loopback: moto's server in a process of its own, and a proxy before it that misbehaves.

Usually it takes any keys; `guarded` makes it ask whose they are, and what those may do.
"""

import contextlib
import http.client
import json
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

import boto3

from tests.server_process import ServerProcess

MOTO = """
import json, logging, sys
from moto.server import ThreadedMotoServer
logging.getLogger("werkzeug").disabled = True
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(json.dumps(server.get_host_and_port()), flush=True)
sys.stdin.read()
"""
HOP_BY_HOP = {"connection", "transfer-encoding", "keep-alive", "date", "server"}


@contextlib.contextmanager
def moto() -> Iterator[str]:
    """URL of an S3 that has the bucket ``bucket``."""
    with ServerProcess("-c", MOTO) as server:
        host, port = json.loads(server.said)
        url = f"http://{host}:{port}"
        client_of(url).create_bucket(Bucket="bucket")
        yield url


@contextlib.contextmanager
def guarded(users: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, dict[str, dict[str, str]]]]:
    """Yield the URL of an S3 that refuses as AWS does, and the `s3Config` of each of its users.

    Parameters
    ----------
    users : what each may do, as ``s3:GetObject``.
    """
    with moto() as url:
        iam = client_of(url, "iam")
        configs = {}
        for name, actions in users.items():
            iam.create_user(UserName=name)
            statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
            policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
            iam.put_user_policy(UserName=name, PolicyName="all", PolicyDocument=policy)
            key = iam.create_access_key(UserName=name)["AccessKey"]
            configs[name] = {
                "accessId": key["AccessKeyId"],
                "accessSecret": key["SecretAccessKey"],
                "endpointUrl": url,
            }
        # How many more requests pass without a question.
        plain = {"Content-Type": "text/plain"}
        ask = urllib.request.Request(f"{url}/moto-api/reset-auth", b"0", plain)
        urllib.request.urlopen(ask, timeout=10).close()
        yield url, configs


def client_of(url: str, service: str = "s3") -> "boto3.client":
    """A client of the test's own."""
    return boto3.client(
        service,
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="tests",
        aws_secret_access_key="tests",
    )


@dataclass(frozen=True, slots=True)
class Seen:
    """A request that came to the proxy."""

    method: str
    path: str
    headers: dict[str, str]


Fault = Callable[["_Handler"], None]


class Proxy:
    """Passes requests on to an S3, but for the first ones of a kind, which meet a fault."""

    def __init__(self, target: str) -> None:
        self.target = target.removeprefix("http://")
        self.seen: list[Seen] = []
        self._faults: list[tuple[str, Fault | None]] = []
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        self._server.proxy = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def port(self) -> int:
        return self._server.server_port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def fault(self, fault: Fault, method: str = "", times: int = 1, after: int = 0) -> None:
        """Let `times` requests of a method meet a fault, after some that pass."""
        with self._lock:
            self._faults += [(method, None)] * after + [(method, fault)] * times

    def reset(self) -> None:
        """Forget what was seen, and behave."""
        with self._lock:
            self._faults.clear()
            self.seen.clear()

    def take(self, seen: Seen) -> Fault | None:
        """Note a request; what it is to meet."""
        with self._lock:
            self.seen.append(seen)
            for index, (method, fault) in enumerate(self._faults):
                if method in {"", seen.method}:
                    del self._faults[index]
                    return fault
        return None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):  # the client went, as tests do
            super().handle()

    def answer(self) -> None:
        proxy: Proxy = self.server.proxy
        fault = proxy.take(Seen(self.command, self.path, dict(self.headers)))
        self.close_connection = True
        self.received = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if fault:
            fault(self)
        else:
            self.forward(self.received)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = answer  # noqa: N815

    def forward(self, body: bytes) -> None:
        upstream = http.client.HTTPConnection(self.server.proxy.target, timeout=30)
        headers = {k: v for k, v in self.headers.items() if k.lower() not in HOP_BY_HOP}
        headers.pop("Expect", None)
        upstream.request(self.command, self.path, body, headers)
        answer = upstream.getresponse()
        content = answer.read()
        kept = {k: v for k, v in answer.getheaders() if k.lower() not in HOP_BY_HOP}
        self.start(answer.status, {"Content-Length": str(len(content))} | kept)
        self.wfile.write(content)
        upstream.close()

    def start(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing: the tests' output is no access log."""


def refusal(status: int, code: str, **headers: str) -> Fault:
    """An error as S3 tells it."""

    def fault(handler: _Handler) -> None:
        body = f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()
        handler.start(status, {"Content-Length": str(len(body)), **headers})
        handler.wfile.write(body)

    return fault


def answer(status: int, content: bytes = b"", **headers: str) -> Fault:
    """Anything; the underscores of the headers' names stand for hyphens."""

    def fault(handler: _Handler) -> None:
        handler.start(status, {name.replace("_", "-"): text for name, text in headers.items()})
        handler.wfile.write(content)

    return fault


def hang_up(handler: _Handler) -> None:
    """No answer at all."""


def break_off(handler: _Handler) -> None:
    """Less than was announced, of an object of seven bytes."""
    handler.start(206, {"Content-Length": "7", "Content-Range": "bytes 0-6/7"})
    handler.wfile.write(b"con")


def drip(handler: _Handler, **headers: str) -> None:
    """A byte now and then: no timeout of a socket ever passes."""
    handler.start(200, {"Content-Length": "1000000", **headers})
    while True:
        handler.wfile.write(b"<")
        time.sleep(0.02)


def flood(status: int = 200) -> Fault:
    """An answer that never ends."""

    def fault(handler: _Handler) -> None:
        handler.start(status, {"Content-Length": "1000000000000"})
        while True:
            handler.wfile.write(b"<Error>" + bytes(2**16))

    return fault


def lie(content: bytes) -> Fault:
    """Other content than the object's seven bytes, well-formed."""

    def fault(handler: _Handler) -> None:
        handler.start(200, {"Content-Length": str(len(content))})
        handler.wfile.write(content)

    return fault
