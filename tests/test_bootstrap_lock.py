"""Two writers at once, as processes."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from volume_bootstrap import lock
from volume_bootstrap.layout import Volume

ROOT = Path(__file__).resolve().parent.parent
WRITER = """
import pathlib, sys, time
from volume_bootstrap.layout import Volume
from volume_bootstrap.lock import writing
root, name, seconds = sys.argv[1:]
with writing(Volume(pathlib.Path(root))):
    with open(root + "/log", "a") as log:
        log.write(f"{name} in\\n"); log.flush()
        time.sleep(float(seconds))
        log.write(f"{name} out\\n")
"""


def start(root: Path, name: str, seconds: float) -> subprocess.Popen:
    command = [sys.executable, "-c", WRITER, str(root), name, str(seconds)]
    return subprocess.Popen(command, cwd=ROOT)


def wait_for(path: Path, text: str) -> None:
    for _ in range(400):
        if path.exists() and text in path.read_text():
            return
        time.sleep(0.02)
    pytest.fail(f"{path} never said {text}")


def test_writers_take_turns(tmp_path):
    writers = [start(tmp_path, str(number), 0.05) for number in range(6)]
    assert [writer.wait(60) for writer in writers] == [0] * 6
    lines = (tmp_path / "log").read_text().split("\n")[:-1]
    assert len(lines) == 12
    for entered, left in zip(lines[::2], lines[1::2], strict=True):
        assert (entered.split()[0], entered.split()[1]) == (left.split()[0], "in")
    assert list((tmp_path / ".metadata").iterdir()) == []


def test_a_killed_writer_is_taken_over(tmp_path):
    dead = start(tmp_path, "dead", 60)
    wait_for(tmp_path / "log", "dead in")
    dead.send_signal(signal.SIGKILL)
    dead.wait()
    assert (tmp_path / ".metadata" / "lock").exists()
    assert start(tmp_path, "next", 0).wait(30) == 0
    assert "next out" in (tmp_path / "log").read_text()
    assert list((tmp_path / ".metadata").iterdir()) == []


def held_elsewhere(volume: Volume, silent_s: float) -> Path:
    """A lock of another machine that was last touched so long ago."""
    volume.metadata.mkdir()
    path = volume.metadata / "lock"
    path.write_text(json.dumps({"host": "elsewhere", "pid": 1, "started": "9", "token": "t"}))
    now = time.time()
    os.utime(path, (now - silent_s, now - silent_s))
    return path


def test_a_silent_writer_on_another_machine_is_taken_over(tmp_path):
    volume = Volume(tmp_path)
    path = held_elsewhere(volume, lock.DEAD_AFTER_S + 5)
    with lock.writing(volume):
        assert json.loads(path.read_text())["host"] == socket.gethostname()
    assert not path.exists()


def test_a_living_writer_on_another_machine_is_waited_for(tmp_path):
    volume = Volume(tmp_path)
    path = held_elsewhere(volume, 1)
    writer = start(tmp_path, "patient", 0)
    time.sleep(1.5)
    assert writer.poll() is None
    path.unlink()
    assert writer.wait(30) == 0


def test_a_process_that_got_a_dead_holders_number_holds_nothing(tmp_path):
    volume = Volume(tmp_path)
    path = held_elsewhere(volume, 1)
    mine = {"host": socket.gethostname(), "pid": os.getpid(), "started": "1", "token": "t"}
    path.write_text(json.dumps(mine))
    with lock.writing(volume):
        assert json.loads(path.read_text())["token"] != "t"


def test_a_damaged_lock_goes_by_its_silence(tmp_path):
    volume = Volume(tmp_path)
    path = held_elsewhere(volume, 1)
    path.write_text("{")
    assert lock.holder(volume) == "process 0 on an unknown machine"
    os.utime(path, (0, 0))
    with lock.writing(volume):
        assert lock.holder(volume) == f"process {os.getpid()} on {socket.gethostname()}"
    assert lock.holder(volume) is None


def test_a_holder_keeps_the_lock_warm(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "HEARTBEAT_S", 0.05)
    volume = Volume(tmp_path)
    with lock.writing(volume):
        path = volume.metadata / "lock"
        os.utime(path, (0, 0))
        for _ in range(100):
            if path.stat().st_mtime > 0:
                break
            time.sleep(0.02)
        assert path.stat().st_mtime > time.time() - 30
