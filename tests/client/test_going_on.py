"""What a second command makes of what the first has left in the journal."""

import json
import os
import subprocess
import sys

import pytest

from client import Client, errors, session
from client.journal import FILE
from tests.client.processes import TO_LOOPBACK, environment, names_of_jobs, run
from tests.client.stand_in import reply_to
from tests.client.waits import Waits
from tests.platform import until

pytestmark = pytest.mark.usefixtures("stand_in")
IMPATIENT = """
from client import cli, session

session.GONE_PAUSES_S = (0.01, 0.01)
cli.main()
"""
"""The client, which asks for a job that is not known for less long."""


@pytest.fixture
def submit(platform, tmp_path):
    def submit_these(*arguments: object) -> subprocess.CompletedProcess:
        options = ["--out", tmp_path / "out", *TO_LOOPBACK, *arguments]
        return subprocess.run(
            [sys.executable, "-c", IMPATIENT, "submit", *map(str, options)],
            env=environment(platform),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    return submit_these


def test_a_job_that_is_not_known_is_asked_for_during_a_minute(loopback, calls):
    waits = Waits()
    with Client(endpoint="loopback", stop=waits) as client:
        job = client.submit(calls("a.wav") / "a.wav")
        client.wait(job)
        loopback.forget(job.id)
        with pytest.raises(errors.WaitError, match="does not know the job"):
            client.wait(job, timeout=0)
        waits.asked.clear()
        with pytest.raises(errors.GoneError):
            client.wait(job)
    assert waits.asked == list(session.GONE_PAUSES_S)
    assert sum(waits.asked) == 60


def test_a_job_of_this_run_is_not_sent_again_when_it_is_not_known(submit, calls, platform):
    platform.misbehave("status", times=100, status=404)
    folder = calls("a.wav")
    done = submit(folder)
    assert done.returncode == 1
    assert "… no result yet" in done.stdout
    assert "does not know the job" in done.stdout
    assert "Run the same again" in done.stdout
    assert names_of_jobs(platform) == ["a"]
    platform.behave()
    done = submit(folder)
    assert done.returncode == 0, done.stderr
    assert names_of_jobs(platform) == ["a"]


def test_one_of_an_earlier_run_is_sent_again(submit, calls, platform):
    folder = calls("a.wav")
    hold = ("--option", "hold=true", "--timeout", "0.1")
    assert submit(folder, *hold).returncode == 1
    platform.forget(platform.jobs()[0]["id"])
    done = submit(folder, *hold)
    assert "does not know the job" in done.stderr
    assert "It is sent again." in done.stderr
    assert names_of_jobs(platform) == ["a"]


def test_a_format_that_is_missing_is_told_and_not_paid_for_again(submit, calls, platform, tmp_path):
    reply = reply_to({"task": "transcript", "audio": {"id": "a"}, "formats": ["srt"]})
    reply["notes"] = ["html: left out, for the answer would be too large with it"]
    asked = ["--formats", "srt,html", "--option", f"answer={json.dumps({'output': reply})}"]
    folder = calls("a.wav")
    for state in ("✓ done", "✓ done before"):
        done = submit(folder, *asked)
        assert done.returncode == 0, done.stderr
        assert state in done.stdout
        assert "\na.wav: the answer has no html (html: left out, for the" in done.stdout
    assert sorted(p.name for p in (tmp_path / "out").glob("a*")) == ["a.wav.json", "a.wav.srt"]
    assert names_of_jobs(platform) == ["a"]


def test_another_file_of_the_same_name_size_and_time_is_another(submit, calls, platform):
    folder = calls("mon/a.wav", "tue/a.wav")
    for day in ("mon", "tue"):
        (folder / day / "a.wav").write_text(f"RIFF of {day}")
        os.utime(folder / day / "a.wav", (1e9, 1e9))
    for _ in range(2):
        assert submit(folder / "mon" / "a.wav").returncode == 0
    assert submit(folder / "tue" / "a.wav").returncode == 0
    assert names_of_jobs(platform) == ["a", "a"]


def test_runs_with_other_formats_do_not_forget_each_other(submit, calls, platform):
    folder = calls("a.wav")
    for formats in ("srt", "rttm", "srt", "rttm"):
        assert submit(folder, "--formats", formats).returncode == 0
    assert names_of_jobs(platform) == ["a", "a"]
    assert submit(folder, "--formats", "srt", "--language", "en").returncode == 0
    assert "done before" in submit(folder, "--formats", "rttm").stdout
    assert "done before" not in submit(folder, "--formats", "srt").stdout  # the other's lies there


def test_the_journal_of_a_newer_client_is_read(submit, calls, platform, tmp_path):
    folder = calls("a.wav")
    assert submit(folder).returncode == 0
    path = tmp_path / "out" / FILE
    odd = [{"name": [], "work": "w", "state": "done", "target": "t"}, {"formats": 3}]
    lines = [json.loads(line) | {"mood": "good"} for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(line) + "\n" for line in odd + lines))
    assert "done before" in submit(folder).stdout
    assert names_of_jobs(platform) == ["a"]


def test_what_the_worker_says_cannot_steer_the_terminal(submit, calls, platform, tmp_path):
    said = json.dumps({"error": "BAD: \x1b[2Jgone\nsubmitted  b.wav\x9b1m"})
    done = submit(calls("a.wav"), "--option", f"answer={said}")
    shown = run("status", "--out", tmp_path / "out", env=environment(platform)).stdout
    for text in (done.stdout, done.stderr, shown):
        assert "BAD: \\x1b[2Jgone\\nsubmitted  b.wav\\x9b1m" in text
        assert "\x1b" not in text
    assert len(shown.splitlines()) == 1


def test_a_password_of_an_address_is_not_repeated(submit):
    for one, other in (("a/x.wav", "b/x.wav"), ("x.wav", "x.wav?y")):
        twice = [f"https://user:secret@example.com/{path}" for path in (one, other)]
        done = submit(*twice)
        assert (done.returncode, "secret" in done.stderr) == (2, False), done.stderr
    for odd in ("https://user:secret@[::1/x.wav", "https://user:secret@a\N{ACCOUNT OF}b/x.wav"):
        done = submit(odd)
        assert (done.returncode, "secret" in done.stderr) == (2, False), done.stderr
        assert "is no address" in done.stderr


def test_what_is_forgotten_in_time_is_waited_for(submit, calls, platform):
    """A job that is known again keeps its id."""
    platform.misbehave("status", times=2, status=404)
    assert submit(calls("a.wav")).returncode == 0
    until(lambda: names_of_jobs(platform) == ["a"])
