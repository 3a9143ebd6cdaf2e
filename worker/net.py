"""Guarded HTTP: a URL to a file, within limits of size and time.

Redirects are followed here, one guarded request each. Proxies named by the
environment are not used: the guard could not see behind them.
"""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urljoin

import httpcore

from worker.control import JobControl
from worker.errors import (
    AudioTooLargeError,
    FetchFailedError,
    ForbiddenUrlError,
    InvalidInputError,
)
from worker.guard import (
    PORTS,
    URL_CHARACTERS,
    Deadline,
    Guard,
    GuardedBackend,
    parse_url,
)
from worker.naming import describe_source

MAX_REDIRECTS = 5
REDIRECTS = frozenset({301, 302, 303, 307, 308})
HEADERS = (("User-Agent", "speech-worker"), ("Accept", "*/*"), ("Accept-Encoding", "identity"))


@dataclass(frozen=True, slots=True)
class DownloadLimits:
    """Bounds of one download.

    Parameters
    ----------
    max_bytes
        Largest body.
    total_s
        Time that redirects, tries and pauses may take together. Only the name
        lookup, which the system library bounds, can overrun it.
    connect_s, read_s
        Longest wait for a connection, and for the next bytes.
    pauses_s
        Pauses before the second and later tries, one each.
    """

    max_bytes: int
    total_s: float
    connect_s: float = 10.0
    read_s: float = 30.0
    pauses_s: tuple[float, ...] = (0.5, 2.0)


@dataclass(frozen=True, slots=True)
class Download:
    """What a download brought: the media type as the server names it, and the size."""

    content_type: str
    size_bytes: int


class _BusyError(Exception):
    """The server answered that it cannot serve now."""


TRANSIENT = (
    httpcore.NetworkError,
    httpcore.TimeoutException,
    httpcore.ProtocolError,
    _BusyError,
)


def too_large(source: str, max_bytes: int) -> AudioTooLargeError:
    """The error for a source that holds more than `max_bytes`."""
    return AudioTooLargeError(
        f"{describe_source(source)} holds more than {max_bytes / 1e6:g} MB, the most that this "
        "worker takes (SPEECH_MAX_AUDIO_MB). Send a compressed or a shorter recording."
    )


def download(
    url: str, target: Path, guard: Guard, limits: DownloadLimits, control: JobControl
) -> Download:
    """Write the body that a URL answers with to `target`.

    A failed connection, a broken answer and the statuses 429 and 5xx are tried
    again. After an error `target` may hold a part of the body.

    Raises
    ------
    InvalidInputError
        `url` is not a URL.
    ForbiddenUrlError
        The URL, or one that it redirects to, is not one that the guard allows.
    FetchFailedError
        No complete answer came, or its status is not 200.
    AudioTooLargeError
        The body is larger than `limits.max_bytes`.
    CancelledError
        The job was cancelled; a connection that is being made is waited for.
    """
    deadline = Deadline(limits.total_s, control)
    pauses = iter(limits.pauses_s)
    while True:
        try:
            return _request(url, target, guard, limits, deadline)
        except TRANSIENT as error:
            pause = next(pauses, None)
            if pause is None or deadline.remaining() <= pause:
                raise FetchFailedError(
                    f"{describe_source(url)} could not be fetched: "
                    f"{_reason(error, limits, deadline)}. Check that it is up, then try again."
                ) from error
        control.wait(pause)


def _reason(error: Exception, limits: DownloadLimits, deadline: Deadline) -> str:
    if deadline.remaining() <= 0:
        return f"it took more than {limits.total_s:g} s (SPEECH_FETCH_TIMEOUT_S)"
    if isinstance(error, httpcore.ConnectTimeout):
        return f"no connection within {limits.connect_s:g} s"
    if isinstance(error, httpcore.TimeoutException):
        return f"no data for {limits.read_s:g} s"
    if isinstance(error, httpcore.ProtocolError):
        # Its text quotes the peer, which need not be a web server at all.
        return "the answer ended early or is not valid HTTP"
    return str(error)


def _request(
    url: str, target: Path, guard: Guard, limits: DownloadLimits, deadline: Deadline
) -> Download:
    """One try: the request, and those that it is redirected to."""
    timeouts = {"connect": limits.connect_s, "read": limits.read_s, "write": limits.read_s}
    parsed = parse_url(url)
    with httpcore.ConnectionPool(network_backend=GuardedBackend(guard, deadline)) as pool:
        for _ in range(MAX_REDIRECTS + 1):
            with pool.stream(
                "GET", parsed, headers=_headers(parsed), extensions={"timeout": timeouts}
            ) as response:
                headers = {name.lower(): value for name, value in response.headers}
                location = headers.get(b"location") if response.status in REDIRECTS else None
                if location is None:
                    _check_status(url, response.status)
                    return _save(url, response, headers, target, limits.max_bytes)
                url, parsed = _redirect(url, location)
    raise FetchFailedError(
        f"{describe_source(url)} is reached by more than {MAX_REDIRECTS} redirects. "
        "Name the final address."
    )


def _headers(url: httpcore.URL) -> list[tuple[bytes | str, bytes | str]]:
    """Headers with a ``Host`` of our own: httpcore leaves out the brackets of an IPv6 address."""
    host = url.host.decode("ascii")
    name = f"[{host}]" if ":" in host else host
    is_default = url.port == PORTS[url.scheme.decode("ascii")]
    return [("Host", name if is_default else f"{name}:{url.port}"), *HEADERS]


def _check_status(url: str, status: int) -> None:
    if status == 429 or status >= 500:
        raise _BusyError(f"the server answered with status {status}")
    if status != 200:
        raise FetchFailedError(
            f"{describe_source(url)} answered with status {status}, not 200. "
            "Check that the URL is right, public, and has not expired."
        )


def _redirect(url: str, location: bytes) -> tuple[str, httpcore.URL]:
    """Where a redirect leads, as text and parsed."""
    try:
        target = urljoin(url, quote(location, safe=URL_CHARACTERS))
        parsed = parse_url(target)
    except (ValueError, InvalidInputError):
        raise FetchFailedError(
            f"{describe_source(url)} redirects to something that is not a URL. "
            "Name the final address."
        ) from None
    if url.lower().startswith("https:") and parsed.scheme != b"https":
        raise ForbiddenUrlError(
            f"{describe_source(url)} redirects from https to {describe_source(target)}, "
            "which is not encrypted. Name an address that stays on https."
        )
    return target, parsed


def _save(
    url: str, response: httpcore.Response, headers: dict[bytes, bytes], target: Path, max_bytes: int
) -> Download:
    """Stream the body to `target`; httpcore raises if it ends before its announced length."""
    if int(headers.get(b"content-length", b"0")) > max_bytes:
        raise too_large(url, max_bytes)
    size_bytes = 0
    with target.open("wb") as file:
        for data in response.iter_stream():
            size_bytes += len(data)
            if size_bytes > max_bytes:
                raise too_large(url, max_bytes)
            file.write(data)
    content_type = headers.get(b"content-type", b"").decode("latin-1")
    return Download(content_type.partition(";")[0].strip().lower(), size_bytes)
