"""Programs that fail, that are interrupted, and that leave others behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from volume_bootstrap.errors import ToolError
from volume_bootstrap.processes import started
from volume_bootstrap.runner import run

# As the command line does it.
INTERRUPTIBLE = """
import os, signal, subprocess, sys, threading, time
from volume_bootstrap.runner import run
signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
"""
# The signal comes when the program runs, and Popen has not told of it yet.
IN_POPEN = (
    INTERRUPTIBLE
    + """
fork = subprocess.Popen._execute_child
def execute(self, *arguments):
    fork(self, *arguments)
    print(self.pid, flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.2)
subprocess.Popen._execute_child = execute
run(["sleep", "60"], {})
"""
)
# The signal comes when the program has started another, which holds its output.
IN_TALK = (
    INTERRUPTIBLE
    + """
def interrupt():
    while not os.path.exists(sys.argv[1]):
        time.sleep(0.02)
    os.kill(os.getpid(), signal.SIGTERM)
threading.Thread(target=interrupt).start()
run(["sh", "-c", sys.argv[2], sys.argv[1]], {})
"""
)
LEAVES = 'sleep 60 %s& echo $! > "$0.new"; mv "$0.new" "$0"; echo begun >&2; '
"""A program that starts another and names it."""
TIMEOUTS_S = (1, 5, 25)
"""How long a program may take, until one is enough on this machine for it to begin."""
ENDED_BY_SIGTERM = 143


@pytest.fixture
def left(tmp_path: Path) -> Iterator[Path]:
    """Where LEAVES notes what it started; that is ended."""
    note = tmp_path / "left"
    yield note
    os.kill(int(note.read_text()), signal.SIGKILL)


def interrupted(program: str, *arguments: str) -> str:
    """Run a program that gets a SIGTERM; its output."""
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == ENDED_BY_SIGTERM
    return done.stdout


def test_a_program_that_fails_is_told_with_its_output():
    program = "import sys; print('half done'); sys.stderr.buffer.write(b'b\\xffd'); sys.exit(3)"
    with pytest.raises(ToolError, match=r"(?s)exit code 3.*half done\n  b\ufffdd"):
        run([sys.executable, "-c", program], {})


def test_a_program_that_says_nothing_is_told_so():
    with pytest.raises(ToolError, match=r"^false failed with exit code 1; it said nothing\.$"):
        run(["false"], {})


def test_a_program_that_is_not_there_is_named():
    with pytest.raises(ToolError, match="no-such-program cannot be started: No such file"):
        run(["no-such-program"], {})


def test_a_signal_in_the_middle_of_a_start_leaves_nothing_behind():
    pid = int(interrupted(IN_POPEN))
    if is_left := started(pid) is not None:
        os.kill(pid, signal.SIGKILL)
    assert not is_left


def test_an_interrupted_run_does_not_wait_for_what_its_program_left(left):
    interrupted(IN_TALK, str(left), LEAVES % "" + "wait")
    assert started(int(left.read_text()))


@pytest.mark.parametrize(
    ("redirection", "then"), [("", "wait"), ("", "true"), (">&- ", "true"), ("2>&- ", "true")]
)
def test_a_program_that_does_not_end_is_killed(left, redirection, then):
    """Nor is one waited for that it started, and that holds its output or one half of it."""
    for timeout_s in TIMEOUTS_S:
        with pytest.raises(ToolError) as failure:
            run(["sh", "-c", LEAVES % redirection + then, str(left)], {}, timeout_s=timeout_s)
        if "said nothing" not in str(failure.value):
            break
    ending = f" did not end within {timeout_s} s, and was killed:\n  begun"
    assert str(failure.value).startswith("sh -c ")
    assert str(failure.value).endswith(ending)
    assert started(int(left.read_text()))


def test_a_program_that_ends_in_time_is_not_touched():
    assert run(["cat"], {}, text="é" * 200_000, timeout_s=60) == "é" * 200_000
