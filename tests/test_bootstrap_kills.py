"""The command is killed in the middle: the volume serves as before, the next run finishes."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.wheels import Checkout, make_checkout, make_wheel, snapshot

# Tells that its import has begun and goes on after a minute: time enough to be killed.
WAITS = """
import os, pathlib, time
if gate := os.environ.get("GATE"):
    pathlib.Path(gate + ".new").write_text(str(os.getpid()))
    pathlib.Path(gate + ".new").rename(gate)
    time.sleep(60)
"""


# As a uv that outlives its provisioner: goes on filling a folder that another run takes away.
WRITES = """
import itertools, pathlib, sys
for i in itertools.count():
    folder = pathlib.Path(sys.argv[1], f"package{i % 50}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "__init__.py").write_text("")
    except OSError:
        pass  # it was taken away in between
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return make_checkout(tmp_path / "checkout")


def greeting(checkout: Checkout) -> str:
    """Version of the package in the active generation."""
    (line,) = (checkout.pointer / "greeting" / "__init__.py").read_text().splitlines()[:1]
    return line


def partials(checkout: Checkout) -> list[Path]:
    return list(checkout.volume.rglob("*.partial"))


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    while not path.exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def start(checkout: Checkout, **variables: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        checkout.command(),
        cwd=checkout.root,
        env=checkout.environment(**variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("stage", ["resolve", "import"])
def test_a_kill_leaves_the_volume_and_a_second_run_finishes(checkout, tmp_path, stage):
    assert checkout.setup().returncode == 0
    active, target = checkout.pointer.resolve(), checkout.pointer.readlink()
    before = snapshot(active)
    make_wheel(checkout.wheels, "greeting", "2.0", code=WAITS)
    checkout.describe(["greeting==2.0"], ["greeting"])
    gate = tmp_path / "gate"

    if stage == "resolve":
        # uv waits for an answer of this server, which takes the connection and says nothing.
        with socket.create_server(("127.0.0.1", 0)) as server:
            url = f"http://127.0.0.1:{server.getsockname()[1]}/"
            process = start(checkout, PIP_FIND_LINKS=url, UV_OFFLINE="0", NO_PROXY="*")
            server.settimeout(30)
            connection, _ = server.accept()
            process.kill()
            process.communicate()
            connection.close()
    else:
        process = start(checkout, GATE=str(gate))
        wait_for(gate, process)
        process.kill()
        assert partials(checkout)
        # The process that imports outlives the provisioner; the second run must not mind.
        assert is_alive(int(gate.read_text()))

    assert process.wait() == -signal.SIGKILL
    assert checkout.pointer.readlink() == target
    assert snapshot(active) == before

    again = checkout.setup()
    if stage == "import":
        os.kill(int(gate.read_text()), signal.SIGKILL)
        process.communicate()
    assert again.returncode == 0, again.stderr
    assert greeting(checkout) == "version = '2.0'"
    assert snapshot(active) == before
    assert partials(checkout) == []


def test_a_termination_ends_what_was_started(checkout, tmp_path):
    make_wheel(checkout.wheels, "greeting", "2.0", code=WAITS)
    checkout.describe(["greeting==2.0"], ["greeting"])
    gate = tmp_path / "gate"
    process = start(checkout, GATE=str(gate))
    wait_for(gate, process)
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM
    assert not is_alive(int(gate.read_text()))
    assert not checkout.pointer.exists()


def test_a_kill_between_building_and_switching_is_mended(checkout):
    """What is left then: a whole folder without a pointer, or the pointer's own leftover."""
    checkout.setup()
    (folder,) = checkout.pointer.parent.glob(".generations/*")
    checkout.pointer.rename(checkout.pointer.with_name("tiny.partial"))
    before = snapshot(folder)
    done = checkout.setup()
    assert done.returncode == 0, done.stderr
    assert greeting(checkout) == "version = '1.0'"
    assert checkout.pointer.resolve() == folder  # it is whole, and serves
    assert snapshot(folder) == before
    assert partials(checkout) == []


def test_a_writer_that_outlives_a_kill_is_in_nobodys_way(checkout):
    leftover = checkout.pointer.parent / ".generations" / "0123456789ab-1.partial"
    writer = subprocess.Popen([sys.executable, "-c", WRITES, str(leftover)])
    wait_for(leftover / "package49", writer)
    done = checkout.setup()
    assert writer.poll() is None
    writer.kill()
    writer.wait()
    assert done.returncode == 0, done.stderr
    generation = checkout.pointer.resolve()
    assert [path.parent.name for path in generation.glob("*/__init__.py")] == ["greeting"]
