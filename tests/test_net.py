"""Downloads from a real server that answers well, badly, or from where no job may reach."""

import datetime
import ipaddress
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.media_server import MediaServer
from worker.control import JobControl
from worker.errors import (
    AudioTooLargeError,
    CancelledError,
    FetchFailedError,
    ForbiddenUrlError,
    InvalidInputError,
)
from worker.guard import Guard
from worker.net import Download, DownloadLimits, download

BODY = bytes(range(256)) * 100
LIMITS = DownloadLimits(max_bytes=100_000, total_s=30, pauses_s=(0, 0))
LOOPBACK = Guard([ipaddress.ip_network("127.0.0.1/32")])


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("media")
    (folder / "a.wav").write_bytes(BODY)
    return folder


@pytest.fixture(scope="module")
def server(media: Path) -> Iterator[MediaServer]:
    with MediaServer(media) as server:
        yield server


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for the name localhost alone, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "localhost.pem"
    path.write_bytes(
        signed.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


@pytest.fixture(scope="module")
def tls_server(media: Path, certificate: Path) -> Iterator[MediaServer]:
    with MediaServer(media, certificate) as server:
        yield server


def test_a_file_is_downloaded(server: MediaServer, tmp_path: Path) -> None:
    target = tmp_path / "audio"
    result = download(server.url("/files/a.wav"), target, LOOPBACK, LIMITS, JobControl())
    assert result == Download(content_type="audio/wav", size_bytes=len(BODY))
    assert target.read_bytes() == BODY


def test_the_request_asks_for_plain_bytes(server: MediaServer, tmp_path: Path) -> None:
    download(server.url("/headers?a=b"), tmp_path / "headers", LOOPBACK, LIMITS, JobControl())
    headers = json.loads((tmp_path / "headers").read_bytes())
    assert headers["Accept-Encoding"] == "identity"
    assert headers["Host"] == f"127.0.0.1:{server.port}"


def test_proxies_of_the_environment_are_not_used(
    server: MediaServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert download(
        server.url("/files/a.wav"), tmp_path / "a", LOOPBACK, LIMITS, JobControl()
    ).size_bytes


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.0.0.1.",
        "127.1",
        "127.0.1",
        "127.8.8.8",
        "2130706433",
        "0x7f000001",
        "0x7F.0.0.1",
        "0x7f.1",
        "017700000001",
        "0177.0.0.1",
        "0177.0.0.0x1",
        "00000177.1",
        "0",
        "0.0.0.0",
        "①②⑦.⓪.⓪.①",
        "127。0。0。1",
        "127．0．0．1",
        "１２７.0.0.1",
        "localhost",
        "localhost.",
        "LOCALHOST",
        "ｌｏｃａｌｈｏｓｔ",
        "[::]",
        "[::1]",
        "[0:0:0:0:0:0:0:1]",
        "[::127.0.0.1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[0:0:0:0:0:ffff:7f00:0001]",
        "[::ffff:0:127.0.0.1]",
        "[64:ff9b::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b:1::7f00:1]",
        "[2002:7f00:1::]",
        "[2001:0:7f00:1::]",
        "[fe80::1]",
        "[fe80::1%25lo]",
        "[fe80::1%lo]",
        "[fd00:ec2::254]",
        "[fc00::1]",
        "[ff02::1]",
        "10.0.0.1",
        "167772161",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "2852039166",
        "0xA9FEA9FE",
        "0251.0376.0251.0376",
        "[::ffff:169.254.169.254]",
        "100.100.100.200",
        "192.0.0.192",
        "168.63.129.16",
        "224.0.0.1",
        "255.255.255.255",
        "public@127.0.0.1",
        "public:443@127.0.0.1",
        "example.com\\@127.0.0.1",
        "127.0.0.1\\@example.com",
        "127.0.0.1%2f.example.com",
        "127.0.0.1%00.example.com",
    ],
)
@pytest.mark.parametrize("scheme", ["http", "https", "HTTP"])
def test_no_notation_reaches_a_forbidden_address(scheme: str, host: str, tmp_path: Path) -> None:
    with pytest.raises(ForbiddenUrlError):
        download(f"{scheme}://{host}/a.wav", tmp_path / "audio", Guard(), LIMITS, JobControl())


def test_a_forbidden_server_hears_nothing(server: MediaServer, tmp_path: Path) -> None:
    with pytest.raises(ForbiddenUrlError):
        download(
            server.url("/files/a.wav?forbidden"), tmp_path / "audio", Guard(), LIMITS, JobControl()
        )
    assert server.count("/files/a.wav?forbidden") == 0


def test_what_is_not_a_url(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError):
        download("http://", tmp_path / "audio", LOOPBACK, LIMITS, JobControl())


def test_redirects_are_followed(server: MediaServer, tmp_path: Path) -> None:
    result = download(
        server.url("/redirect/5/a.wav"), tmp_path / "audio", LOOPBACK, LIMITS, JobControl()
    )
    assert result.size_bytes == len(BODY)


def test_the_sixth_redirect_is_not_followed(server: MediaServer, tmp_path: Path) -> None:
    with pytest.raises(FetchFailedError, match="more than 5 redirects"):
        download(
            server.url("/redirect/6/a.wav"), tmp_path / "audio", LOOPBACK, LIMITS, JobControl()
        )


@pytest.mark.parametrize(
    "to",
    [
        "http://127.0.0.2:{port}/files/a.wav",
        "//127.0.0.2:{port}/files/a.wav",
        "http://[::1]:{port}/files/a.wav",
        "http://169.254.169.254/latest/meta-data/",
        "http://user:secret@127.0.0.1:{port}/files/a.wav",
        "file:///etc/passwd",
        "file://localhost/etc/passwd",
        "ftp://127.0.0.1/a.wav",
    ],
)
def test_redirects_are_checked(to: str, server: MediaServer, tmp_path: Path) -> None:
    url = server.url(f"/redirect?to={to.format(port=server.port)}")
    with pytest.raises(ForbiddenUrlError) as caught:
        download(url, tmp_path / "audio", LOOPBACK, LIMITS, JobControl())
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("to", ["http://[::1", "http://host:port/", "https://"])
def test_a_redirect_to_no_url(to: str, server: MediaServer, tmp_path: Path) -> None:
    with pytest.raises(FetchFailedError, match="not a URL"):
        download(
            server.url(f"/redirect?to={to}"), tmp_path / "audio", LOOPBACK, LIMITS, JobControl()
        )


@pytest.mark.parametrize("status", [204, 206, 304, 302, 400, 401, 403, 404, 410])
def test_other_statuses_fail_at_once(status: int, server: MediaServer, tmp_path: Path) -> None:
    path = f"/status/{status}?token=secret"
    with pytest.raises(FetchFailedError, match=f"status {status}, not 200") as caught:
        download(server.url(path), tmp_path / "audio", LOOPBACK, LIMITS, JobControl())
    assert server.count(path) == 1
    assert "secret" not in str(caught.value)


def test_a_busy_server_is_asked_again(server: MediaServer, tmp_path: Path) -> None:
    result = download(
        server.url("/flaky/2/a.wav"), tmp_path / "audio", LOOPBACK, LIMITS, JobControl()
    )
    assert result.size_bytes == len(BODY)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_that_stays_busy(status: int, server: MediaServer, tmp_path: Path) -> None:
    path = f"/status/{status}"
    with pytest.raises(FetchFailedError, match=f"answered with status {status}"):
        download(server.url(path), tmp_path / "audio", LOOPBACK, LIMITS, JobControl())
    assert server.count(path) == 3


@pytest.mark.parametrize("path", ["/truncated", "/broken-chunks", "/garbage"])
def test_a_broken_answer(path: str, server: MediaServer, tmp_path: Path) -> None:
    with pytest.raises(FetchFailedError, match="ended early or is not valid HTTP") as caught:
        download(server.url(path), tmp_path / "audio", LOOPBACK, LIMITS, JobControl())
    assert "banner" not in str(caught.value)
    assert server.count(path) == 3


def test_a_refused_connection(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound, but not listening
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/a.wav?secret"
        with pytest.raises(FetchFailedError, match="refused") as caught:
            download(url, tmp_path / "audio", LOOPBACK, LIMITS, JobControl())
    assert "secret" not in str(caught.value)


def test_a_name_that_does_not_resolve(tmp_path: Path) -> None:
    with pytest.raises(FetchFailedError, match="cannot be resolved"):
        download("http://nowhere.invalid/a.wav", tmp_path / "audio", LOOPBACK, LIMITS, JobControl())


@pytest.mark.parametrize("path", ["/long", "/endless"])
def test_a_body_that_is_too_large(path: str, server: MediaServer, tmp_path: Path) -> None:
    with pytest.raises(AudioTooLargeError, match=r"more than 0\.1 MB"):
        download(server.url(path), tmp_path / "audio", LOOPBACK, LIMITS, JobControl())


def test_a_body_of_exactly_the_limit(server: MediaServer, tmp_path: Path) -> None:
    limits = DownloadLimits(max_bytes=len(BODY), total_s=30)
    url = server.url("/files/a.wav")
    assert download(url, tmp_path / "audio", LOOPBACK, limits, JobControl()).size_bytes == len(BODY)
    smaller = DownloadLimits(max_bytes=len(BODY) - 1, total_s=30)
    with pytest.raises(AudioTooLargeError):
        download(url, tmp_path / "audio", LOOPBACK, smaller, JobControl())


def test_a_silent_server(server: MediaServer, tmp_path: Path) -> None:
    limits = DownloadLimits(max_bytes=100, total_s=30, read_s=0.05, pauses_s=(0, 0))
    with pytest.raises(FetchFailedError, match=r"no data for 0\.05 s"):
        download(server.url("/silent"), tmp_path / "audio", LOOPBACK, limits, JobControl())
    assert server.count("/silent") == 3


@pytest.mark.parametrize("path", ["/drip", "/drip-headers"])
def test_a_server_that_drips_is_cut_off(path: str, server: MediaServer, tmp_path: Path) -> None:
    limits = DownloadLimits(max_bytes=10**6, total_s=0.3, pauses_s=(0, 0))
    with pytest.raises(FetchFailedError, match=r"took more than 0\.3 s"):
        download(server.url(path), tmp_path / "audio", LOOPBACK, limits, JobControl())
    assert server.count(path) == 1


@pytest.fixture
def localhost() -> Guard:
    return Guard(map(ipaddress.ip_network, ["127.0.0.1/32", "::1/128"]))


@pytest.fixture
def trusted(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))


@pytest.mark.usefixtures("trusted")
def test_tls_verifies_the_name_not_the_address(
    tls_server: MediaServer, localhost: Guard, tmp_path: Path
) -> None:
    target = tmp_path / "audio"
    download(tls_server.url("/files/a.wav", "localhost"), target, localhost, LIMITS, JobControl())
    assert target.read_bytes() == BODY
    with pytest.raises(FetchFailedError, match="certificate"):
        download(tls_server.url("/files/a.wav"), target, localhost, LIMITS, JobControl())


def test_an_unknown_certificate(tls_server: MediaServer, localhost: Guard, tmp_path: Path) -> None:
    with pytest.raises(FetchFailedError, match="certificate"):
        download(
            tls_server.url("/files/a.wav", "localhost"),
            tmp_path / "a",
            localhost,
            LIMITS,
            JobControl(),
        )


@pytest.mark.usefixtures("trusted")
def test_a_redirect_does_not_leave_https(
    tls_server: MediaServer, server: MediaServer, localhost: Guard, tmp_path: Path
) -> None:
    url = tls_server.url(f"/redirect?to={server.url('/files/a.wav?secure')}", "localhost")
    with pytest.raises(ForbiddenUrlError, match="not encrypted"):
        download(url, tmp_path / "audio", localhost, LIMITS, JobControl())
    assert server.count("/files/a.wav?secure") == 0


@pytest.mark.parametrize("path", ["/silent", "/drip", "/drip-headers", "/status/503"])
def test_a_cancelled_job_does_not_wait_for_the_peer(
    server: MediaServer, tmp_path: Path, path: str
) -> None:
    control = JobControl()
    limits = DownloadLimits(max_bytes=10_000_000, total_s=60, pauses_s=(30, 30))
    threading.Timer(0.3, control.cancel).start()
    before = server.count(path)
    with pytest.raises(CancelledError):
        download(server.url(path), tmp_path / "audio", LOOPBACK, limits, control)
    assert server.count(path) == before + 1
