"""Reports as text: what is in a page, how large it is, what the command line says."""

import base64
import hashlib
import io
import json
import os
import re
import stat
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from tests import reports
from tests.service_jobs import SAMPLE, ask
from worker.control import JobControl
from worker.deliver import RUN_LIMIT_BYTES, Delivery
from worker.errors import CancelledError, OutputTooLargeError
from worker.formats.document import Document
from worker.parsing import parse
from worker.parts import serialise
from worker.report import page, speech
from worker.report.speech import Sound
from worker.waveform import SAMPLE_RATE

ROOT = Path(__file__).resolve().parent.parent
SOUND = Sound(bytes(range(100)), b"\x00speech\xff" * 50)


class Parts(HTMLParser):
    """Tags of a page, and what its scripts and styles hold."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.blocks: list[tuple[dict[str, str | None], str]] = []
        self.inside = False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.inside = tag in ("script", "style")
        if self.inside:
            self.blocks.append((dict(attrs), ""))

    def handle_endtag(self, tag):
        self.inside = False

    def handle_data(self, data):
        if self.inside:
            attrs, before = self.blocks.pop()
            self.blocks.append((attrs, before + data))

    def block(self, name: str) -> str:
        return "".join(data for attrs, data in self.blocks if attrs.get("id") == name)


def made(result: dict, sound: Sound | None = None) -> str:
    return page.render(result, reports.document(result), sound)


class Watched:
    """Samples that remember the longest slice of them that was read."""

    def __init__(self, samples: np.ndarray) -> None:
        self.samples, self.longest = samples, 0

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, key: slice) -> np.ndarray:
        taken = self.samples[key]
        self.longest = max(self.longest, len(taken))
        return taken


def tone(seconds: float) -> np.ndarray:
    times = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return (0.5 * np.sin(2 * np.pi * 440 * times)).astype(np.float32)


# --- what is heard ---


@pytest.mark.parametrize("seconds", [0.01, 1.0, 59.99, 60.0, 200.0])
def test_speech_is_as_large_as_foretold_and_as_long_as_the_recording(seconds):
    import av

    samples = tone(seconds)
    encoded = speech.encode(samples, JobControl())
    foretold = speech.num_bytes(len(samples))
    assert foretold - 1500 < len(encoded) <= foretold
    with av.open(io.BytesIO(encoded)) as container:
        assert container.streams.audio[0].codec_context.name == "opus"
        assert container.duration / 1e6 == pytest.approx(seconds, abs=0.01)
        decoded = np.concatenate([f.to_ndarray()[0] for f in container.decode(audio=0)])
    if seconds >= 1:
        assert np.sqrt(np.mean(decoded**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.1)


def test_speech_is_read_by_slices():
    samples = Watched(tone(400))
    prepared = speech.prepare(samples, 5, JobControl())
    assert prepared.speech
    assert samples.longest <= speech.BLOCK_SAMPLES


def test_beyond_the_bound_nothing_is_encoded():
    samples = tone(10)
    size = len(speech.encode(samples, JobControl())) / 1e6
    assert speech.prepare(samples, size - 0.001, JobControl()).speech is None
    assert speech.prepare(samples, 0, JobControl()).speech is None
    assert speech.prepare(samples, size + 0.002, JobControl()).speech


def test_peaks_show_where_it_is_loud():
    samples = np.concatenate([tone(1), np.zeros(SAMPLE_RATE, np.float32), tone(1) / 2])
    found = np.frombuffer(speech.peaks(samples, JobControl()), np.uint8)
    assert len(found) == 150
    assert set(found[:50]) <= {254, 255}
    assert set(found[50:100]) == {0}
    assert set(found[100:]) <= {127, 128}


def test_peaks_of_silence_and_of_nothing():
    silence = np.zeros(SAMPLE_RATE, np.float32)
    assert set(speech.peaks(silence, JobControl())) == {0}
    assert speech.peaks(silence[:0], JobControl()) == b""
    assert len(speech.encode(silence[:0], JobControl())) < speech.HEADER_BYTES


def test_a_long_recording_has_no_more_peaks_than_a_page_takes(monkeypatch):
    monkeypatch.setattr(speech, "MAX_PEAKS", 1000)
    assert 990 <= len(speech.peaks(tone(77.7), JobControl())) <= 1000


def test_a_cancelled_job_does_not_go_on_encoding():
    control = JobControl()
    samples = Watched(tone(300))
    stages = []
    watching = JobControl(report=lambda stage, share: (stages.append(stage), watching.cancel()))
    with pytest.raises(CancelledError):
        speech.prepare(samples, 5, watching)
    assert stages == ["report"]
    control.cancel()
    with pytest.raises(CancelledError):
        speech.encode(samples, control)


# --- what is in a page ---


def test_markup_of_a_caller_is_data_and_nothing_else():
    plain, marked = Parts(made(reports.transcript([]))), Parts(made(reports.hostile(), SOUND))
    assert [tag for tag, _ in marked.tags] == [tag for tag, _ in plain.tags]
    assert "img" not in [tag for tag, _ in marked.tags]
    for name in ("page", "result"):
        assert not set("<>&\u2028\u2029") & set(marked.block(name))
    assert json.loads(marked.block("result")) == reports.hostile()


def test_the_policy_knows_each_script_and_the_style_and_nothing_else():
    parts = Parts(made(reports.hostile(), SOUND))
    (policy,) = [a["content"] for _, a in parts.tags if a.get("http-equiv")]
    own = [data for attrs, data in parts.blocks if "type" not in attrs]
    digests = [base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in own]
    assert len(own) == 1 + len(page.SCRIPTS)
    assert re.findall(r"sha256-([\w+/=]+)", policy) == [*digests[1:], digests[0]]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert "http" not in policy


def test_a_page_names_no_address_that_a_browser_would_ask():
    text = made(reports.scripts(), SOUND)
    for tag, attrs in Parts(text).tags:
        for name in ("src", "href", "action", "srcset", "data"):
            assert attrs.get(name) in (None, "data:,"), tag
    assert "@import" not in text
    assert "url(" not in text


def test_the_library_comes_with_its_licence():
    text = made(reports.scripts())
    assert "BSD 3-Clause License" in text
    assert "katspaugh and contributors" in text


def test_without_its_speech_a_page_is_as_if_it_never_had_any():
    result = reports.hostile()
    with_speech = made(result, SOUND)
    assert base64.b64encode(SOUND.speech).decode() in with_speech
    assert page.without_speech(with_speech) == made(result, Sound(SOUND.peaks, None))


def test_a_page_holds_the_result_but_not_its_files():
    result = reports.scripts() | {"files": {"srt": "1\nnever shown\n"}}
    assert "never shown" not in made(result)


# --- jobs ---


def test_a_job_gives_a_page_that_plays(service, temporary_folder):
    reply = ask(service, SAMPLE, formats=["html", "srt"])
    parts = Parts(reply["files"]["html"])
    assert list(reply["files"]) == ["srt", "html"]
    assert reply["timings"]["report"] > 0
    without = {key: value for key, value in reply.items() if key != "files"}
    assert json.loads(parts.block("result")) == without
    heard = base64.b64decode(parts.block("speech"))
    assert len(heard) <= speech.num_bytes(30 * SAMPLE_RATE)
    assert heard[4:8] == b"ftyp"
    assert json.loads(parts.block("page"))["name"] == "sample"


@pytest.mark.parametrize(("task", "fields"), [("diarization", "turns"), ("asr", "segments")])
def test_each_task_gives_a_page(service, temporary_folder, task, fields):
    reply = ask(service, SAMPLE, task=task, formats=["html"])
    assert "timings" in reply, reply
    assert json.loads(Parts(reply["files"]["html"]).block("result"))[fields] == reply[fields]


def test_recordings_of_a_list_get_a_page_each(service, temporary_folder):
    audio = [{"url": SAMPLE, "id": "a", "duration": 10}, {"url": SAMPLE, "id": "b", "offset": 10}]
    reply = ask(service, audio, task="diarization", formats=["html"])
    pages = [Parts(entry["output"]["files"]["html"]) for entry in reply["results"]]
    assert [json.loads(p.block("page"))["name"] for p in pages] == ["a", "b"]
    sizes = [len(base64.b64decode(p.block("speech"))) for p in pages]
    assert sizes[0] == pytest.approx(sizes[1] / 2, rel=0.05)


def test_the_pages_of_a_list_share_what_an_answer_may_hold(service, temporary_folder):
    """Half an hour of audio in all: the share of each is less than its 30 s take."""
    audio = [{"url": SAMPLE, "id": str(number), "duration": 5} for number in range(64)]
    audio[0] = SAMPLE
    reply = ask(service, audio, task="diarization", formats=["html"])
    files = [Parts(entry["output"]["files"]["html"]) for entry in reply["results"]]
    assert files[0].block("speech") == ""
    assert all(page.block("speech") for page in files[1:])


def test_no_page_is_made_where_none_was_asked_for(service, temporary_folder):
    reply = ask(service, SAMPLE, task="diarization", formats=["rttm"])
    assert "report" not in reply["timings"]
    assert list(reply["files"]) == ["rttm"]


# --- answers that are too large ---


def delivered(make_settings, reply: dict) -> dict:
    request = parse({"audio": "https://example.com/a.wav", "formats": ["html", "srt"]})
    return Delivery(request, "job", None, make_settings(), JobControl()).deliver(reply)


def large(num_speech: int, result: dict | None = None) -> dict:
    result = result or reports.transcript([reports.segment("Hello there.", 1.0, "SPEAKER_00")])
    text = made(result, Sound(b"\x10" * 100, b"\x01" * num_speech))
    return result | {"files": {"srt": "1\n", "html": text}}


def test_an_answer_that_fits_keeps_the_audio_of_its_report(make_settings):
    assert delivered(make_settings, large(5_000_000)) == large(5_000_000)


def test_audio_is_left_out_of_a_report_before_a_job_fails(make_settings):
    reply = large(8_000_000)
    answer = delivered(make_settings, reply)
    assert answer["files"]["html"] == page.without_speech(reply["files"]["html"])
    assert answer["files"]["srt"] == "1\n"
    assert answer["notes"] == [
        "html: the audio is left out, for the answer would be too large with it"
    ]


def test_in_a_list_too(make_settings):
    entries = [{"id": None, "ok": True, "output": large(4_000_000)} for _ in range(3)]
    failed = {"id": None, "ok": False, "error": "FETCH_FAILED: x"}
    answer = delivered(make_settings, {"results": [*entries, failed]})
    assert answer["results"][3] == failed
    for entry in answer["results"][:3]:
        assert not Parts(entry["output"]["files"]["html"]).block("speech")
        assert len(entry["output"]["notes"]) == 1


def test_a_report_is_left_out_before_a_job_fails(make_settings):
    segments = [reports.segment("word " * 100, float(i), "SPEAKER_00") for i in range(700)]
    result = reports.transcript(segments, 1000.0)
    assert RUN_LIMIT_BYTES / 2 < len(serialise(result)) < RUN_LIMIT_BYTES
    answer = delivered(make_settings, large(10, result))
    assert list(answer["files"]) == ["srt"]
    assert "python -m worker.report" in " ".join(answer["notes"])
    assert answer["segments"] == result["segments"]


def test_what_is_too_large_without_a_report_still_fails(make_settings):
    result = reports.transcript([]) | {"text": "x" * RUN_LIMIT_BYTES}
    with pytest.raises(OutputTooLargeError, match=r"an answer takes 9\.5 MB"):
        delivered(make_settings, large(10, result))


# --- the command line ---


def run(*arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "SPEECH_VOLUME": str(ROOT / "volume"), "SPEECH_PROJECT": "demo"}
    return subprocess.run(
        [sys.executable, "-m", "worker.report", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment | variables,
        check=False,
    )


@pytest.fixture
def answer(tmp_path: Path) -> Path:
    said = reports.segment("Hello there.", 1.0, "SPEAKER_00")
    path = tmp_path / "answer.json"
    path.write_text(json.dumps({"output": reports.transcript([said], 30.0)}))
    return path


def test_a_report_from_the_command_line(answer, data, tmp_path):
    target = tmp_path / "out" / "page.html"
    target.parent.mkdir()
    done = run(answer, data / "sample.wav", "-o", target)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{target}\n", "")
    parts = Parts(target.read_text())
    assert base64.b64decode(parts.block("speech"))[4:8] == b"ftyp"
    assert json.loads(parts.block("page"))["name"] == "sample"
    assert [p.name for p in target.parent.iterdir()] == ["page.html"]
    assert stat.S_IMODE(target.stat().st_mode) == 0o644


def test_without_audio_the_page_stands_beside_the_result(answer):
    done = run(answer)
    assert done.returncode == 0, done.stderr
    assert not Parts(answer.with_suffix(".html").read_text()).block("speech")


def test_one_of_a_list_is_chosen(answer, tmp_path):
    entries = [
        {"id": None, "ok": True, "output": reports.transcript([], id="first")},
        {"id": None, "ok": False, "error": "FETCH_FAILED: no such file"},
    ]
    answer.write_text(json.dumps({"output": {"results": entries}}))
    assert "Choose one with --index, 0 to 1" in run(answer).stderr
    assert "--index 2 is none of them" in run(answer, "--index", 2).stderr
    assert "FETCH_FAILED: no such file" in run(answer, "--index", 1).stderr
    assert not answer.with_suffix(".html").exists()
    assert run(answer, "--index", 0).returncode == 0
    assert "first" in answer.with_suffix(".html").read_text()


GOOD = reports.transcript([reports.segment("Hello", 1.0, "SPEAKER_00")])
BAD_ANSWERS = {
    "not JSON": ("{", "is not JSON"),
    "deep": ("[" * 100_000, "is not JSON"),
    "bytes": ("\xff\xfe\x00", "is not JSON"),
    "a number": ("7", "holds no result"),
    "an error": ('{"error": "TIMEOUT: too long"}', "TIMEOUT: too long"),
    "queued": ('{"id": "x", "status": "IN_QUEUE"}', "holds no result"),
    "no list": ('{"results": []}', "0 recordings"),
    "links": ('{"output": null}', "holds no result"),
    "no length": (json.dumps(GOOD | {"audio": {"id": None}}), "audio.duration: Field required"),
    "negative": (json.dumps(GOOD | {"audio": {"id": None, "duration": -1}}), "audio.duration"),
    "not a number": (json.dumps(GOOD | {"audio": {"duration": float("nan")}}), "audio.duration"),
    "a nan elsewhere": (json.dumps(GOOD | {"timings": {"rtf": float("nan")}}), "what is no text"),
    "half a pair": (json.dumps(GOOD | {"text": "\ud800"}), "what is no text"),
    "stranger": (json.dumps(GOOD | {"speakers": []}), "'SPEAKER_00' has turns"),
    "other names": (
        json.dumps(GOOD | {"turns": [{"start": 0, "end": 1, "speaker": "Ann"}]}),
        "turns.0.speaker",
    ),
    "times as text": (
        json.dumps(GOOD | {"segments": [{"start": "0", "end": 1, "text": "x"}]}),
        "segments.0.start",
    ),
}


@pytest.mark.parametrize("content", BAD_ANSWERS)
def test_an_answer_of_another_shape_is_refused(content, answer):
    text, message = BAD_ANSWERS[content]
    answer.write_bytes(text.encode("latin-1" if content == "bytes" else "utf-8"))
    done = run(answer)
    assert done.returncode == 1
    assert done.stderr.startswith("No report was made. ")
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert [p.name for p in answer.parent.iterdir()] == [answer.name]


def test_audio_of_another_recording_is_refused(answer, data):
    done = run(answer, data / "jfk.flac")
    assert done.returncode == 1
    assert "lasts 11.0 s, the result's recording 30.0 s" in done.stderr


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.wav", None, "cannot be read: No such file"),
        ("text.wav", b"This is no audio.", "is not audio"),
        ("empty.wav", b"", "the file holds 0 bytes"),
    ],
)
def test_audio_that_cannot_be_read_is_named(answer, tmp_path, name, content, message):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    done = run(answer, path)
    assert done.returncode == 1
    assert str(path) in done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not answer.with_suffix(".html").exists()


def test_a_target_that_cannot_be_written_leaves_nothing_behind(answer, tmp_path):
    folder = tmp_path / "there"
    folder.mkdir()
    for target, reason in ((tmp_path / "no" / "x.html", "No such file"), (folder, "directory")):
        done = run(answer, "-o", target)
        assert done.returncode == 1
        assert reason in done.stderr
        assert f"{target} cannot be written" in done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["answer.json", "there"]


def test_a_page_does_not_overwrite_what_it_is_made_of(answer, tmp_path):
    before = answer.read_bytes()
    sound = tmp_path / "call.mp3"
    sound.write_bytes(b"sound")
    page_of = tmp_path / "answer.html"
    page_of.symlink_to(answer)
    for arguments in ((answer, "-o", answer), (answer, sound, "-o", sound), (answer,)):
        done = run(*arguments)
        assert done.returncode == 1
        assert "would be overwritten by the page" in done.stderr
    assert answer.read_bytes() == before
    assert sound.read_bytes() == b"sound"
    assert "is a folder" in run(".").stderr


def test_a_result_that_is_not_there_is_named(tmp_path):
    done = run(tmp_path / "nothing.json")
    assert f"{tmp_path / 'nothing.json'} cannot be read: No such file" in done.stderr


def test_without_packages_it_says_where_they_come_from(answer, tmp_path):
    done = run(answer, SPEECH_VOLUME=str(tmp_path))
    assert done.returncode == 1
    assert "This Python has no av, and no volume has it" in done.stderr
    assert "volume_bootstrap setup" in done.stderr


def test_a_document_of_a_result_is_that_of_the_worker():
    result = reports.scripts()
    of = reports.document(result)
    assert isinstance(of, Document)
    assert (of.name, of.label(0), of.label(1)) == ("通话 7", "Ann Lee", "SPEAKER_01")
    assert [u.speaker for u in of.utterances] == [0, 1, None, 1, 0, 2]
