"""Many recordings to one folder, some at a time."""

import queue
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

from client.errors import (
    AccessError,
    ClientError,
    JobFailed,
    SourceError,
    StoppedError,
    UnclearError,
)
from client.journal import Journal
from client.session import Client
from client.sources import Recording
from client.work import Outcome, Plan, State, Watcher, Work

LOOK_S = 0.2
"""How often the main thread looks for signals."""


class Batch:
    """Works on recordings with some threads.

    They are daemons: the journal is made for a client that ends at any moment, and a call that
    hangs must not hold it.

    Parameters
    ----------
    stop : the one that `client` was given; set here where nothing more can succeed.
    """

    def __init__(
        self, client: Client, journal: Journal, plan: Plan, watcher: Watcher, stop: threading.Event
    ) -> None:
        self._client = client
        self._journal = journal
        self._plan = plan
        self._watcher = watcher
        self._stop = stop
        self._sending: set[str] = set()
        self._waiting: queue.SimpleQueue[Recording] = queue.SimpleQueue()
        self._ended: queue.SimpleQueue[Outcome | BaseException | None] = queue.SimpleQueue()

    def run(self, recordings: Sequence[Recording]) -> Iterator[Outcome]:
        """Yield each outcome as it comes.

        Raises
        ------
        AccessError
            The key or the endpoint is refused.
        """
        for recording in recordings:
            self._waiting.put(recording)
        num_running = min(self._plan.parallel, len(recordings))
        for _ in range(num_running):
            threading.Thread(target=self._work, daemon=True).start()
        fatal: BaseException | None = None
        while num_running:
            try:
                # A wait without an end would hold back Ctrl-C.
                ended = self._ended.get(timeout=LOOK_S)
            except queue.Empty:
                continue
            if ended is None:
                num_running -= 1
            elif isinstance(ended, BaseException):
                fatal = fatal or ended
                self._stop.set()
            else:
                self._watcher.end(ended)
                yield ended
        if fatal:
            raise fatal

    def end(self, seconds: float) -> int:
        """Begin nothing more, and give jobs that are being sent the time to learn their ids.

        How many have not learned them.
        """
        self._stop.set()
        deadline = time.monotonic() + seconds
        while self._sending and time.monotonic() < deadline:
            time.sleep(LOOK_S / 4)
        return len(self._sending)

    def _work(self) -> None:
        try:
            while not self._stop.is_set():
                self._ended.put(self._one(self._waiting.get_nowait()))
        except (queue.Empty, StoppedError):
            pass  # nothing is left to do, or nothing more is to be done
        except BaseException as error:  # noqa: BLE001 - raised again by the main thread
            self._ended.put(error)
        finally:
            self._ended.put(None)

    def _one(self, recording: Recording) -> Outcome:
        started = time.monotonic()
        self._watcher.begin(recording)
        work = Work(
            self._client, self._journal, self._plan, self._watcher, recording, self._sending
        )
        try:
            outcome = work.run()
        except (AccessError, StoppedError):
            raise
        except ClientError as error:
            if isinstance(error, JobFailed):  # there is no job to wait for any more
                work.record("failed", message=str(error))
            outcome = Outcome(recording, _state(work, error), message=str(error))
        return replace(outcome, seconds=time.monotonic() - started)


def _state(work: Work, error: ClientError) -> State:
    known = work.known
    if isinstance(error, (JobFailed, SourceError)) or known is None:
        return "failed"
    if isinstance(error, UnclearError) and known.state == "submitting":
        return "unclear"
    return "open" if known.state == "submitted" else "failed"
