"""Volumes of jobs, and where a set-up stands still."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.jobs import WAITS, Gate
from tests.wheels import Checkout, make_checkout, make_wheel
from volume_bootstrap.jobs import records
from volume_bootstrap.layout import Volume


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    made = make_checkout(tmp_path / "checkout")
    make_wheel(made.wheels, "greeting", "1.0", code=WAITS)
    return made


@pytest.fixture
def volume(checkout: Checkout) -> Iterator[Volume]:
    """The checkout's; jobs that a failed test leaves are ended."""
    its = Volume(checkout.volume)
    yield its
    for job in records.all_jobs(its):
        if (
            job.process.is_here
            and job.group not in (0, os.getpid())
            and records.state_of(its, job) == "running"
        ):
            os.killpg(job.group, signal.SIGKILL)


@pytest.fixture
def bare(tmp_path: Path) -> Volume:
    """An empty volume, on which records are written by hand."""
    its = Volume(tmp_path / "bare")
    records.folder_of(its).mkdir(parents=True)
    return its


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path / "gate")
