"""Calls that the platform holds until there is something to answer."""

import asyncio
import logging
import time
from collections.abc import Coroutine
from http import HTTPStatus
from typing import Any, TypeVar

from worker.backoff import pause_s

logger = logging.getLogger(__name__)

T = TypeVar("T")

BUSY_PAUSE_S = 5.0
"""After a 429, as the SDK has it."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 1.0
"""After an error, or an empty answer that came at once. The longest is what an idle worker may
lose when the platform is back."""
LONG_POLL_S = 1.0
"""An empty answer after so long comes from a platform that waits for a job: no need for a pause."""


class Poll:
    """A call that is repeated.

    Parameters
    ----------
    failure : what the log says where it fails.
    timeout_s : of one call.
    """

    def __init__(self, failure: str, timeout_s: float) -> None:
        self._failure = failure
        self._timeout_s = timeout_s
        self._asked = 0.0
        self._num_useless = 0

    async def ask(self, call: Coroutine[Any, Any, list[T]]) -> list[T]:
        """Make the call; where it fails, nothing was answered.

        What was answered is returned, even where this is cancelled at the same moment: the platform
        would take a job in it for begun.
        """
        self._asked = time.monotonic()
        # Not asyncio.wait_for, which from Python 3.12 on ends the call in the midst of its answer.
        asking = asyncio.create_task(call)
        try:
            await asyncio.wait({asking}, timeout=self._timeout_s)
        except asyncio.CancelledError:
            if asking.cancel():
                raise
        if asking.cancel():
            logger.warning("%s within %g s", self._failure, self._timeout_s)
            return []
        try:
            return asking.result()
        except Exception as error:  # noqa: BLE001 - whatever it is, the worker asks again
            status = getattr(error, "status", None)
            # Not its message, which holds the address with its query.
            logger.warning("%s: %s", self._failure, status or type(error).__name__)
            if status == HTTPStatus.TOO_MANY_REQUESTS:
                await asyncio.sleep(BUSY_PAUSE_S)
            return []

    async def pause(self, was_of_use: bool) -> None:  # noqa: FBT001
        """Let time pass before the next call, longer each time, unless this one was held."""
        if was_of_use or time.monotonic() - self._asked > LONG_POLL_S:
            self._num_useless = 0
        else:
            self._num_useless += 1
            await asyncio.sleep(pause_s(self._num_useless, FIRST_PAUSE_S, LONGEST_PAUSE_S))
