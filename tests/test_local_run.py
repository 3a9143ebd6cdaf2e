"""``python -m worker run``, as it is typed."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.service_jobs import ask
from tests.terminal import shown
from tests.test_handler import ROOT, environment
from worker.__main__ import check, fields_of, parse
from worker.control import JobControl
from worker.deliver import Delivery
from worker.errors import InvalidInputError, OutputTooLargeError
from worker.local import file_name, jobs_of
from worker.parsing import parse as parse_job
from worker.settings import LocalSettings, Settings

SAMPLE = ROOT / "tests" / "data" / "sample.wav"
JFK = ROOT / "tests" / "data" / "jfk.flac"
COMMAND = [sys.executable, "-m", "worker", "run"]


def run(volume, folder: Path, *arguments: object, **variables: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        env=environment(volume.root, PYTHONPATH=str(ROOT), **variables),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def written(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


@pytest.mark.usefixtures("temporary_folder")
def test_files_are_transcribed_as_a_job_would_be(volume, tmp_path, service):
    done = run(volume, tmp_path, SAMPLE, JFK, "--formats", "srt,rttm,json")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    out = tmp_path / "out"
    assert written(tmp_path) == sorted(
        f"{name}.{kind}" for name in ("jfk", "sample") for kind in ("json", "rttm", "srt")
    )
    job = ask(service, "volume://samples/sample.wav", formats=["srt", "rttm"])
    files = job.pop("files")
    assert (out / "sample.srt").read_text() == files["srt"]
    assert (out / "sample.rttm").read_text() == files["rttm"]
    result = json.loads((out / "sample.json").read_text())
    assert {**result, "timings": job["timings"]} == job
    assert "This is Diane in New Jersey." in done.stdout
    assert "ask not what your country can do for you." in done.stdout
    assert "Written: out/jfk.json, out/jfk.srt, out/jfk.rttm\n" in done.stdout


@pytest.mark.parametrize(
    ("task", "there", "missing"),
    [("asr", "text", "turns"), ("diarization", "turns", "text")],
)
def test_a_task_alone(volume, tmp_path, task, there, missing):
    done = run(volume, tmp_path, JFK, "--task", task, "--out", "here/below")
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "here" / "below" / "jfk.json").read_text())
    assert there in result
    assert missing not in result


def test_fields_of_a_job(volume, tmp_path):
    """As JSON or as text: a number, an object and a word."""
    done = run(
        *(volume, tmp_path, SAMPLE, "--task", "diarization", "--num-speakers", "1"),
        *("--option", "return_embeddings=true", "--option", 'diarization={"overlap": false}'),
        *("--option", "model=campplus-zh-en"),
    )
    assert done.returncode == 0, done.stderr
    (speaker,) = json.loads((tmp_path / "out" / "sample.json").read_text())["speakers"]
    assert len(speaker["embedding"]["values"]) == 192


def test_what_fails_is_told_and_the_others_are_written(volume, tmp_path):
    (tmp_path / "no audio.wav").write_bytes(b"no audio" * 99)
    (tmp_path / "empty.wav").touch()
    done = run(volume, tmp_path, "no audio.wav", JFK, "empty.wav", "--task", "asr")
    assert done.returncode == 1
    assert re.search(r"^no_audio: UNSUPPORTED_AUDIO: ", done.stderr, re.MULTILINE)
    assert re.search(r"^empty: UNSUPPORTED_AUDIO: .*empty file", done.stderr, re.MULTILINE)
    assert written(tmp_path / "out") == ["jfk.json"]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.wav"], "missing.wav is not a file, or does not exist."),
        ([SAMPLE, "--formats", "SRT, doc"], "formats.1: 'doc' is not allowed"),
        ([SAMPLE, "--out", SAMPLE], "File exists"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_runs(volume, tmp_path, arguments, message):
    done = run(volume, tmp_path, *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert written(tmp_path) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([ROOT / "tests"], "is a folder. Name its recordings, such as "),
        ([SAMPLE, "--task", "sing"], "task: 'sing' is not allowed"),
        ([SAMPLE, "--formats", "srt", "--task", "diarization"], "gives no srt"),
        ([SAMPLE, "--option", "speakers"], "--option speakers: write FIELD=VALUE."),
        ([SAMPLE, "--option", "=1"], "--option =1: write FIELD=VALUE."),
        ([SAMPLE, "--option", "nothing=1"], "nothing: unknown field"),
        ([SAMPLE, "--option", "audio=x"], "--option audio: not here"),
        ([SAMPLE, SAMPLE], "would write the same files. Run them apart"),
        ([SAMPLE, "--num-speakers", "0"], "num_speakers"),
    ],
)
def test_the_command_line_is_checked(monkeypatch, arguments, message):
    monkeypatch.setattr(sys, "argv", ["worker", "run", *map(str, arguments)])
    options = parse()
    with pytest.raises(InvalidInputError, match=message):
        check(jobs_of(options.sources, fields_of(options)))


def test_a_volume_that_holds_nothing(tmp_path):
    from volume_bootstrap.layout import Volume

    done = run(Volume(tmp_path), tmp_path, SAMPLE)
    assert done.returncode == 2
    assert done.stderr.startswith("The worker cannot start. Fill the volume with: ")


def test_progress_is_shown_on_a_terminal(volume, tmp_path):
    found = shown(
        [*COMMAND, str(JFK), "--task", "asr"],
        environment(volume.root, PYTHONPATH=str(ROOT)),
        tmp_path,
    )
    assert re.search(rb"\r\x1b\[Kjfk: \w+ \d+%", found)
    assert found.endswith(b"\r\x1b[K")


def test_an_interruption_ends_the_jobs_and_leaves_nothing(volume, tmp_path):
    """Such as Ctrl-C, while the second recording is worked on."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    process = subprocess.Popen(
        [*COMMAND, str(JFK), *map(str, copies(tmp_path, 8))],
        env=environment(volume.root, PYTHONPATH=str(ROOT), TMPDIR=str(temporary)),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while "Written: " not in process.stdout.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert list(temporary.iterdir()) == []
    assert 1 <= len(written(tmp_path / "out")) < 9


def copies(folder: Path, number: int) -> list[Path]:
    paths = [folder / f"{index}.wav" for index in range(number)]
    for path in paths:
        path.symlink_to(SAMPLE)
    return paths


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a b/c", "a_b_c"),
        ("..", "audio"),
        ("é漢字", "é漢字"),
        ("漢" * 99, "漢" * 66),
        ("", "audio"),
    ],
)
def test_names_of_files(name, expected):
    assert file_name(name) == expected


def test_addresses_are_taken_as_in_any_job(tmp_path):
    jobs = jobs_of(["https://example.com/a/call%207.mp3?key=1", "s3://b/k.wav"], {"task": "asr"})
    assert [job.name for job in jobs] == ["call_7", "k"]
    assert jobs[1].fields == {"task": "asr", "audio": "s3://b/k.wav"}


def test_a_name_that_is_no_text_is_refused(tmp_path):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.wav"))
    path.write_bytes(SAMPLE.read_bytes()[:100])
    with pytest.raises(InvalidInputError, match=r"not valid UTF-8. Rename"):
        jobs_of([str(path)], {})


@pytest.mark.usefixtures("temporary_folder")
def test_no_job_of_an_endpoint_may_name_a_file(service):
    reply = ask(service, f"file://{SAMPLE}")
    assert reply["error"].startswith("INVALID_INPUT: ")
    assert "is not a source of audio" in reply["error"]


def test_no_result_is_too_large_for_this_machine(volume):
    """Nor does it go to the bucket of the endpoint's large results."""
    variables = {"SPEECH_VOLUME": str(volume.root), "SPEECH_OUTPUT": "s3://bucket/results/"}
    request = parse_job({"audio": "file:///a.wav"})
    reply = {"text": "x" * 30_000_000}
    here = LocalSettings.from_environment(variables)
    assert Delivery(request, None, None, here, JobControl()).deliver(reply) == reply
    endpoint = Settings.from_environment(variables)
    with pytest.raises(OutputTooLargeError):
        Delivery(request, None, None, endpoint, JobControl()).deliver(reply)
