"""How far a download is: a bar on a terminal, a plain line now and then elsewhere."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.progress import (
    BarColumn,
    DownloadColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as Bars

from volume_bootstrap.console import STDERR

logger = logging.getLogger(__name__)

QUIET_S = 10.0
"""Seconds between two plain lines."""
LARGE_BYTES = 100_000_000
"""From this size on, each tenth is told, too."""


class Stopped(Exception):  # noqa: N818 - nothing is wrong: the run is ending
    """The run is ending: whoever tells of bytes is to let go."""


class Progress:
    """Bytes that come in from many threads at once; silent where the log is.

    Parameters
    ----------
    label : what is fetched, such as ``models``.
    verb : what became of the files at the end.
    """

    def __init__(self, label: str, verb: str = "fetched") -> None:
        self._label = label
        self._verb = verb
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._open: list[Callable[[], None]] = []
        self._sizes: dict[str, int | None] = {}
        self._got: dict[str, int] = {}
        self._fetched_bytes = 0
        self._started = self._told = time.monotonic()
        self._told_tenths = 0
        self._bars: Bars | None = None
        if logger.isEnabledFor(logging.INFO) and STDERR.is_terminal:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                DownloadColumn(),
                TransferSpeedColumn(),
                TimeRemainingColumn(),
            )
            self._bars = Bars(*columns, console=STDERR, transient=True)
            self._task = self._bars.add_task(label, total=None)

    def __enter__(self) -> Self:
        if self._bars:
            self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bars:
            self._bars.stop()
        if self._sizes and kind is None:
            seconds = time.monotonic() - self._started
            megabytes = self._fetched_bytes / 1e6
            logger.info(
                "%s: %s %d files, %.1f MB, in %.1f s, %.1f MB/s", self._label, self._verb,
                len(self._sizes), megabytes, seconds, megabytes / max(seconds, 1e-3),
            )  # fmt: skip

    def expect(self, name: str, size_bytes: int | None, done_bytes: int = 0) -> None:
        """Tell of a file: its size where it is known, and what is there from an earlier run."""
        with self._lock:
            self._sizes[name] = size_bytes
            self._got[name] = done_bytes
            self._tell()

    def advance(self, name: str, num_bytes: int) -> None:
        """Tell that more of a file has come.

        Raises
        ------
        Stopped
            The run is ending.
        """
        if self._stop.is_set():
            raise Stopped
        with self._lock:
            self._got[name] += num_bytes
            self._fetched_bytes += num_bytes
            self._tell()

    def wait(self, seconds: float) -> None:
        """Wait before another attempt.

        Raises
        ------
        Stopped
            The run is ending.
        """
        if self._stop.wait(seconds):
            raise Stopped

    def stop(self) -> None:
        """End all that tells of bytes or waits here, and what it reads from."""
        self._stop.set()
        with self._lock:
            for close in self._open:
                close()

    @contextmanager
    def reading(self, close: Callable[[], None]) -> Iterator[None]:
        """Read from something that `close`, called by another thread, brings to its end.

        Raises
        ------
        Stopped
            The run is ending.
        """
        with self._lock:
            if self._stop.is_set():
                raise Stopped
            self._open.append(close)
        try:
            yield
        finally:
            with self._lock:
                self._open.remove(close)

    def _tell(self) -> None:
        got = sum(self._got.values())
        sizes = [size for size in self._sizes.values() if size is not None]
        total = sum(sizes) if len(sizes) == len(self._sizes) else None
        if self._bars:
            self._bars.update(self._task, total=total, completed=got)
            return
        tenths = 10 * got // total if total else 0
        is_step = (total or 0) >= LARGE_BYTES and self._told_tenths < tenths < 10
        now = time.monotonic()
        if now - self._told < QUIET_S and not is_step:
            return
        self._told, self._told_tenths = now, tenths
        share = f" of {total / 1e6:.0f} MB, {100 * got // total} %" if total else " MB"
        logger.info("%s: %.0f%s", self._label, got / 1e6, share)
