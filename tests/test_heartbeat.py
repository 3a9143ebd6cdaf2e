import json
import os
import subprocess
import sys
from pathlib import Path

from tests.wheels import ROOT
from volume_bootstrap.layout import Volume
from worker import heartbeat


def test_the_file_names_the_generation_and_is_touched(tmp_path, monkeypatch):
    monkeypatch.setattr(heartbeat, "WORKER_BEAT_S", 0.02)
    path = heartbeat.start(Volume(tmp_path), "abc-1")
    assert json.loads(path.read_text()) == {"generation": "abc-1"}
    os.utime(path, (0, 0))
    while path.stat().st_mtime == 0:
        pass
    path.unlink()  # its thread ends with that


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
