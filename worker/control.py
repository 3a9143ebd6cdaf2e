"""What the stages of a job look at and report to: cancellation and progress.

Nothing here knows the platform. `JobControl.cancel` may be called from any thread; the stage that
runs raises `CancelledError` at its next step.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from worker.errors import CancelledError

Item = TypeVar("Item")
Report = Callable[[str, float], None]
"""Called with the stage and the share of it that is done, in [0, 1]."""


POLL_S = 0.5
"""How often a job that waits looks whether it was cancelled, in seconds."""


def _ignore(stage: str, share: float) -> None:
    pass


class JobControl:
    """One per job.

    Parameters
    ----------
    report : gets each step of progress; called from the thread that works, so it must not wait.
    """

    def __init__(self, report: Report = _ignore) -> None:
        self._cancelled = threading.Event()
        self._report = report

    def cancel(self) -> None:
        """Ask the job to end."""
        self._cancelled.set()

    def check(self) -> None:
        """Go on, or end.

        Raises
        ------
        CancelledError
            The job was cancelled.
        """
        if self._cancelled.is_set():
            raise CancelledError("The job was cancelled. Nothing of it is kept.")

    def wait(self, seconds: float) -> None:
        """Let time pass, unless the job is cancelled."""
        self._cancelled.wait(seconds)
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
    """A lock that a job holds while it computes; a cancelled one does not wait for it.

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
