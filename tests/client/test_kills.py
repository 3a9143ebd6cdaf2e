"""A client that is killed at any moment: nothing is done twice, no result is half written."""

import json
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from client.journal import FILE
from tests.client.processes import TO_LOOPBACK, command, environment, names_of_jobs, run
from tests.client.stand_in import reply_to
from tests.platform import until

NAMES = [f"{number:02d}.wav" for number in range(12)]
FORMATS = ("json", "srt", "rttm")
KILLS = 12
LONGEST_S = 2.5
"""A client is up after half a second, and done with all after two."""

pytestmark = pytest.mark.usefixtures("stand_in")


def arguments(folder: Path, out: Path, *more: str) -> list[str | Path]:
    asked = ["--formats", ",".join(FORMATS), "--parallel", "3", "--option", "seconds=0.1", *more]
    return ["submit", folder, "--out", out, *TO_LOOPBACK, *asked]


def check_whole(out: Path) -> None:
    """What has its name is complete."""
    for file in out.glob("[0-9]*"):
        stem, _, kind = file.name.partition(".wav.")
        text = file.read_text()
        if kind == "json":
            asked = {"task": "transcript", "audio": {"id": stem}, "formats": FORMATS}
            expected = reply_to(asked)
            expected.pop("files")
            assert json.loads(text) == expected
        else:
            assert text == f"{kind} of {stem}\n"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_kills_at_random_moments(platform, calls, tmp_path, seed):
    folder, out = calls(*NAMES), tmp_path / "out"
    env = environment(platform)
    chosen = random.Random(seed)
    num_killed = 0
    for _ in range(KILLS):
        with subprocess.Popen(
            command(arguments(folder, out)),
            env=env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as client:
            time.sleep(chosen.uniform(0.4, LONGEST_S))
            num_killed += client.poll() is None
            client.kill()
        check_whole(out)
        jobs = names_of_jobs(platform)
        assert len(jobs) == len(set(jobs)), "a file was sent twice"
    last = run(*arguments(folder, out), env=env)
    check_whole(out)
    jobs = names_of_jobs(platform)
    assert len(jobs) == len(set(jobs))
    # A kill in the midst of a call leaves what no client can know; it is said, and not sent again.
    num_unclear = last.stdout.count("? unclear")
    assert len(list(out.glob("*.json"))) == len(NAMES) - num_unclear
    assert last.returncode == (1 if num_unclear else 0), last.stderr
    assert num_killed > 0
    again = run(*arguments(folder, out, "--resubmit"), env=env)
    assert again.returncode == 0, again.stderr
    assert len(list(out.glob("*.json"))) == len(NAMES)
    assert len(names_of_jobs(platform)) <= len(NAMES) + num_unclear


STEP = """
import os, signal, sys
from pathlib import Path
from client import cli, journal, outputs, session

def killed(*_): os.kill(os.getpid(), signal.SIGKILL)

step = sys.argv.pop(1)
session.GONE_PAUSES_S = (0.01, 0.01)
write = journal.Journal.write
if step == "torn":
    journal._write_all = lambda file, line: (os.write(file, line[:30]), killed())
elif step == "half":
    outputs._write = lambda file, content: (file.write_bytes(content[:5]), killed())
elif step == "rename":
    Path.replace = killed
else:
    def write_and_die(self, entry):
        write(self, entry)
        if entry.state == step:
            killed()
    journal.Journal.write = write_and_die
cli.main()
"""
"""The client, killed at a step of its own: where the journal has a line, and before and after."""


@pytest.mark.parametrize(
    ("step", "num_jobs", "is_unclear"),
    [
        ("torn", 1, False),  # no line was written: no job was sent
        ("submitting", 1, True),
        ("submitted", 1, False),
        ("half", 1, False),
        ("rename", 1, False),
        ("done", 1, False),
    ],
)
def test_a_kill_at_each_step(platform, calls, tmp_path, step, num_jobs, is_unclear):
    folder, out = calls("00.wav"), tmp_path / "out"
    env = environment(platform)
    program = [sys.executable, "-c", STEP, step, *map(str, arguments(folder, out))]
    killed = subprocess.run(program, env=env, check=False, capture_output=True, timeout=60)
    assert killed.returncode == -9, killed.stderr
    check_whole(out)
    if step in ("rename", "done"):  # what lies there is enough, though the platform forgets
        until(lambda: platform.jobs()[0]["status"] == "COMPLETED")
        platform.forget(platform.jobs()[0]["id"])
        num_jobs = 0
    done = run(*arguments(folder, out), env=env)
    if is_unclear:
        assert (done.returncode, done.stdout.count("? unclear")) == (1, 1)
        assert "--resubmit" in done.stdout
        assert platform.jobs() == []
        done = run(*arguments(folder, out, "--resubmit"), env=env)
    assert done.returncode == 0, done.stderr
    check_whole(out)
    assert len(list(out.glob("00.wav.*"))) == len(FORMATS)
    assert len(platform.jobs()) == num_jobs
    assert not list(out.glob("*.partial"))


def test_a_job_whose_result_is_gone_is_sent_again(platform, calls, tmp_path):
    folder, out = calls("00.wav"), tmp_path / "out"
    env = environment(platform)
    program = [sys.executable, "-c", STEP, "submitted", *map(str, arguments(folder, out))]
    subprocess.run(program, env=env, check=False, capture_output=True, timeout=60)
    platform.forget(platform.jobs()[0]["id"])
    program[3] = "none"  # ends by itself
    done = subprocess.run(program, env=env, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "does not know the job" in done.stderr
    assert "It is sent again." in done.stderr
    assert len(platform.jobs()) == 1
    assert (out / FILE).read_text().count('"submitting"') == 2
