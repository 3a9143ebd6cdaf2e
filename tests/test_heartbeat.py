import atexit
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.wheels import ROOT
from volume_bootstrap.layout import Volume
from worker import heartbeat


@pytest.fixture
def ended(monkeypatch):
    """What runs when the interpreter ends, run at the end of the test."""
    monkeypatch.setattr(heartbeat, "WORKER_BEAT_S", 0.02)
    before = set(threading.enumerate())
    with monkeypatch.context() as patched:
        callbacks = []
        patched.setattr(atexit, "register", lambda *call: callbacks.append(call))
        yield
    for function, *arguments in callbacks:
        function(*arguments)
    assert "heartbeat" not in {thread.name for thread in set(threading.enumerate()) - before}


def wait_until(condition: Callable[[], bool]) -> None:
    """Fail where a beat, of a few hundredths of a second here, never brings it about."""
    for _ in range(1_000):
        if condition():
            return
        time.sleep(0.01)
    pytest.fail("no beat brought it about")


@pytest.mark.usefixtures("ended")
def test_the_file_names_the_generation_and_is_touched(tmp_path):
    path = heartbeat.start(Volume(tmp_path), "abc-1")
    assert json.loads(path.read_text()) == {"generation": "abc-1"}
    os.utime(path, (0, 0))
    wait_until(lambda: path.stat().st_mtime > 0)


@pytest.mark.usefixtures("ended")
def test_a_file_that_was_taken_away_is_written_again(tmp_path):
    """Of a worker that was frozen for so long that it counted as gone."""
    path = heartbeat.start(Volume(tmp_path), "abc-1")
    for take_away in (path.unlink, lambda: shutil.rmtree(path.parent)):
        take_away()
        wait_until(path.exists)
        assert json.loads(path.read_text()) == {"generation": "abc-1"}


@pytest.mark.usefixtures("ended")
def test_a_touch_that_fails_is_a_warning_and_not_the_last(tmp_path, caplog):
    path = heartbeat.start(Volume(tmp_path), "abc-1")
    shutil.rmtree(path.parent)
    path.parent.write_text("")
    wait_until(lambda: "cannot be touched" in caplog.text)
    path.parent.unlink()
    wait_until(path.exists)
    assert json.loads(path.read_text()) == {"generation": "abc-1"}


def test_a_volume_that_cannot_be_written_to_is_no_reason_to_stop(tmp_path, caplog):
    (tmp_path / ".metadata").write_text("")
    assert heartbeat.start(Volume(tmp_path), "abc-1") is None
    assert "A provisioner will not see this worker" in caplog.text


def test_a_process_that_the_worker_forked_leaves_the_file(tmp_path):
    program = """
import os, pathlib, sys
from volume_bootstrap.layout import Volume
from worker import heartbeat
path = heartbeat.start(Volume(pathlib.Path(sys.argv[1])), "abc-1")
if os.fork() == 0:
    sys.exit()
os.wait()
assert path.exists()
"""
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, check=True)
    assert list(Path(tmp_path, ".metadata", "workers").iterdir()) == []
