"""RunPod's endpoint API, and the local server that the SDK makes of handler.py.

Both take ``POST /run`` and tell of ``/status/<id>``. They differ in this: the local server begins a
job when its status is posted, answers when it has ended, and forgets it then.
"""

import email.utils
import json
import logging
import random
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import quote, urlsplit

import httpx

from client.errors import (
    AccessError,
    GoneError,
    RefusedError,
    StoppedError,
    UnclearError,
    UnreachableError,
    UsageError,
)

logger = logging.getLogger(__name__)

MAX_TRIES = 8
"""Of a call; the pauses between them add up to 91 s at most, and to 68 s on average."""
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
LONGEST_RETRY_AFTER_S = 120.0
"""What a platform asks for beyond that is not waited for."""
CONNECT_S = 10.0
ANSWER_S = 60.0
"""Silence after which a call counts as lost."""

NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
REFUSED_FOR_NOW = {408, 429, 500, 503, 521, 523}
"""The platform says itself that it did not do it."""
LOST_BEHIND = {502, 504, 520, 522, 524}
"""A gateway says that it had no answer: behind it, anything may have happened."""
MAX_SAID = 300
"""Characters of an answer that a message repeats."""
UNKNOWN_TO_SDK = "Job ID not found"

RUNNING = ("IN_QUEUE", "IN_PROGRESS")
ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT")


@dataclass(frozen=True, slots=True)
class Status:
    """What the platform tells of a job; `output` is its progress while it runs."""

    status: str
    output: Any = None
    error: Any = None


class Platform:
    """One endpoint, or one local server; may be used by several threads.

    Parameters
    ----------
    base : address that the calls are below.
    api_key : None: the server asks for none.
    stop : set when the client is to end; a call that waits for another try raises then.
    """

    def __init__(
        self, base: str, *, api_key: str | None, is_local: bool, stop: threading.Event
    ) -> None:
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._base = base.rstrip("/")
        self.is_local = is_local
        self._stop = stop
        timeout = httpx.Timeout(ANSWER_S, connect=CONNECT_S)
        self._http = httpx.Client(headers=headers, timeout=timeout)
        # A connection that was idle may be closed on the way, which looks like a lost answer.
        fresh = httpx.Limits(max_keepalive_connections=0)
        self._submitting = httpx.Client(headers=headers, timeout=timeout, limits=fresh)

    def close(self) -> None:
        self._http.close()
        self._submitting.close()

    def submit(self, payload: Mapping[str, Any]) -> str:
        """Send a job; its id.

        Raises
        ------
        UnclearError
            It was sent, and what became of it is not known.
        RefusedError, AccessError, UnreachableError
            The platform does not have it.
        """

        def unclear(what: str) -> NoReturn:
            raise UnclearError(
                f"{what} when the job was sent: the platform may have it or not. Look at the "
                "endpoint's requests; run the same again with --resubmit to send it once more."
            )

        post, url = self._submitting.post, f"{self._base}/run"
        # In ASCII: a path that is no text must not break the call, the worker tells of it.
        content, kind = json.dumps(payload).encode(), {"Content-Type": "application/json"}
        response = self._call(lambda: post(url, content=content, headers=kind), unclear)
        if response.status_code == httpx.codes.NOT_FOUND:
            raise AccessError(f"there is no endpoint at {self._base}; check its id or address.")
        self._check(response)
        id_ = _object(response).get("id")
        if not isinstance(id_, str) or not id_:
            unclear(f"the answer was no job ({_said(response)})")
        return id_

    def status(self, id: str) -> Status:  # noqa: A002
        """Ask for a job's status; a local server does the job now.

        Raises
        ------
        GoneError
            The platform does not know it.
        UnclearError
            The connection to a local server broke while it worked.
        AccessError, RefusedError, UnreachableError
        """
        url = f"{self._base}/status/{quote(id, safe='')}"
        if self.is_local:
            unlimited = httpx.Timeout(None, connect=CONNECT_S)
            response = self._call(lambda: self._http.post(url, timeout=unlimited), _broken)
        else:
            response = self._call(lambda: self._http.get(url))
        if response.status_code == httpx.codes.NOT_FOUND:
            raise GoneError(f"the platform does not know the job {id} any more.")
        self._check(response)
        answer = _object(response)
        status = Status(str(answer.get("status")), answer.get("output"), answer.get("error"))
        if self.is_local and status.error == UNKNOWN_TO_SDK:
            raise GoneError(f"the server does not know the job {id}.")
        if status.status not in (*RUNNING, *ENDED):
            raise UnreachableError(f"the status of the job {id} is odd: {_said(response)}.")
        return status

    def cancel(self, id: str) -> None:  # noqa: A002
        """Have a job ended, in work or not.

        Raises
        ------
        GoneError, AccessError, RefusedError, UnreachableError
        """
        if self.is_local:
            raise UsageError("a local server cannot cancel a job; end the server.")
        url = f"{self._base}/cancel/{quote(id, safe='')}"
        response = self._call(lambda: self._http.post(url))
        if response.status_code == httpx.codes.NOT_FOUND:
            raise GoneError(f"the platform does not know the job {id} any more.")
        self._check(response)

    def pause(self, seconds: float) -> None:
        """Wait.

        Raises
        ------
        StoppedError
            The client is to end.
        """
        if self._stop.wait(seconds):
            raise StoppedError("interrupted.")

    def pause_after(self, tries: int, problem: str, least_s: float = 0.0) -> None:
        """Wait before another try, `least_s` and as long as so many tries ask for.

        Raises
        ------
        StoppedError
            The client is to end.
        """
        grown_s = min(FIRST_PAUSE_S * 2.0 ** (tries - 1), LONGEST_PAUSE_S)
        logger.debug("try %d: %s", tries, problem)
        # Clients that lost the same peer at once must not come back at once.
        self.pause(max(least_s, grown_s * random.uniform(0.5, 1.0)))  # noqa: S311 - no secret

    def _call(
        self,
        send: Callable[[], httpx.Response],
        unclear: Callable[[str], NoReturn] | None = None,
    ) -> httpx.Response:
        """Send a request until it has an answer.

        With `unclear` the request must not be carried out twice: this is called, and raises, where
        it was sent and its answer lost.
        """
        for tries in range(1, MAX_TRIES + 1):
            least_s = 0.0
            try:
                response = send()
            except NEVER_SENT as error:
                problem = f"no connection ({error or type(error).__name__})"
            except httpx.HTTPError as error:
                problem = f"the connection broke ({error or type(error).__name__})"
                if unclear:
                    unclear(problem)
            else:
                code, retry = response.status_code, REFUSED_FOR_NOW
                problem = f"HTTP {code}, {_said(response)}"
                if code in LOST_BEHIND:
                    if unclear:
                        unclear(problem)
                    retry = LOST_BEHIND
                if code not in retry and (unclear or code != httpx.codes.OK or _is_json(response)):
                    return response
                least_s = retry_after_s(response)
            if tries == MAX_TRIES or least_s > LONGEST_RETRY_AFTER_S:
                raise UnreachableError(
                    f"{urlsplit(self._base).netloc} did not do what it was asked in {tries} tries: "
                    f"{problem}. Nothing is lost; run the same again later."
                )
            self.pause_after(tries, problem, least_s)
        raise AssertionError("unreachable: the last try raises or returns")

    def _check(self, response: httpx.Response) -> None:
        """Tell what an answer that is none means."""
        code = response.status_code
        if code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            raise AccessError(
                f"HTTP {code}: the key is refused. Check RUNPOD_API_KEY, and whether it may use "
                "this endpoint."
            )
        if code == httpx.codes.REQUEST_ENTITY_TOO_LARGE:
            raise RefusedError("HTTP 413: the call is too large. Name a bucket with --s3.")
        if code != httpx.codes.OK:
            raise RefusedError(f"HTTP {code}: the platform refuses the call: {_said(response)}.")


def _broken(problem: str) -> NoReturn:
    raise UnclearError(
        f"{problem} while the local server worked on it. Look whether it still runs, and at its "
        "log; then run the same again."
    )


def _is_json(response: httpx.Response) -> bool:
    try:
        return isinstance(response.json(), dict)
    except ValueError:
        return False


def _object(response: httpx.Response) -> dict[str, Any]:
    return response.json() if _is_json(response) else {}


def _said(response: httpx.Response) -> str:
    """The beginning of an answer, on one line."""
    text = " ".join(response.text[:MAX_SAID].split())
    return text if text.isprintable() and text else f"{len(response.content)} bytes"


def retry_after_s(response: httpx.Response) -> float:
    """What the answer asks for, in seconds: a number or a date."""
    said = response.headers.get("Retry-After", "")
    if re.fullmatch(r"\d{1,9}", said):
        return float(said)
    try:
        moment = email.utils.parsedate_to_datetime(said)
    except ValueError:
        return 0.0
    return max(0.0, moment.timestamp() - time.time())
