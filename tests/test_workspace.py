"""Temporary folders of jobs: gone with the job, or with the next worker."""

import fcntl
import socket
import subprocess
import sys
import tempfile

import pytest

from tests.wheels import ROOT
from worker.workspace import clear, workspace

PROGRAM = """
import sys
from worker.workspace import workspace
with workspace() as folder:
    (folder / "samples.f32").write_bytes(bytes(1000))
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """A folder for temporary files of this test alone."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def test_it_is_gone_after_the_job(temporary):
    with workspace() as folder:
        (folder / "0").mkdir()
        assert list(temporary.iterdir()) == [folder]
    assert list(temporary.iterdir()) == []


def test_that_of_a_dead_process_is_removed_and_that_of_a_living_one_is_not(temporary):
    other = temporary / "else"
    other.mkdir()
    (temporary / "speech-job-file").touch()
    pipe = subprocess.PIPE
    with (
        workspace() as own,
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM], cwd=ROOT, stdin=pipe, stdout=pipe
        ) as process,
    ):
        assert process.stdout is not None
        process.stdout.readline()
        clear()
        assert len(list(temporary.glob("speech-job-*/"))) == 2
        process.kill()
        process.wait()
        clear()
        assert list(temporary.glob("speech-job-*/")) == [own]
        assert other.exists()


def test_one_that_another_worker_removes_before_it_is_locked_is_made_anew(temporary, monkeypatch):
    lock = fcntl.flock
    cleared = []

    def clear_first(handle: int, how: int) -> None:
        if not cleared:
            program = "from worker.workspace import clear; clear()"
            cleared.append(subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True))
        lock(handle, how)

    monkeypatch.setattr(fcntl, "flock", clear_first)
    with workspace() as folder:
        assert cleared
        assert list(temporary.iterdir()) == [folder]
    assert list(temporary.iterdir()) == []


def test_that_of_another_machine_is_left_alone(temporary, monkeypatch):
    def leave(host: str) -> str:
        monkeypatch.setattr(socket, "gethostname", lambda: host)
        with workspace() as folder:
            name = folder.name
        (temporary / name).mkdir()
        return name

    other, own = leave("b"), leave("a")
    assert other != own
    clear()
    assert [folder.name for folder in temporary.iterdir()] == [other]
