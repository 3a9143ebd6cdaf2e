"""Two writers at once, as processes."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from volume_bootstrap import lock
from volume_bootstrap.errors import VolumeError
from volume_bootstrap.layout import Volume

ROOT = Path(__file__).resolve().parent.parent
WRITER = """
import logging, pathlib, signal, sys, time
from volume_bootstrap import lock
from volume_bootstrap.layout import Volume
logging.basicConfig(format="%(message)s")
# As the command line does.
signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
root, name, seconds, poll = sys.argv[1:]
lock.HEARTBEAT_S, lock.POLL_S = 0.05, float(poll)
with lock.writing(Volume(pathlib.Path(root))):
    with open(root + "/log", "a") as log:
        log.write(f"{name} in\\n"); log.flush()
        time.sleep(float(seconds))
        log.write(f"{name} out\\n")
"""
ALONE = ["unshare", "--user", "--map-root-user"]


def start(
    root: Path, name: str, seconds: float, *prefix: str, poll_s: float = 0.05
) -> subprocess.Popen:
    numbers = [str(seconds), str(poll_s)]
    command = [*prefix, sys.executable, "-c", WRITER, str(root), name, *numbers]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)


def wait_for(path: Path, text: str) -> None:
    for _ in range(1000):
        if path.exists() and text in path.read_text():
            return
        time.sleep(0.02)
    pytest.fail(f"{path} never said {text}")


def drafts(root: Path) -> list[Path]:
    return list((root / ".metadata").glob("lock.*"))


@pytest.fixture
def namespaces() -> None:
    """What a few of these tests stand on; a container may have to be allowed to make them."""
    tried = [*ALONE, "--mount", "--pid", "--fork", "--mount-proc", "true"]
    is_there = shutil.which("unshare") is not None
    if not is_there or subprocess.run(tried, check=False, stderr=subprocess.DEVNULL).returncode:
        pytest.fail("this machine gives no namespaces (unshare --user --mount --pid)")


def on_disk(options: str, root: Path, program: str) -> list[str]:
    """Run a program on an empty file system that is mounted at `root`; lines that it printed."""
    script = 'mount -t tmpfs -o "$1" none "$2" && exec "$3" -c "$4" "$2"'
    imports = "import pathlib, subprocess, sys\nfrom volume_bootstrap import lock\n"
    imports += "from volume_bootstrap.layout import Volume\nroot = pathlib.Path(sys.argv[1])\n"
    arguments = [options, str(root), sys.executable, imports + program]
    command = [*ALONE, "--mount", "sh", "-c", script, "sh", *arguments]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.splitlines()


def test_writers_take_turns(tmp_path):
    writers = [start(tmp_path, str(number), 0.05) for number in range(6)]
    for writer in writers:
        writer.communicate(timeout=60)
        assert writer.returncode == 0
    lines = (tmp_path / "log").read_text().split("\n")[:-1]
    assert len(lines) == 12
    for entered, left in zip(lines[::2], lines[1::2], strict=True):
        assert (entered.split()[0], entered.split()[1]) == (left.split()[0], "in")
    assert list((tmp_path / ".metadata").iterdir()) == []


@pytest.mark.parametrize("is_reaped", [True, False])
def test_a_killed_writer_is_taken_over(tmp_path, is_reaped):
    with start(tmp_path, "dead", 60) as dead:
        wait_for(tmp_path / "log", "dead in")
        dead.send_signal(signal.SIGKILL)
        if is_reaped:
            dead.wait()
        assert (tmp_path / ".metadata" / "lock").exists()
        _, log = start(tmp_path, "next", 0).communicate(timeout=30)
    assert f"taking over from process {dead.pid} on" in log
    assert "next out" in (tmp_path / "log").read_text()
    assert list((tmp_path / ".metadata").iterdir()) == []


def held_elsewhere(volume: Volume, silent_s: float) -> Path:
    """A lock of another machine that was last touched so long ago."""
    volume.metadata.mkdir(exist_ok=True)
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
    path = held_elsewhere(Volume(tmp_path), 1)
    with start(tmp_path, "patient", 0) as writer:
        told = f"waiting for process 1 on elsewhere, which is writing to {tmp_path}\n"
        assert writer.stderr.readline() == told
        path.unlink()
        assert writer.communicate(timeout=30) == (None, "")
    assert writer.returncode == 0


@pytest.mark.usefixtures("namespaces")
@pytest.mark.parametrize("own_proc", [["--mount-proc"], []])
def test_a_number_in_another_container_is_another_process(tmp_path, own_proc):
    """The hostname is the same; a process with that number is here, too, or is not."""
    prefix = [*ALONE, "--mount", "--pid", "--fork", "--kill-child", *own_proc]
    with start(tmp_path, "contained", 60, *prefix) as contained:
        wait_for(tmp_path / "log", "contained in")
        path = tmp_path / ".metadata" / "lock"
        record = json.loads(path.read_text())
        assert record["host"] == socket.gethostname()
        assert (record["pid"] == 1) == bool(own_proc)
        with start(tmp_path, "outside", 0) as outside:
            told = f"waiting for process {record['pid']} on {socket.gethostname()}, which is"
            assert outside.stderr.readline().startswith(told)
            contained.kill()
            contained.wait()
            os.utime(path, (0, 0))  # its silence tells
            assert "taking over from" in outside.communicate(timeout=30)[1]
    assert "outside out" in (tmp_path / "log").read_text()


def test_a_process_that_got_a_dead_holders_number_holds_nothing(tmp_path):
    volume = Volume(tmp_path)
    path = held_elsewhere(volume, 1)
    with lock.writing(Volume(tmp_path / "other")):
        mine = json.loads((tmp_path / "other" / ".metadata" / "lock").read_text())
    assert mine["pid"] == os.getpid()
    path.write_text(json.dumps({**mine, "started": "1"}))
    assert lock.holder(volume) is None
    with lock.writing(volume):
        assert json.loads(path.read_text())["token"] != mine["token"]


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"surprise": 1}'])
def test_a_damaged_lock_goes_by_its_silence(tmp_path, text):
    volume = Volume(tmp_path)
    path = held_elsewhere(volume, 1)
    path.write_text(text)
    assert lock.holder(volume) == "a process that could not write its name"
    os.utime(path, (0, 0))
    assert lock.holder(volume) is None
    with lock.writing(volume):
        assert lock.holder(volume) == f"process {os.getpid()} on {socket.gethostname()}"
    assert lock.holder(volume) is None
    assert list(volume.metadata.iterdir()) == []


def test_a_dead_holder_is_not_named(tmp_path):
    volume = Volume(tmp_path)
    held_elsewhere(volume, 1)
    assert lock.holder(volume) == "process 1 on elsewhere"
    held_elsewhere(volume, lock.DEAD_AFTER_S + 5)
    assert lock.holder(volume) is None
    assert drafts(tmp_path) == []


def test_a_holder_keeps_the_lock_warm(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "HEARTBEAT_S", 0.05)
    volume = Volume(tmp_path)
    with lock.writing(volume):
        path = volume.metadata / "lock"
        os.utime(path, (0, 0))
        for _ in range(1000):
            if path.stat().st_mtime > 0:
                break
            time.sleep(0.02)
        assert path.stat().st_mtime > time.time() - 30


@pytest.mark.parametrize("taken_by", [None, "elsewhere"])
def test_a_run_that_lost_the_lock_ends(tmp_path, taken_by):
    with start(tmp_path, "loser", 60) as loser:
        wait_for(tmp_path / "log", "loser in")
        path = tmp_path / ".metadata" / "lock"
        path.unlink()
        if taken_by:
            held_elsewhere(Volume(tmp_path), 0)
        _, log = loser.communicate(timeout=30)
    name = f"process 1 on {taken_by}" if taken_by else "nobody"
    assert f"{path} was lost: {name} holds it now. This run stops." in log
    assert loser.returncode == 128 + signal.SIGTERM
    assert path.exists() == bool(taken_by)
    assert drafts(tmp_path) == []


def test_a_lock_that_is_given_back_is_not_lost(tmp_path):
    """One that takes over from a dead holder may have another's lock in its hand for a moment."""
    with start(tmp_path, "holder", 60, poll_s=60) as holder:
        wait_for(tmp_path / "log", "holder in")
        path = tmp_path / ".metadata" / "lock"
        aside = path.with_name("aside")
        path.rename(aside)
        time.sleep(0.3)  # several beats
        aside.rename(path)
        holder.terminate()
        assert holder.communicate(timeout=30) == (None, "")
    assert not path.exists()


def test_drafts_of_killed_processes_go_and_others_stay(tmp_path):
    volume = Volume(tmp_path)
    volume.metadata.mkdir()
    old, new = (volume.metadata / f"lock.{digit * 32}" for digit in "ab")
    manifest = volume.manifest("lock.project")
    for path in (old, new, manifest):
        path.touch()
    for path in (old, manifest):
        os.utime(path, (0, 0))
    with lock.writing(volume):
        pass
    assert sorted(volume.metadata.iterdir()) == sorted([new, manifest])


@pytest.mark.usefixtures("namespaces")
def test_a_full_volume_can_be_locked_so_that_room_can_be_made(tmp_path):
    other = "from pathlib import Path; from volume_bootstrap import lock, layout; "
    other += "print(lock.holder(layout.Volume(Path({str(root)!r}))), flush=True)"
    program = f"""
volume = Volume(root)
volume.metadata.mkdir()
try:
    (root / "fill").write_bytes(bytes(1 << 20))
except OSError:
    pass
lock.HEARTBEAT_S = 0.02
with lock.writing(volume):
    subprocess.run([sys.executable, "-c", f"{other}"], check=True)
    import os, time
    os.utime(volume.metadata / "lock", (0, 0))
    while (volume.metadata / "lock").stat().st_mtime == 0:
        time.sleep(0.01)
    (root / "fill").unlink()
with lock.writing(volume):
    print(lock.holder(volume) is not None, [p.name for p in volume.metadata.iterdir()])
print(list(volume.metadata.iterdir()))
"""
    assert on_disk("size=200k", tmp_path, program) == [
        "a process that could not write its name",
        "True ['lock']",
        "[]",
    ]


REFUSED = """
(root / ".metadata").mkdir()
{before}
try:
    with lock.writing(Volume(root)):
        print("in")
except lock.VolumeError as error:
    print(error)
print(list((root / ".metadata").iterdir()))
"""
READ_ONLY = 'subprocess.run(["mount", "-o", "remount,ro", str(root)], check=True)'


@pytest.mark.usefixtures("namespaces")
@pytest.mark.parametrize(
    ("options", "before", "reason", "advice"),
    [
        # The folders take two; a draft, or its link, would be the third or the fourth.
        ("nr_inodes=2", "", "No space left on device", "Remove files from it"),
        ("nr_inodes=3", "", "No space left on device", "Remove files from it"),
        ("size=1m", READ_ONLY, "Read-only file system", "Mount it so that this user may write."),
    ],
)
def test_a_volume_that_cannot_be_written_to_is_named(tmp_path, options, before, reason, advice):
    told, left = on_disk(options, tmp_path, REFUSED.format(before=before))
    assert told.startswith(f"{tmp_path} cannot be written to: {reason} ({tmp_path}/.metadata). ")
    assert advice in told
    assert left == "[]"


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path):
    (tmp_path / ".metadata").touch()
    refused = pytest.raises(VolumeError, match=r"cannot be written to: File exists")
    with refused as caught, lock.writing(Volume(tmp_path)):
        pytest.fail("nothing can be locked there")
    assert isinstance(caught.value.__cause__, FileExistsError)


@pytest.mark.usefixtures("namespaces")
def test_the_holder_is_told_on_a_read_only_volume(tmp_path):
    program = f"""
import os, time
volume = Volume(root)
volume.metadata.mkdir()
path = volume.metadata / "lock"
path.write_text('{{"token": "t", "host": "elsewhere", "pid": 1}}')
{READ_ONLY}
print(lock.holder(volume))
from volume_bootstrap import processes
processes.DEAD_AFTER_S = -60
print(lock.holder(volume))
"""
    assert on_disk("size=1m", tmp_path, program) == ["process 1 on elsewhere", "None"]


@pytest.mark.usefixtures("namespaces")
def test_a_touch_that_fails_is_a_warning(tmp_path):
    program = """
import logging, os, threading, time
warned = threading.Event()
handler = logging.Handler()
handler.emit = lambda record: (print(record.getMessage()), warned.set())
logging.getLogger().addHandler(handler)
def remount(how):
    subprocess.run(["mount", "-o", "remount," + how, str(root)], check=True)
lock.HEARTBEAT_S = 0.02
with lock.writing(Volume(root)):
    path = root / ".metadata" / "lock"
    os.utime(path, (0, 0))
    remount("ro")
    warned.wait()
    remount("rw")
    os.utime(path, (0, 0))
    while path.stat().st_mtime == 0:
        time.sleep(0.01)
"""
    told = on_disk("size=1m", tmp_path, program)
    assert f"{tmp_path}/.metadata/lock cannot be touched: [Errno 30] Read-only" in told[0]
