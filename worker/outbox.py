"""What the platform is told of one job: its progress, parts of its result, the result itself.

The wire format is that of the SDK's rp_http, whose own calls give a result up after three tries
within two seconds.
"""

import asyncio
import io
import itertools
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from worker.backoff import pause_s
from worker.keep import keep
from worker.parts import Payload, serialise, split

if TYPE_CHECKING:
    from aiohttp import ClientSession

logger = logging.getLogger(__name__)

RESULT_PATIENCE_S = 90.0
"""How long a result is tried: a platform that is away for a minute gets all of them."""
PART_PATIENCE_S = 10.0
"""How long a part is tried; the result, which has it too, must not wait much for it."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 5.0
POST_TIMEOUT_S = 60.0
"""Of one try, with up to 20 MB; the last one has what is left of the patience."""
LEAST_TIMEOUT_S = 0.1
"""aiohttp takes none at all for no limit."""
PROGRESS_TIMEOUT_S = 30.0
"""The result waits for the answer to a report: one that is carried out later overwrites it."""
MAX_CHUNK_BYTES = 950_000
"""Of one stream call: the platform takes 1 MB, its own envelope among it."""
TRY_AGAIN = frozenset({408, 429})
"""Answers below 500 after which the same call may succeed."""

HEADERS = {"charset": "utf-8", "Content-Type": "application/x-www-form-urlencoded"}


class UndeliveredError(Exception):
    """The platform did not take what was posted; the message says why."""


class RefusedError(UndeliveredError):
    """Trying again cannot help."""


class UnansweredError(UndeliveredError):
    """There was no answer in time; the platform may still carry it out."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the platform takes results and parts, ``$ID`` standing for the job."""

    done: str
    stream: str


class Outbox:
    """The calls of one job.

    Parameters
    ----------
    session : the SDK's, which carries the worker's key.
    job : the job's id.
    results : folder for the result that the platform does not take.
    """

    def __init__(
        self, session: "ClientSession", addresses: Addresses, job: str, results: Path
    ) -> None:
        self._session = session
        self._addresses = addresses
        self._job = job
        # JSON may hold half a surrogate pair, which UTF-8 has no bytes for.
        self._quoted = quote(job, safe="", errors="surrogatepass")
        self._results = results
        self._streams = False
        self._stream_broke = False
        self._progress_is_slow = False

    async def progress(self, progress: Payload) -> None:
        """Say how far the job is. It is posted once: the next report says more.

        After one that was not answered in time there are no more: each might be carried out after
        the result, and the job waits for each.
        """
        if self._progress_is_slow:
            return
        body = serialise({"status": "IN_PROGRESS", "output": progress})
        try:
            await self._attempt(self._url(self._addresses.done), body, PROGRESS_TIMEOUT_S)
        except UndeliveredError as error:
            self._progress_is_slow = isinstance(error, UnansweredError)
            logger.warning("progress could not be posted: %s", error)

    async def part(self, part: Payload) -> None:
        """Post a part of the result, in pieces where it is too large.

        Where one cannot be delivered, the stream ends with those before it: a reader must not take
        what comes after a gap for all there is.
        """
        self._streams = True
        for piece in split(part, MAX_CHUNK_BYTES):
            await self._chunk(serialise({"output": piece}))

    async def whole(self, reply: Payload) -> None:
        """End the stream with the result as it will be posted."""
        self._streams = True
        body = serialise({"output": reply})
        if len(body) > MAX_CHUNK_BYTES:
            note = "The whole result is too large for the stream: see the job's status."
            body = serialise({"output": {"note": note}})
        await self._chunk(body)

    async def result(self, body: bytes) -> None:
        """Deliver the result, or keep it on the volume; it is never lost without a word."""
        url = self._url(self._addresses.done, streams=self._streams)
        try:
            await self._deliver(url, body, RESULT_PATIENCE_S)
        except UndeliveredError as error:
            await asyncio.to_thread(self._keep, body, str(error))
        except asyncio.CancelledError:
            await asyncio.to_thread(self._keep, body, "the worker had to end")
            raise

    async def _chunk(self, body: bytes) -> None:
        if self._stream_broke:
            return
        try:
            url = self._url(self._addresses.stream)
            await self._deliver(url, body, PART_PATIENCE_S)
        except UndeliveredError as error:
            self._stream_broke = True
            logger.warning("the stream ends early, a part could not be posted: %s", error)

    def _url(self, template: str, *, streams: bool = False) -> str:
        return f"{template.replace('$ID', self._quoted)}&isStream={str(streams).lower()}"

    async def _deliver(self, url: str, body: bytes, patience_s: float) -> None:
        """Post until it is taken, refused for good, or has been tried for so long."""
        give_up = time.monotonic() + patience_s
        for tries in itertools.count(1):
            try:
                left_s = max(give_up - time.monotonic(), LEAST_TIMEOUT_S)
                await self._attempt(url, body, min(POST_TIMEOUT_S, left_s))
            except UndeliveredError as error:
                after_s = pause_s(tries, FIRST_PAUSE_S, LONGEST_PAUSE_S)
                if isinstance(error, RefusedError) or time.monotonic() + after_s > give_up:
                    raise
                logger.info("to be posted again: %s", error)
            else:
                return
            await asyncio.sleep(after_s)

    async def _attempt(self, url: str, body: bytes, timeout_s: float) -> None:
        from aiohttp import ClientError, ClientTimeout

        headers = HEADERS | {"X-Request-ID": self._quoted}
        limit = ClientTimeout(total=timeout_s)
        try:
            # As a file: aiohttp writes plain bytes in one piece, however many they are. A redirect
            # would be followed by a GET, without them.
            async with self._session.post(
                url,
                data=io.BytesIO(body),
                headers=headers,
                timeout=limit,
                allow_redirects=False,
            ) as answer:
                status = answer.status
        except TimeoutError as error:
            raise UnansweredError(f"no answer from the platform within {timeout_s:g} s") from error
        except (ClientError, OSError) as error:
            raise UndeliveredError(
                f"no answer from the platform ({type(error).__name__})"
            ) from error
        if 400 <= status < 500 and status not in TRY_AGAIN:
            raise RefusedError(f"the platform refuses it with HTTP {status}")
        if not 200 <= status < 300:
            raise UndeliveredError(f"the platform answers HTTP {status}")

    def _keep(self, body: bytes, reason: str) -> None:
        """Write a result to the volume."""
        try:
            path = keep(self._results, self._job, body)
        except OSError as error:
            logger.error(  # noqa: TRY400 - the message says all
                "the result was not delivered (%s), and is lost: %s cannot be written: %s",
                reason,
                self._results,
                error.strerror or type(error).__name__,
            )
        else:
            logger.error("the result was not delivered (%s), and is kept as %s", reason, path)
