"""Pauses between tries."""

import random


class Backoff:
    """Pauses that grow twofold.

    Parameters
    ----------
    first_s, longest_s : the first pause, and the longest.
    """

    def __init__(self, first_s: float, longest_s: float) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._next_s = first_s

    def next_s(self) -> float:
        """How long to wait before the next try, in seconds.

        It is up to a half less than what it has grown to: workers that lost the platform at the
        same time must not come back at the same time.
        """
        pause_s = self._next_s
        self._next_s = min(2 * pause_s, self._longest_s)
        return pause_s * random.uniform(0.5, 1.0)  # noqa: S311 - no secret

    def reset(self) -> None:
        """Begin anew: a try was of use."""
        self._next_s = self._first_s
