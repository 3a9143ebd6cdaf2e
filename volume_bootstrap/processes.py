"""Which process wrote something on the volume, and whether it still lives, wherever it runs."""

import socket
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

HEARTBEAT_S = 5.0
DEAD_AFTER_S = 60.0
"""Silence after which a process elsewhere is taken for dead: many heartbeats, for slow volumes."""


@dataclass(frozen=True, slots=True)
class Process:
    """A process as a file on the volume names it; of one that could not write, nothing is known.

    `started` is in ticks, as the kernel counts: a process number alone may be another's by now.
    """

    host: str = ""
    machine: str = ""
    pid: int = 0
    started: str | None = None

    @property
    def name(self) -> str:
        if not self.pid:
            return "a process that could not write its name"
        return f"process {self.pid} on {self.host}"

    @property
    def is_here(self) -> bool:
        """Whether it runs, or ran, where its number means the same process as it does here."""
        return self.machine == machine()


def myself() -> Process:
    """Name this process."""
    # As /proc counts, which in a namespace of its own need not be what os.getpid() tells.
    pid = int(Path("/proc/self").readlink().name)
    return Process(socket.gethostname(), machine(), pid, started(pid))


def machine() -> str:
    """Where a process number means the same process: hostnames are not unique, containers less."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    return f"{boot} {Path('/proc/self/ns/pid').readlink()}"


def started(pid: int) -> str | None:
    """When a process of this machine started, in ticks; none if there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name, in parentheses, may hold anything; after it come the state and, as the twentieth
    # field, the start. One that ended stays a zombie until its parent asks how.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in {"Z", "X"} else fields[19]


def now() -> str:
    """Time in UTC, as ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def has_died(process: Process, path: Path, clock: Callable[[Path], float]) -> bool:
    """Whether a process is gone: here by its number and start, elsewhere by the file's silence.

    Parameters
    ----------
    path : the file that it touches while it lives.
    clock : the time in the folder of `path`; asked only for a process elsewhere.
    """
    if process.is_here:
        return started(process.pid) != process.started
    there = clock(path.parent)
    try:
        return there - path.stat().st_mtime > DEAD_AFTER_S
    except FileNotFoundError:
        return False


def server_time(folder: Path) -> float:
    """Time as the file server of a folder has it: clocks of two machines need not agree.

    Raises
    ------
    OSError
        It cannot be written to.
    """
    # Of the name of the lock's drafts: with them goes what a kill leaves.
    probe = folder / f"lock.{uuid.uuid4().hex}"
    probe.touch()
    try:
        return probe.stat().st_mtime
    finally:
        probe.unlink()


def server_time_or_ours(folder: Path) -> float:
    """The same on a volume that cannot be written to, and is only looked at: our own time."""
    try:
        return server_time(folder)
    except OSError:
        return time.time()
