"""The command line as a process of its own: what it writes, says and ends with."""

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from client import journal
from client.journal import FILE
from tests.client.processes import TIMEOUT_S, TO_LOOPBACK, command, environment, names_of_jobs, run
from tests.platform import until

pytestmark = pytest.mark.usefixtures("stand_in")
ODD = [
    "a b.wav",
    "Größe 北京.mp3",
    "line\nbreak.flac",
    "[red]x[bold].wav",
    "-x.wav",
    "a.wav",
    "a.mp3",
]


@pytest.fixture
def submit(platform, tmp_path):
    """Run ``submit`` to its end, with results in ``out``."""

    def submit_these(*arguments: str | Path, **variables: str) -> subprocess.CompletedProcess:
        env = environment(platform, **variables)
        return run("submit", "--out", tmp_path / "out", *TO_LOOPBACK, *arguments, env=env)

    return submit_these


def files(folder: Path) -> list[str]:
    found = (p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    return sorted(name for name in found if not name.startswith(".speech-client."))


def test_a_folder_is_done_and_then_done_before(submit, calls, platform, tmp_path):
    folder = calls("b.wav", "sub/a.flac", "sub/notes.txt", ".hidden.wav", ".git/x.wav")
    arguments = (folder, "--recursive", "--formats", "json,SRT")
    done = submit(*arguments)
    assert (done.returncode, done.stderr.count("done in")) == (0, 2), done.stderr
    names = ["b.wav.json", "b.wav.srt", "sub/a.flac.json", "sub/a.flac.srt"]
    assert files(tmp_path / "out") == names
    assert (tmp_path / "out/b.wav.srt").read_text() == "srt of b\n"
    whole = json.loads((tmp_path / "out/b.wav.json").read_text())
    assert (whole["text"], whole["of_a_newer_worker"]) == ("Hello.", {"a": 1})
    assert "files" not in whole
    rows = [line.split() for line in done.stdout.splitlines()]
    assert rows[0] == ["file", "outcome", "duration", "speakers", "seconds"]
    assert rows[1][:5] == ["b.wav", "✓", "done", "1:02", "2"]
    assert "2 done · 2:03 of audio in" in done.stdout
    again = submit(*arguments)
    assert (again.returncode, again.stderr.count(": done before")) == (0, 2)
    assert names_of_jobs(platform) == ["a", "b"]


@pytest.mark.parametrize("as_folder", [True, False])
def test_names_may_be_odd(submit, calls, tmp_path, as_folder):
    folder = calls(*ODD)
    done = submit(*([folder] if as_folder else [folder / name for name in ODD]))
    assert done.returncode == 0, done.stderr
    assert files(tmp_path / "out") == sorted(f"{name}.json" for name in ODD)
    assert "line\\nbreak.flac" in done.stdout
    assert "[red]x[bold].wav" in done.stdout


def test_a_name_that_is_no_text(submit, calls, tmp_path):
    folder = calls("a.wav")
    (folder / "a.wav").rename(Path(os.fsdecode(os.fsencode(folder) + b"/\xff.wav")))
    done = submit(folder)
    assert done.returncode == 0, done.stderr
    assert files(tmp_path / "out") == [os.fsdecode(b"\xff.wav.json")]


def test_the_same_file_twice_is_one(submit, calls, platform):
    file = calls("a.wav") / "a.wav"
    (file.parent / "link.wav").symlink_to(file)
    done = submit(file, file, f"{file.parent}/../calls/a.wav")
    assert (done.returncode, names_of_jobs(platform)) == (0, ["a"])


def test_a_changed_file_a_changed_wish_and_a_lost_result_are_new_work(submit, calls, platform):
    file = calls("a.wav") / "a.wav"
    out = file.parent.parent / "out"
    for change in (
        lambda: None,
        lambda: file.write_bytes(b"longer than before"),
        (out / "a.wav.json").unlink,
    ):
        change()
        assert submit(file).returncode == 0
        assert submit(file).returncode == 0
    assert len(platform.jobs()) == 3
    assert submit(file, "--language", "en").returncode == 0
    assert submit(file).returncode == 0  # what lies there was made with the other wish
    assert len(platform.jobs()) == 5


def test_one_that_fails_fails_alone_and_is_tried_again(submit, calls, platform, tmp_path):
    folder = calls("a.wav", "b.wav")
    (folder / "b.wav").write_bytes(b"")
    (folder / "c.wav").symlink_to(folder / "c.wav")
    os.mkfifo(folder / "d.wav")
    (folder / "x.wav").mkdir()
    done = submit(folder)
    assert done.returncode == 1
    assert "\nb.wav: is empty (0 bytes)" in done.stdout
    assert "\nc.wav: cannot be read: Too many levels of symbolic links" in done.stdout
    assert "\nd.wav: is not a regular file" in done.stdout
    assert "1 done, 3 failed" in done.stdout
    assert files(tmp_path / "out") == ["a.wav.json"]
    (folder / "b.wav").write_bytes(b"mended")
    assert "✓ done before" in submit(folder).stdout
    assert names_of_jobs(platform) == ["a", "b"]


def test_a_failed_job_is_told_in_its_own_words(submit, calls):
    error = json.dumps({"error": "UNSUPPORTED_AUDIO: no audio. Send wav."})
    done = submit(calls("a.wav"), "--option", f"answer={error}")
    assert done.returncode == 1
    assert "\na.wav: UNSUPPORTED_AUDIO: no audio. Send wav.\n" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["missing.wav"], "missing.wav does not exist"),
        (["folder"], "holds no audio (its subfolders are searched with --recursive)"),
        (["folder", "--recursive"], "holds no audio; files are"),
        (["a/x.wav", "b/x.wav"], "would both be written as x.wav"),
        (["ftp://example.com/a.wav"], "the scheme 'ftp' is unknown"),
        (["s3://bucket"], "is no file"),
        (["a/x.wav", "--formats", "doc"], "'doc'; allowed: json"),
        (["a/x.wav", "--formats", ","], "no format"),
        (["a/x.wav", "--option", "itn"], "is not key=value"),
        (["a/x.wav", "--option", "a=1", "--option", "a=2"], "twice"),
        (["a/x.wav", "--language", "en", "--option", "language=de"], "given twice"),
        (["a/x.wav", "--option", "audio=x"], "PATH"),
        (["a/x.wav", "--url", "http://localhost:1"], "not both"),
        (["a/x.wav", "--parallel", "0"], "--parallel"),
        (["a/x.wav", "--colour"], "--colour"),
        ([], "PATH"),
    ],
)
def test_what_cannot_be_carried_out_is_told_before_anything_is_sent(
    submit, platform, tmp_path, arguments, says, monkeypatch
):
    for name in ("a/x.wav", "b/x.wav", "folder/sub/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    monkeypatch.chdir(tmp_path)
    done = submit(*arguments)
    assert done.returncode == 2, done.stdout
    assert says in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert platform.jobs() == []


def test_no_key_and_a_refused_key(submit, calls, tmp_path):
    folder = calls("a.wav", "b.wav")
    done = submit(folder, RUNPOD_API_KEY="")
    assert (done.returncode, "RUNPOD_API_KEY" in done.stderr) == (2, True)
    done = submit(folder, RUNPOD_API_KEY="rpa_secret")
    assert done.returncode == 1
    assert done.stderr.count("error: HTTP 401: the key is refused") == 1
    assert "rpa_secret" not in done.stderr + done.stdout
    assert files(tmp_path / "out") == []
    assert submit(folder).returncode == 0  # what was refused is not in doubt


def test_two_clients_do_not_share_a_folder(submit, calls, platform, tmp_path):
    folder = calls("a.wav")
    arguments = ["submit", folder, "--out", tmp_path / "out", *TO_LOOPBACK]
    options = ["--option", "hold=true"]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command([*arguments, *options]), env=environment(platform), stdout=pipe, stderr=pipe
    ) as first:
        until(platform.jobs)
        second = submit(folder)
        assert (second.returncode, "another client works on" in second.stderr) == (2, True)
        first.kill()
    assert submit(folder).returncode == 0


def test_what_may_not_be_read_or_written(platform, tmp_path):
    calls, out = tmp_path / "calls", tmp_path / "out"
    for folder in (calls, out):
        folder.mkdir()
    for name in ("a.wav", "b.wav"):
        (calls / name).write_text(name)
    (calls / "a.wav").chmod(0)
    # Root may read anything, unless it gives that up.
    caps = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    prefix = caps if os.geteuid() == 0 else []
    arguments = ["submit", calls, "--out", out, *TO_LOOPBACK]

    def submit() -> subprocess.CompletedProcess:
        return subprocess.run(
            [*prefix, *command(arguments)],
            env=environment(platform),
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_S,
        )

    out.chmod(0o555)
    done = submit()
    assert (done.returncode, "out cannot be written to" in done.stderr) == (2, True), done.stderr
    out.chmod(0o777)
    done = submit()
    assert done.returncode == 1
    assert "\na.wav: cannot be read: Permission denied." in done.stdout
    assert names_of_jobs(platform) == ["b"]


def test_a_wait_that_ends_leaves_the_job_for_the_next_run(submit, calls, platform):
    folder = calls("a.wav")
    options = ("--option", "seconds=2")
    done = submit(folder, "--timeout", "0.5", *options)
    assert (done.returncode, "… no result yet" in done.stdout) == (1, True)
    assert submit(folder, *options).returncode == 0
    assert names_of_jobs(platform) == ["a"]


def test_a_job_whose_answer_is_lost_waits_for_a_word(submit, calls, platform):
    folder = calls("a.wav")
    platform.misbehave("run", do="drop", carry_out=True)
    for _ in range(2):
        done = submit(folder)
        assert (done.returncode, done.stdout.count("? unclear")) == (1, 1)
        assert "--resubmit" in done.stdout
        assert names_of_jobs(platform) == ["a"]
    assert submit(folder, "--resubmit").returncode == 0
    assert names_of_jobs(platform) == ["a", "a"]


def test_what_cannot_be_written_is_not_sent(submit, calls, platform, tmp_path):
    folder = calls(f"{'x' * 240}.wav", "a.wav", "sub/b.wav")
    (tmp_path / "out/a.wav.json").mkdir(parents=True)
    (tmp_path / "out/sub").write_text("a file")
    done = submit(folder, "--recursive")
    assert done.returncode == 1
    for reason in ("File name too long", "Is a directory", "File exists"):
        assert f"cannot be written: {reason}. Nothing was sent." in done.stdout
    assert platform.jobs() == []


def test_odd_options_reach_the_worker_or_are_refused(submit, platform):
    odd = os.fsdecode(b"s3://bucket/\xff.wav")
    done = submit(odd, "--option", "vad=NaN", "--option", "model=\N{SNOWMAN}", "--timeout", "60")
    assert done.returncode == 0, done.stderr
    sent = platform.jobs()[0]["payload"]["input"]
    assert (sent["vad"], sent["model"], sent["audio"]["url"]) == ("NaN", "\N{SNOWMAN}", odd)


def test_a_signed_link_is_not_repeated(submit, tmp_path):
    links = [f"https://example.com/{folder}/a.wav?secret=1" for folder in "ab"]
    done = submit(*links)
    assert (done.returncode, "secret" in done.stderr + done.stdout) == (2, False)
    assert submit(links[0]).returncode == 0
    assert "secret" not in (tmp_path / "out" / FILE).read_text()


def interrupted(platform, folder: Path, out: Path, how: int, *options: str) -> tuple[int, str]:
    """Start a client whose jobs do not end, send it a signal; its exit code and last words."""
    arguments = ["submit", folder, "--out", out, *TO_LOOPBACK, "--option", "hold=true", *options]
    with subprocess.Popen(
        command(arguments), env=environment(platform), stderr=subprocess.PIPE, text=True
    ) as client:
        until(lambda: len(journal.open_jobs(journal.read(out), "endpoint:loopback")) == 2)
        client.send_signal(how)
        _, said = client.communicate(timeout=30)
    return client.returncode, said


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_the_jobs_running(platform, calls, tmp_path, how):
    code, said = interrupted(platform, calls("a.wav", "b.wav"), tmp_path / "out", how)
    assert code == 130
    assert "go on without the client. Run the same again" in said
    assert "Traceback" not in said
    assert {job["status"] for job in platform.jobs()} <= {"IN_QUEUE", "IN_PROGRESS"}


def test_an_interrupt_may_cancel_the_jobs(platform, calls, tmp_path):
    out = tmp_path / "out"
    folder = calls("a.wav", "b.wav")
    code, said = interrupted(platform, folder, out, signal.SIGINT, "--cancel-on-interrupt")
    assert (code, "are cancelled or had ended" in said) == (130, True)
    assert {job["status"] for job in platform.jobs()} == {"CANCELLED"}


def test_status_and_cancel_tell_what_the_journal_knows(platform, calls, tmp_path):
    out = tmp_path / "out"
    folder = calls("a.wav", "b.wav")
    interrupted(platform, folder, out, signal.SIGKILL)
    env = environment(platform)
    shown = run("status", "--out", out, env=env).stdout
    assert [line.split()[:2] for line in sorted(shown.splitlines())] == [
        ["submitted", "a.wav"],
        ["submitted", "b.wav"],
    ]
    cancelled = run("cancel", "--out", out, *TO_LOOPBACK, env=env)
    assert sorted(cancelled.stdout.splitlines()) == ["cancelled: a.wav", "cancelled: b.wav"]
    # Who submits again wants them.
    options = ["--option", "hold=true", "--timeout", "1"]
    done = run("submit", folder, "--out", out, *TO_LOOPBACK, *options, env=env)
    assert done.stderr.count("It is sent again.") == 2
    assert names_of_jobs(platform) == ["a", "a", "b", "b"]
    assert run("status", "--out", tmp_path / "none", env=env).returncode == 2


def test_a_damaged_journal_loses_its_damaged_lines_alone(submit, calls, platform, tmp_path):
    folder = calls("a.wav", "b.wav")
    assert submit(folder).returncode == 0
    path = tmp_path / "out" / FILE
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"\x00\xff{\n[1]\n" + b"".join(lines) + lines[-1][:20])
    assert submit(folder).returncode == 0
    assert submit(folder).returncode == 0
    assert len(platform.jobs()) == 2
