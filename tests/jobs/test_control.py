"""Jobs from outside: claimed once, followed, stopped."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.jobs import (
    DEADLINE_S,
    ELSEWHERE,
    WORK,
    is_alive,
    note,
    silence,
    wait_until,
)
from volume_bootstrap import processes
from volume_bootstrap.errors import JobError
from volume_bootstrap.jobs import control, records
from volume_bootstrap.jobs.records import Job
from volume_bootstrap.layout import Volume
from volume_bootstrap.processes import Process, myself


def test_of_starts_at_once_one_begins_it(bare):
    found: list[tuple[Job, bool]] = []
    threads = [
        threading.Thread(target=lambda: found.append(control._claim(bare, WORK))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {job.id for job, _ in found} == {"setup-1"}
    assert [path.name for path in records.folder_of(bare).iterdir()] == ["setup-1.json"]


CLAIM = """
import pathlib, sys, time
from tests.jobs import WORK
from volume_bootstrap.jobs import control
from volume_bootstrap.layout import Volume
control._claim(Volume(pathlib.Path(sys.argv[1])), WORK)
print("claimed", flush=True)
time.sleep(60)
"""


@pytest.fixture
def starter(bare: Volume) -> Iterator[subprocess.Popen[str]]:
    """A process that has claimed a job, and is slow to begin it."""
    words = [sys.executable, "-c", CLAIM, str(bare.root)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as its:
        assert its.stdout is not None
        assert its.stdout.readline() == "claimed\n"
        yield its
        its.kill()


@pytest.fixture
def family() -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process in a session of its own that ends when it is told to, and one that it leaves."""
    words = ["sh", "-c", "trap 'exit 143' TERM; sleep 600 & echo $!; wait"]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as leader:
        assert leader.stdout is not None
        yield leader, int(leader.stdout.readline())
        with contextlib.suppress(ProcessLookupError):
            os.killpg(leader.pid, signal.SIGKILL)


def process_of(pid: int) -> Process:
    return replace(myself(), pid=pid, started=processes.started(pid))


def test_a_stop_ends_what_the_job_left_behind(bare, family):
    leader, left = family
    job = note(bare, "setup-1", process=process_of(leader.pid), group=leader.pid)
    control.stop(bare, job)
    assert leader.wait(DEADLINE_S) == 143
    wait_until(lambda: not is_alive(left))


def test_a_stop_waits_for_the_beginning_and_spares_the_starter(bare, starter, family):
    leader, left = family
    claimed = records.find(bare, "setup-1")
    assert (claimed.process.pid, claimed.group) == (starter.pid, 0)
    stopping = threading.Thread(target=control.stop, args=(bare, claimed))
    stopping.start()
    note(bare, "setup-1", process=process_of(leader.pid), group=leader.pid)
    stopping.join(DEADLINE_S)
    assert leader.wait(DEADLINE_S) == 143
    wait_until(lambda: not is_alive(left))
    assert starter.poll() is None


def test_a_stop_of_a_job_whose_starter_dies_ends(bare, starter):
    claimed = records.find(bare, "setup-1")
    stopped: list[Job] = []
    stopping = threading.Thread(target=lambda: stopped.append(control.stop(bare, claimed)))
    stopping.start()
    starter.kill()
    stopping.join(DEADLINE_S)
    assert stopped == [claimed]
    assert records.state_of(bare, claimed) == "died"


def test_other_work_is_another_job(bare):
    note(bare, "setup-1")
    assert control._claim(bare, WORK)[0].id == "setup-1"
    for number, work in enumerate(
        [
            replace(WORK, options=("--project", "tiny", "--force")),
            replace(WORK, cache="/elsewhere"),
            replace(WORK, python="3.12"),
        ],
        start=2,
    ):
        job, is_new = control._claim(bare, work)
        assert (job.id, is_new) == (f"setup-{number}", True)
    assert control._claim(bare, replace(WORK, name="download"))[0].id == "download-1"


def test_a_job_elsewhere_is_followed_there_and_not_stopped_from_here(bare):
    job = note(bare, "setup-1", process=ELSEWHERE, group=os.getpid())
    assert records.state_of(bare, job) == "running"
    assert control._claim(bare, WORK) == (job, False)
    with pytest.raises(JobError, match=r"runs as process 7 on elsewhere, not here: stop it there"):
        control.stop(bare, job)
    said: list[bytes] = []

    def hear(block: bytes) -> None:
        """The job ends while the first thing that it said is handed on."""
        if not said:
            with records.log_of(bare, "setup-1").open("ab") as log:
                log.write(b"and its last words\n")
            records.write(records.record_of(bare, "setup-1"), replace(job, exit_code=1))
        said.append(block)

    assert records.state_of(bare, control.follow(bare, job, hear)) == "failed"
    assert b"".join(said) == b"setup-1 said this\nand its last words\n"


def test_a_job_elsewhere_that_is_silent_died(bare):
    job = note(bare, "setup-1", process=ELSEWHERE)
    silence(records.record_of(bare, "setup-1"))
    assert records.state_of(bare, job) == "died"
    assert control.stop(bare, job) == job
    assert control._claim(bare, WORK)[0].id == "setup-2"


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", '{"id": 1}', "\0" * 700, "[" * 100_000, b"\xff\xfe"],
)
def test_what_cannot_be_read_is_named_and_in_nobodys_way(bare, caplog, content):
    path = records.record_of(bare, "setup-3")
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    note(bare, "setup-1")
    assert [job.id for job in records.all_jobs(bare)] == ["setup-1"]
    assert f"{path} is damaged" in caplog.text
    with pytest.raises(JobError, match=r"setup-3\.json is damaged"):
        records.find(bare, "setup-3")
    new, _ = control._claim(bare, replace(WORK, cache="/elsewhere"))
    assert new.id == "setup-4"
    assert records.removable(bare) == []  # whose it is, is not known: it may be in work
    silence(path)
    assert records.removable(bare) == [path]


def test_a_log_that_is_gone_is_said(bare):
    job = note(bare, "setup-1", exit_code=0)
    records.log_of(bare, "setup-1").unlink()
    with pytest.raises(JobError, match=r"Job setup-1 has no log"):
        control.follow(bare, job, lambda _: None)
