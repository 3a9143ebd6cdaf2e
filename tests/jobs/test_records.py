"""Records of jobs: which end they tell of, and which of them may go."""

import itertools
import threading
from dataclasses import replace

import pytest

from tests.jobs import WORK, note, wait_until
from volume_bootstrap.errors import JobError
from volume_bootstrap.jobs import control, records
from volume_bootstrap.jobs.records import Job
from volume_bootstrap.processes import myself


def test_an_end_that_was_noted_meanwhile_counts(bare):
    """The record was read before the job noted its end, the process looked for afterwards."""
    before = note(bare, "setup-1", process=replace(myself(), started="1"))
    note(bare, "setup-1", process=before.process, exit_code=0)
    assert records.state_of(bare, before) == "done"


def test_another_process_of_the_same_number_is_not_the_job(bare):
    job = note(bare, "setup-1", process=replace(myself(), started="1"))
    assert records.state_of(bare, job) == "died"
    assert control.stop(bare, job) == job  # and this one lives to tell


def test_the_last_ones_are_kept(bare):
    for number in range(1, 26):
        began = f"2026-01-01T00:00:{number:02}+00:00"
        note(bare, f"setup-{number}", began=began, exit_code=number % 2)
    note(bare, "setup-26", began="2025-01-01T00:00:00+00:00")
    (records.folder_of(bare) / "draft.0123").touch()
    gone = {path.name for path in records.removable(bare, kept=records.KEPT)}
    assert gone == {"draft.0123"} | {
        f"setup-{number}{suffix}" for number in range(1, 6) for suffix in (".json", ".log")
    }
    left = {path.name for path in records.folder_of(bare).iterdir()}
    assert left - {path.name for path in records.removable(bare)} == {
        "setup-26.json",
        "setup-26.log",
    }


def test_what_others_left_under_names_of_their_own_stays(bare):
    """Such as the file that NFS keeps of a log that is removed while somebody reads it."""
    folder = records.folder_of(bare)
    note(bare, "setup-1", exit_code=0)
    for name in ("setup-1.end", "setup-1.json.partial", "draft.0123"):
        (folder / name).touch()
    for name in (".nfs0001", "notes.txt", "setup-1.old", "setup-01.log", "drafts"):
        (folder / name).touch()
    gone = [path.name for path in records.removable(bare)]
    # The record is the last: until then nobody else gets the number.
    assert gone[-1] == "setup-1.json"
    assert set(gone) == {
        "setup-1.end",
        "setup-1.json",
        "setup-1.json.partial",
        "setup-1.log",
        "draft.0123",
    }


def test_jobs_that_begin_meanwhile_are_not_removed(bare):
    for number in range(1, 101):  # each of them takes a look at the clock
        records.record_of(bare, f"setup-{number}").touch()
    ends = threading.Event()

    def claim() -> None:
        for number in itertools.count(1):
            job = Job(f"download-{number}", WORK, myself(), 0, "2026-01-01T00:00:00+00:00")
            assert control._create(records.record_of(bare, job.id), job)
            records.log_of(bare, job.id).touch()
            if ends.is_set():
                return

    claims = threading.Thread(target=claim, daemon=True)
    claims.start()
    wait_until(records.log_of(bare, "download-1").exists)
    gone = {path.name for _ in range(5) for path in records.removable(bare)}
    ends.set()
    claims.join()
    assert {name for name in gone if not name.startswith("draft.")} == set()


@pytest.mark.parametrize("job_id", ["", "..", "../lock", "setup", "setup-2", "setup-01", "x/y-1"])
def test_a_job_that_is_not_there_is_said(bare, job_id):
    note(bare, "setup-1")
    with pytest.raises(JobError, match=r"has no job .*; it has: setup-1\."):
        records.find(bare, job_id)
