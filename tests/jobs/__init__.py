"""What the tests of work in the background share."""

import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tests.wheels import Checkout
from volume_bootstrap import processes
from volume_bootstrap.jobs import records
from volume_bootstrap.jobs.records import Job, Work
from volume_bootstrap.layout import Volume
from volume_bootstrap.processes import Process, myself

# Tells that its import has begun, and goes on when it may.
WAITS = """
import os, pathlib, time
if gate := os.environ.get("GATE"):
    pathlib.Path(gate + ".new").write_text(str(os.getpid()))
    pathlib.Path(gate + ".new").rename(gate)
    while not pathlib.Path(gate + ".open").exists():
        time.sleep(0.02)
"""
WORK = Work("setup", ("--project", "tiny"), "3.11", None)
DEADLINE_S = 120.0
FILL = 'for block in 4096 1; do dd if=/dev/zero bs=$block >> "$0/fill"; done'
"""Down to the last byte."""


def wait_until(is_so: Callable[[], bool]) -> None:
    """Wait for something that will be; far too long is a failure."""
    deadline = time.monotonic() + DEADLINE_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


class Gate:
    """Where the import that a set-up tries stands still."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def wait(self) -> int:
        """Wait until it stands there; its process."""
        wait_until(self.path.exists)
        return int(self.path.read_text())

    def open(self) -> None:
        self.path.with_name(f"{self.path.name}.open").touch()


def detached(checkout: Checkout, **variables: str) -> subprocess.Popen[str]:
    """``setup --detach``, as somebody types it."""
    return subprocess.Popen(
        checkout.command("--volume", str(checkout.volume), "--detach"),
        cwd=checkout.root,
        env=checkout.environment(**variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def is_alive(pid: int) -> bool:
    return processes.started(pid) is not None


def note(volume: Volume, job_id: str, **changes: object) -> Job:
    """Write a record of a job of this process, or as `changes` have it."""
    job = Job(job_id, WORK, myself(), os.getpid(), "2026-01-01T00:00:00+00:00")
    job = replace(job, **changes)
    records.write(records.record_of(volume, job_id), job)
    records.log_of(volume, job_id).write_text(f"{job_id} said this\n")
    return job


def silence(path: Path) -> None:
    then = time.time() - processes.DEAD_AFTER_S - 5
    os.utime(path, (then, then))


ELSEWHERE = Process("elsewhere", "another boot", 7, "9")
