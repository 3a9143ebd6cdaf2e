"""Temporary folders of jobs: gone with the job, or with the next worker."""

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
