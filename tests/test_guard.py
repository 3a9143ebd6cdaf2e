"""Which addresses a job may reach, and how sources are named."""

import ipaddress
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpcore
import pytest

from tests.hostile import FORBIDDEN_ADDRESSES
from tests.media_server import MediaServer
from worker.control import JobControl
from worker.errors import ForbiddenUrlError, InvalidInputError
from worker.guard import Deadline, Guard, GuardedBackend, parse_url
from worker.naming import describe_source

LOOPBACK = [ipaddress.ip_network("127.0.0.1/32")]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MediaServer]:
    with MediaServer(tmp_path_factory.mktemp("media")) as server:
        yield server


@pytest.mark.parametrize(
    "address",
    ["1.1.1.1", "151.101.1.69", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"],
)
def test_public_addresses_are_allowed(address: str) -> None:
    assert Guard().allows(address)


@pytest.mark.parametrize("address", FORBIDDEN_ADDRESSES)
def test_other_addresses_are_not(address: str) -> None:
    assert not Guard().allows(address)


def test_allowed_networks_add_to_the_public_addresses() -> None:
    guard = Guard(LOOPBACK)
    assert guard.allows("127.0.0.1")
    assert guard.allows("::ffff:127.0.0.1")
    assert guard.allows("1.1.1.1")
    assert not guard.allows("127.0.0.2")
    assert not guard.allows("::1")


def test_resolve_gives_numeric_addresses() -> None:
    assert Guard(LOOPBACK).resolve("2130706433", 80) == ["127.0.0.1"]


def test_a_refusal_does_not_tell_the_address() -> None:
    with pytest.raises(ForbiddenUrlError, match="SPEECH_ALLOWED_NETWORKS") as caught:
        Guard().resolve("localhost", 80)
    assert "127.0.0.1" not in str(caught.value)


def test_a_name_is_looked_up_once_and_the_checked_address_is_connected(
    server: MediaServer,
) -> None:
    # A second lookup could give another address than the one that was checked.
    # The interpreter's audit events tell of every lookup and every connection.
    script = """
import ipaddress, json, sys
from worker.control import JobControl
from worker.guard import Deadline, Guard, GuardedBackend

lookups, connections = [], []

def record(event, arguments):
    if event == "socket.getaddrinfo":
        lookups.append(arguments[0])
    elif event == "socket.connect":
        connections.append(arguments[1][0])

guard = Guard(map(ipaddress.ip_network, ["127.0.0.0/8", "::1/128"]))
sys.addaudithook(record)
GuardedBackend(guard, Deadline(10, JobControl())).connect_tcp("localhost", int(sys.argv[1])).close()
print(json.dumps([lookups, connections]))
"""
    root = Path(__file__).parent.parent
    result = subprocess.run(
        [sys.executable, "-c", script, str(server.port)],
        cwd=root,
        check=True,
        capture_output=True,
        text=True,
    )
    lookups, connections = json.loads(result.stdout)
    assert lookups[0] == "localhost"
    assert all(ipaddress.ip_address(host).is_loopback for host in lookups[1:])
    assert connections[-1] == "127.0.0.1"
    assert set(connections) <= set(lookups[1:])


def test_the_backend_refuses_before_it_connects(server: MediaServer) -> None:
    backend = GuardedBackend(Guard(), Deadline(10, JobControl()))
    with pytest.raises(ForbiddenUrlError):
        backend.connect_tcp("127.0.0.1", server.port)


def test_nothing_is_connected_after_the_deadline(server: MediaServer) -> None:
    backend = GuardedBackend(Guard(LOOPBACK), Deadline(0, JobControl()))
    with pytest.raises(httpcore.ReadTimeout):
        backend.connect_tcp("127.0.0.1", server.port)


@pytest.mark.parametrize(
    ("url", "host", "port", "target"),
    [
        ("https://Example.COM", b"example.com", 443, b"/"),
        ("http://example.com.:8080/a?b=c#d", b"example.com", 8080, b"/a?b=c"),
        ("https://example.com/a b/é%20x", b"example.com", 443, b"/a%20b/%C3%A9%20x"),
        ("https://example.com/a?sig=x%2Fy+z&u=é", b"example.com", 443, b"/a?sig=x%2Fy+z&u=%C3%A9"),
        ("https://bücher.example/", b"xn--bcher-kva.example", 443, b"/"),
        ("http://[2606:4700::1]:81/", b"2606:4700::1", 81, b"/"),
        ("http://①②⑦.⓪.⓪.①/", b"127.0.0.1", 80, b"/"),
    ],
)
def test_parse_url(url: str, host: bytes, port: int, target: bytes) -> None:
    parsed = parse_url(url)
    assert (parsed.host, parsed.port, parsed.target) == (host, port, target)


@pytest.mark.parametrize(
    "url",
    [
        "https:",
        "https://",
        "https:///path",
        "https://host:99999/",
        "https://host:http/",
        "https://[::1/",
        "https://a..b/",
        f"https://{'a' * 64}/",
        "https://host/a\nHost: other",
        "https://host/a\x00",
        "https://host/\ud800",
        "https://ex\u2100mple.com/",
    ],
)
def test_what_is_not_a_url_is_invalid_input(url: str) -> None:
    with pytest.raises(InvalidInputError, match="is not a URL"):
        parse_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "a.wav",
        "ftp://example.com/a.wav",
        "file:///etc/passwd",
        "file://localhost/etc/passwd",
        "gopher://example.com/",
        "http://user:secret@example.com/",
        "http://example.com@127.0.0.1/",
        "http://example.com\\@127.0.0.1/",
        "http://@example.com/",
        "http://[fe80::1%25eth0]/",
        "http://[fe80::1%eth0]/",
        "http://127.0.0.1%2f.example.com/",
        "http://127.0.0.1 .example.com/",
    ],
)
def test_what_no_job_may_name_is_forbidden(url: str) -> None:
    with pytest.raises(ForbiddenUrlError) as caught:
        parse_url(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("https://host/a.wav?X-Signature=secret#secret", "https://host/a.wav"),
        ("https://user:secret@host:81/a.wav", "https://host:81/a.wav"),
        ("http://[::1]:81/a", "http://[::1]:81/a"),
        ("https://user:se?cret@host/a", "https:…"),
        ("s3://bucket/key", "s3://bucket/key"),
        ("volume://samples/what?.wav", "volume://samples/what?.wav"),
        ("volume://a\nb", "volume://a\\nb"),
        ("data:audio/wav;base64,UklGRg==", "data:audio/wav;…"),
        ("DATA:,abc", "data:;…"),
        ("data:" + "A" * 1000, "data:" + "A" * 40 + "…;…"),
        ("recordings/a.wav", "recordings/a.wav"),
        ("user:secret@host/a.wav", "user:…"),
        ("ht tp://user:secret@host/", "ht tp:…"),
        ("A" * 1000, "A" * 60 + "…"),
        ("volume://" + "a" * 1000, "volume://" + "a" * 191 + "…"),
    ],
)
def test_describe_source(source: str, shown: str) -> None:
    assert describe_source(source) == shown
