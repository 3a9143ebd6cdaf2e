"""What the stages of a job look at and report to: when to end, progress, parts of the result.

Nothing here knows the platform. `JobControl.cancel` may be called from any thread; the stage that
runs raises at its next step.
"""

import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from worker.errors import CancelledError, JobTimeoutError

Item = TypeVar("Item")
Report = Callable[[str, float], None]
"""Called with the stage and the share of it that is done, in [0, 1]."""
Publish = Callable[[dict[str, Any]], None]
"""Called with a part of the result, plain values only."""


POLL_S = 0.5
"""How often a job that waits looks whether it was cancelled, in seconds."""


def _ignore(*_: object) -> None:
    pass


class JobControl:
    """One per job.

    Parameters
    ----------
    report : gets each step of progress.
    publish : gets parts of the result as they are known. Both are called from the thread that
        works, so they must not wait.
    """

    def __init__(self, report: Report = _ignore, publish: Publish = _ignore) -> None:
        self._cancelled = threading.Event()
        self._report = report
        self.publish = publish
        self._limit_s = math.inf
        self._started = time.monotonic()

    def cancel(self) -> None:
        """Ask the job to end."""
        self._cancelled.set()

    def limit(self, seconds: float) -> None:
        """Let the job end by itself so long after it began; the shortest limit counts."""
        self._limit_s = min(self._limit_s, seconds)

    @property
    def left_s(self) -> float:
        """Time until the job has to end; negative where it should have."""
        return self._started + self._limit_s - time.monotonic()

    def check(self) -> None:
        """Go on, or end.

        Raises
        ------
        CancelledError
            The job was cancelled.
        JobTimeoutError
            It took longer than it may.
        """
        if self._cancelled.is_set():
            raise CancelledError("The job was cancelled. Nothing of it is kept.")
        if self.left_s < 0:
            raise JobTimeoutError(
                f"The job took longer than the {self._limit_s:g} s that it may. Send less audio at "
                "a time, or raise timeout_s, SPEECH_JOB_TIMEOUT_S or the endpoint's own limit."
            )

    def wait(self, seconds: float) -> None:
        """Let time pass, unless the job has to end."""
        self._cancelled.wait(max(0.0, min(seconds, self.left_s)))
        self.check()

    def update(self, stage: str, share: float) -> None:
        """Report that `share` of a stage is done, and check."""
        self.check()
        self._report(stage, share)

    def watch(self, stage: str, items: Iterable[Item], total: int) -> Iterator[Item]:
        """Yield the items of a stage that has `total` of them; check and report at each."""
        for done, item in enumerate(items):
            self.update(stage, done / total)
            yield item


class Exclusive:
    """A lock that a job holds while it computes; one that has to end does not wait for it.

    Parameters
    ----------
    lock : what the jobs share.
    control : of the job that this is for.
    """

    def __init__(self, lock: threading.Lock, control: JobControl) -> None:
        self._lock = lock
        self._control = control

    def __enter__(self) -> None:
        while not self._lock.acquire(timeout=POLL_S):
            self._control.check()

    def __exit__(self, *_: object) -> None:
        self._lock.release()
