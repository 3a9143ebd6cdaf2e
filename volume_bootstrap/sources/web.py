"""Files over HTTP, for every source that has addresses.

requests, not httpx: with its blocks of 64 KB, parsed in Python, httpx reaches a fifth of what curl
does from a loopback server; urllib3 below requests reads a block in one call and keeps up.
"""

import contextlib
import email.utils
import re
import time
from collections.abc import Callable, Iterator, Mapping

import requests
import urllib3

from volume_bootstrap.errors import SourceError
from volume_bootstrap.files import BLOCK_BYTES
from volume_bootstrap.project_files import is_address
from volume_bootstrap.sources.transfer import (
    CONNECT_TIMEOUT_S,
    FILES_AT_ONCE,
    READ_TIMEOUT_S,
    RETRIED,
    Body,
    Interrupted,
    Opener,
)
from volume_bootstrap.sources.wanted import address_name, host_name

MOST_REDIRECTS = 10
AGENT = "speech-worker-provisioner"


@contextlib.contextmanager
def session(headers: Mapping[str, str] | None = None) -> Iterator[requests.Session]:
    """A session for one source: proxies and certificates from the environment, a few redirects.

    `headers` may hold credentials; requests drops Authorization on the way to another host, and a
    redirect never takes a Cookie along.
    """
    with requests.Session() as opened:
        adapter = requests.adapters.HTTPAdapter(pool_maxsize=FILES_AT_ONCE)
        opened.mount("https://", adapter)
        opened.mount("http://", adapter)
        opened.max_redirects = MOST_REDIRECTS
        # A compressed answer could not be resumed.
        opened.headers.update({"User-Agent": AGENT, "Accept-Encoding": "identity"})
        opened.headers.update(headers or {})
        yield opened


def opener(
    opened: requests.Session, url: str, refused: Callable[[int], str] = lambda _: ""
) -> Opener:
    """How to open one address.

    Parameters
    ----------
    refused : what to do about a status that another attempt does not mend.
    """

    @contextlib.contextmanager
    def open_at(start: int, etag: str | None) -> Iterator[Body]:
        headers = {"Range": f"bytes={start}-"} if start else {}
        if etag:
            headers["If-Range"] = etag
        try:
            with _get(opened, url, headers) as response:
                yield _body(response, url, start, refused)
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise Interrupted(f"{address_name(url)}: {_reason(error)}") from error

    return open_at


def _get(opened: requests.Session, url: str, headers: Mapping[str, str]) -> requests.Response:
    try:
        timeout = (CONNECT_TIMEOUT_S, READ_TIMEOUT_S)
        return opened.get(url, headers=headers, stream=True, timeout=timeout)
    except requests.TooManyRedirects as error:
        raise SourceError(
            f"{address_name(url)} redirects more than {MOST_REDIRECTS} times."
        ) from error
    except ValueError as error:  # requests' own, and those of the standard library below it
        raise SourceError(f"{address_name(url)} leads to an address that is none.") from error


def _body(response: requests.Response, url: str, start: int, refused: Callable[[int], str]) -> Body:
    status, headers = response.status_code, response.headers
    where = address_name(url)
    if (host := host_name(response.url)) != host_name(url):
        where += f" (at {host})"
    if status in RETRIED:
        raise Interrupted(f"{where} answers {status}", _wait_s(headers.get("Retry-After")))
    etag = headers.get("ETag")
    if etag and etag.startswith("W/"):
        etag = None  # does not promise the same bytes
    if status == 416 and start:
        known = re.fullmatch(r"bytes \*/([0-9]{1,18})", headers.get("Content-Range", ""))
        if known and int(known[1]) == start:  # it was whole already
            return Body(start, start, etag, lambda _: b"")
        raise Interrupted(f"{where} is shorter than what was there before", is_stale=True)
    if status not in {200, 206}:
        raise SourceError(f"{where} answers {status} {response.reason}. {refused(status)}".rstrip())

    def read(num_bytes: int = BLOCK_BYTES) -> bytes:
        block: bytes = response.raw.read(num_bytes, decode_content=False)
        return block

    def close() -> None:
        end_reading(response.raw)

    if (coding := headers.get("Content-Encoding", "identity")) != "identity":
        raise SourceError(f"{where} sends the file as {coding}, which was not asked for.")
    if status == 206:
        span = re.fullmatch(
            r"bytes ([0-9]{1,18})-[0-9]+/([0-9]{1,18}|\*)", headers.get("Content-Range", "")
        )
        if not span or int(span[1]) != start:
            raise SourceError(f"{where} answers another part of the file than was asked for.")
        return Body(start, int(span[2]) if span[2] != "*" else None, etag, read, close)
    length = headers.get("Content-Length")
    if length and not re.fullmatch(r"[0-9]{1,18}", length):
        raise SourceError(f"{where} answers with a Content-Length that is no number.")
    return Body(0, int(length) if length else None, etag, read, close)


def end_reading(raw: urllib3.HTTPResponse) -> None:
    """End a read that another thread waits in; closing a socket alone would not."""
    with contextlib.suppress(ValueError, RuntimeError, OSError):  # it is at its end already
        raw.shutdown()


def _wait_s(retry_after: str | None) -> float:
    """Seconds that Retry-After asks to wait: a number, or a date."""
    if not retry_after:
        return 0.0
    if retry_after.isdecimal():
        return float(retry_after)
    try:
        until = email.utils.parsedate_to_datetime(retry_after)
    except (ValueError, OverflowError):
        return 0.0
    return max(until.timestamp() - time.time(), 0.0)


def _reason(error: Exception) -> str:
    """The innermost cause: what wraps it repeats the address with its query."""
    text = str(error)
    for inner in ("timed out", "Connection refused", "Name or service not known", "reset by peer"):
        if inner in text:
            return inner
    return type(error).__name__


def reach(endpoint: str, variable: str) -> None:
    """Ask whether a hub is there at all, before its client tries for half a minute.

    Parameters
    ----------
    variable : what sets the endpoint.

    Raises
    ------
    SourceError
        It is not, or the endpoint is no address.
    """
    if not is_address(endpoint):
        raise SourceError(f"{variable} is no address such as https://hub.example:443; check it.")
    with session() as opened:
        try:
            opened.head(endpoint, timeout=CONNECT_TIMEOUT_S, allow_redirects=False)
        except requests.RequestException as error:
            raise SourceError(
                f"{address_name(endpoint)} cannot be reached: {_reason(error)}."
            ) from error
