"""Waiting with a deadline."""

import time
from collections.abc import Callable

POLL_S = 0.02


def until(is_so: Callable[[], object], timeout: float = 30.0) -> None:
    """Wait until something is so.

    Raises
    ------
    TimeoutError
        It is not after `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError(f"still not so after {timeout:g} s")
        time.sleep(POLL_S)
