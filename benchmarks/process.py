"""Child processes: their wall clock, their peak memory, their output."""

import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

ERROR_TAIL_CHARS = 3_000


@dataclass(frozen=True, slots=True)
class Finished:
    """A child process that ended well.

    lines : its standard output.
    seconds_to_marker : from before it was spawned until the line with the marker arrived.
    cpu_seconds : processor time, of all threads, user and system.
    load_average : of the last minute before it was spawned.
    """

    lines: list[str]
    seconds_to_marker: float
    cpu_seconds: float
    peak_memory_mb: float
    load_average: float


def run(command: Sequence[str], environment: Mapping[str, str], marker: str = "") -> Finished:
    """Run a command and wait for it; `environment` is added to this process's own.

    The kernel counts the memory of the process that spawns into the child's peak, so this
    process stays small until everything is measured.

    Parameters
    ----------
    marker
        Text of the line that stops the clock; by default the first line does.

    Raises
    ------
    RuntimeError
        The command failed, or never printed the marker.
    """
    load = os.getloadavg()[0]
    seconds = None
    lines = []
    with tempfile.TemporaryFile("w+") as errors:
        started = time.perf_counter()
        child = subprocess.Popen(
            command,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        with child:
            for line in child.stdout or ():
                if seconds is None and marker in line:
                    seconds = time.perf_counter() - started
                lines.append(line.rstrip("\n"))
            _, status, usage = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
        errors.seek(0)
        tail = ("\n".join(lines) + errors.read())[-ERROR_TAIL_CHARS:]
    if child.returncode or seconds is None:
        raise RuntimeError(
            f"{' '.join(command)}\nexit code {child.returncode}, "
            f"marker {marker!r} {'not ' if seconds is None else ''}seen. It said:\n{tail}"
        )
    return Finished(
        lines=lines,
        seconds_to_marker=seconds,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        peak_memory_mb=usage.ru_maxrss * 1024 / 1e6,
        load_average=load,
    )
