"""Ctrl-C with ``--cancel-on-interrupt``, and what a terminal shows until then."""

import re
import signal
import subprocess

import pytest

from client import journal
from tests.client.processes import TIMEOUT_S, TO_LOOPBACK, command, environment, run
from tests.platform import until
from tests.terminal import shown

pytestmark = pytest.mark.usefixtures("stand_in")
HOLD = ("--option", "hold=true")


def open_jobs(out) -> list[str]:
    return [entry.name for entry in journal.open_jobs(journal.read(out), "endpoint:loopback")]


def interrupted(platform, file, out) -> str:
    """Start a client whose job does not end, interrupt it; its last words."""
    arguments = ["submit", file, "--out", out, *TO_LOOPBACK, *HOLD, "--cancel-on-interrupt"]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command(arguments), env=environment(platform), stdout=pipe, stderr=pipe, text=True
    ) as client:
        until(lambda: file.name in open_jobs(out))
        client.send_signal(signal.SIGINT)
        _, said = client.communicate(timeout=TIMEOUT_S)
    assert client.returncode == 130, said
    return said


def test_only_the_jobs_of_this_command_are_cancelled(platform, calls, tmp_path):
    folder, out = calls("a.wav", "b.wav"), tmp_path / "out"
    first = ["submit", folder / "a.wav", "--out", out, *TO_LOOPBACK, *HOLD, "--timeout", "0.1"]
    assert run(*first, env=environment(platform)).returncode == 1
    said = interrupted(platform, folder / "b.wav", out)
    assert "jobs that were sent are cancelled or had ended." in said
    states = {job["payload"]["input"]["audio"]["id"]: job["status"] for job in platform.jobs()}
    assert states.pop("b") == "CANCELLED"
    assert states["a"] in ("IN_QUEUE", "IN_PROGRESS")


def test_a_job_that_cannot_be_cancelled_is_told(platform, calls, tmp_path):
    platform.misbehave("cancel", status=400, body="no")
    said = interrupted(platform, calls("a.wav") / "a.wav", tmp_path / "out")
    assert "are cancelled, but for 1 of 1, which may go on." in said


def test_a_job_whose_id_is_not_learned_is_told(platform, calls, tmp_path):
    platform.misbehave("run", do="hang")
    out = tmp_path / "out"
    arguments = ["submit", calls("a.wav"), "--out", out, *TO_LOOPBACK, "--cancel-on-interrupt"]
    with subprocess.Popen(
        command(arguments), env=environment(platform), stderr=subprocess.PIPE, text=True
    ) as client:
        until(lambda: [entry.state for entry in journal.read(out)] == ["submitting"])
        client.send_signal(signal.SIGINT)
        _, said = client.communicate(timeout=TIMEOUT_S)
    assert (client.returncode, "whether 1 more are there is not known" in said) == (130, True), said


def test_a_local_server_cannot_cancel(calls, tmp_path):
    local = ["--url", "http://localhost:1", "--out", tmp_path / "out"]
    done = run("submit", calls("a.wav"), "--cancel-on-interrupt", *local, env=environment())
    assert done.returncode == 2
    assert "--cancel-on-interrupt goes with --endpoint" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_terminal_has_bars(platform, calls, tmp_path):
    folder = calls("[red]a.wav", f"{'x' * 50}.wav")
    progress = 'progress={"stage": "asr", "progress": 0.42}'
    arguments = ["submit", folder, "--out", tmp_path / "out", *TO_LOOPBACK, "--option", progress]
    arguments += ["--option", "seconds=1"]
    found = shown(command(arguments), environment(platform, TERM="xterm-256color"))
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", found.decode())
    assert re.search(r"\[red\]a\.wav +[━╸╺]+ asr 42 %", text)
    assert re.search(r"x+…x+\.wav +[━╸╺]+ asr 42 %", text)
    assert re.search(r"all +[━╸╺]+ 1 of 2", text)
    assert "done in" not in text  # lines are for what is no terminal
    assert found.endswith(b"\x1b[2K")  # bars leave nothing
