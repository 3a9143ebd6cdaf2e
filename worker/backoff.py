"""Pauses between tries."""

import random

MAX_DOUBLINGS = 30
"""Far beyond any longest pause; the number of tries has no bound."""


def pause_s(tries: int, first_s: float, longest_s: float) -> float:
    """How long to wait after so many tries, in seconds: twice as long each time, up to the longest.

    It is up to a half less than that: workers that lost the same peer at the same time must not
    come back at the same time.

    Parameters
    ----------
    tries : that were of no use so far, at least 1.
    """
    grown_s = min(first_s * 2.0 ** min(tries - 1, MAX_DOUBLINGS), longest_s)
    return grown_s * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
