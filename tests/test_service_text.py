"""Jobs that say what was said, through the real service: Whisper and SenseVoice, real speech."""

import json
import re
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest

from tests.service_jobs import SAMPLE, ask, wav
from worker.control import JobControl
from worker.runpod_app import start_service
from worker.service import Service
from worker.transcription import transcriber

pytestmark = pytest.mark.usefixtures("temporary_folder")


@pytest.fixture(scope="module")
def digits_service(make_settings) -> Service:
    """SenseVoice's format and code path, a small model that was trained on digits."""
    return start_service(make_settings(), "demo-funasr")


@pytest.fixture(scope="module")
def digits(data) -> dict[str, str]:
    rows = (data / "digits" / "transcripts.tsv").read_text().splitlines()
    return dict(row.split("\t") for row in rows)


def bare(text: str) -> str:
    return re.sub(r"[^a-z ]", "", text.lower())


def test_a_conversation_becomes_a_transcript_with_speakers(service):
    reply = ask(service, SAMPLE)
    assert list(reply) == [
        "task",
        "audio",
        "speakers",
        "turns",
        "language",
        "text",
        "segments",
        "models",
        "timings",
    ]
    assert reply["task"] == "transcript"
    assert reply["language"] == "en"
    assert "hello" in reply["text"].lower()
    assert {s["speaker"] for s in reply["segments"]} == {"SPEAKER_00", "SPEAKER_01"}
    assert set(reply["models"]) == {"vad", "embedding", "segmentation", "asr"}
    assert "asr" in reply["timings"]
    for segment in reply["segments"]:
        assert segment["text"]
        assert {word["speaker"] for word in segment["words"]} == {segment["speaker"]}
        assert segment["start"] == segment["words"][0]["start"]
    starts = [s["start"] for s in reply["segments"]]
    assert starts == sorted(starts)
    assert bare(" ".join(s["text"] for s in reply["segments"])) == bare(reply["text"])


def test_words_carry_the_speaker_of_the_reference(service, data):
    truth = [line.split() for line in (data / "sample.rttm").read_text().splitlines()]
    turns = [(float(r[3]), float(r[3]) + float(r[4]), r[7]) for r in truth]
    counts: dict[tuple[str, str], int] = {}
    for segment in ask(service, SAMPLE)["segments"]:
        for word in segment["words"]:
            middle = (word["start"] + word["end"]) / 2
            speaking = {who for start, end, who in turns if start <= middle < end}
            if len(speaking) == 1:
                pair = next(iter(speaking)), word["speaker"]
                counts[pair] = counts.get(pair, 0) + 1
    names = sorted({who for _, _, who in turns})
    ways = [
        counts.get((names[0], f"SPEAKER_0{a}"), 0) + counts.get((names[1], f"SPEAKER_0{1 - a}"), 0)
        for a in (0, 1)
    ]
    assert sum(counts.values()) > 40
    assert max(ways) / sum(counts.values()) >= 0.95


def test_jfk_is_understood_without_an_error(service, server):
    reply = ask(service, server.url("/files/jfk.flac"), task="asr", timestamps="word")
    assert bare(reply["text"]) == (
        "and so my fellow americans ask not what your country can do for you ask what you can do "
        "for your country"
    )
    assert "turns" not in reply
    assert "speaker" not in reply["segments"][0]["words"][0]


def test_digits_are_understood_without_an_error(digits_service, server, digits):
    urls = [server.url(f"/files/{name}") for name in digits]
    reply = ask(digits_service, urls, task="asr", language="en", punctuation=False)
    found = [result["output"]["text"] for result in reply["results"]]
    assert found == list(digits.values())


def test_sensevoice_tells_language_emotion_and_event(digits_service, server):
    url = server.url("/files/clip01_yweweler.flac")
    (segment, *_) = ask(digits_service, url, task="asr", timestamps="word")["segments"]
    assert segment["text"].startswith("seven")
    assert (segment["language"], segment["event"]) == ("en", "speech")
    assert segment["emotion"] == "neutral"
    assert segment["words"][0]["word"] == "seven"
    assert "<|" not in json.dumps(segment)


def test_a_list_gives_what_each_gives_alone(digits_service, server, digits):
    urls = [server.url(f"/files/{name}") for name in list(digits)[:6]]
    options = {"task": "transcript", "formats": ["json", "srt"]}
    together = ask(digits_service, urls, **options)["results"]
    for url, result in zip(urls, together, strict=True):
        alone = ask(digits_service, url, **options)
        for reply in (alone, result["output"]):
            reply.pop("timings")
        assert result["output"] == alone


def test_one_bad_entry_of_a_list_fails_alone(digits_service, server):
    good = server.url("/files/clip01_yweweler.flac")
    audios = [good, server.url("/missing.wav"), {"url": good, "id": "again"}, "data:,", good]
    reply = ask(digits_service, audios, task="asr")
    assert list(reply) == ["results"]
    assert [r["ok"] for r in reply["results"]] == [True, False, True, False, True]
    assert [r["id"] for r in reply["results"]] == [None, None, "again", None, None]
    assert reply["results"][1]["error"].startswith("FETCH_FAILED: ")
    assert reply["results"][3]["error"].startswith("INVALID_INPUT: ")
    assert reply["results"][2]["output"]["text"] == reply["results"][0]["output"]["text"]


def test_a_list_of_one_is_a_list(digits_service, server):
    reply = ask(digits_service, [server.url("/files/clip01_yweweler.flac")], task="asr")
    assert [r["ok"] for r in reply["results"]] == [True]


@pytest.mark.parametrize("task", ["asr", "transcript"])
def test_silence_is_a_success_with_empty_lists(service, task):
    audio = wav(np.zeros(3 * 16_000))
    formats = ["json", "txt", "srt", "vtt", "textgrid"]
    reply = ask(service, audio, task=task, formats=formats)
    assert (reply["text"], reply["segments"], reply["language"]) == ("", [], None)
    assert reply["files"]["srt"] == ""
    assert reply["files"]["vtt"].startswith("WEBVTT")


def test_formats_are_written(service):
    reply = ask(service, SAMPLE, formats=["json", "txt", "srt", "vtt", "rttm", "textgrid"])
    files = reply["files"]
    assert set(files) == {"txt", "srt", "vtt", "rttm", "textgrid"}
    assert files["vtt"].startswith("WEBVTT\n")
    assert "<v SPEAKER_00>" in files["vtt"]
    assert "SPEAKER_01: " in files["srt"]
    assert 'class = "IntervalTier"' in files["textgrid"]


@pytest.mark.parametrize(("timestamps", "fields"), [("none", set()), ("segment", {"segments"})])
def test_timestamps_are_as_fine_as_asked(service, timestamps, fields):
    reply = ask(service, SAMPLE, task="asr", timestamps=timestamps)
    assert {"segments"} & set(reply) == fields
    assert reply["text"]
    assert not any("words" in segment for segment in reply.get("segments", []))


def test_punctuation_is_left_out_on_request(service):
    reply = ask(service, SAMPLE, task="asr", timestamps="word", punctuation=False)
    assert not re.search(r"[?,!]|\.( |$)", reply["text"])
    words = [w["word"] for s in reply["segments"] for w in s["words"]]
    assert not [word for word in words if word[-1] in ".,?!"]


def test_a_model_without_itn_or_punctuation_says_so(digits_service, server):
    url = server.url("/files/clip04_ked.flac")
    reply = ask(digits_service, url, task="asr", itn=False)
    assert any("no punctuation" in note for note in reply["notes"])
    assert "notes" not in ask(digits_service, url, task="asr")


@pytest.mark.parametrize(
    ("project", "fields", "words"),
    [
        ("demo", {"language": "zh"}, ["language: 'zh'", "whisper-tiny-en", "allowed: auto, en"]),
        ("demo", {"itn": False}, ["itn", "whisper-tiny-en"]),
        ("demo", {"model": "large"}, ["model: 'large'", "allowed: whisper-tiny-en"]),
        ("demo-funasr", {"hotwords": ["seven"]}, ["hotwords", "sensevoice-digits"]),
        ("demo-funasr", {"language": "fr"}, ["'fr'", "auto, zh, en, yue, ja, ko"]),
    ],
)
def test_what_a_model_cannot_do_is_an_error(
    service, digits_service, server, project, fields, words
):
    chosen = service if project == "demo" else digits_service
    before = server.count("/files/jfk.flac")
    error = ask(chosen, server.url("/files/jfk.flac"), task="asr", **fields)["error"]
    assert error.startswith("INVALID_INPUT: ")
    for word in words:
        assert word in error
    assert server.count("/files/jfk.flac") == before


def test_hotwords_are_taken_by_whisper(service, server):
    url = server.url("/files/jfk.flac")
    reply = ask(service, url, task="asr", hotwords=["Americans", "JFK"])
    assert "Americans" in reply["text"]


def test_a_hotword_that_is_none_fails_the_whole_list(service, server, monkeypatch):
    """Whichever recording's segments it shows on: those of the first wait for the second here."""
    monkeypatch.setattr(transcriber, "POOL_S", 20.0)
    url = server.url("/files/jfk.flac")  # 11 s
    reply = ask(service, [url] * 3, task="asr", hotwords=["<|endoftext|>"])
    assert list(reply) == ["error"]
    assert reply["error"].startswith("INVALID_INPUT: '<|endoftext|>' is no hotword")


def test_two_jobs_at_once_are_answered_as_alone(service, server):
    url = server.url("/files/jfk.flac")
    alone = ask(service, url, task="asr")["text"]
    found: list[str] = []
    job = {"task": "asr", "audio": url}
    threads = [
        threading.Thread(target=lambda: found.append(service.answer(job)["text"])) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [alone] * 3


@pytest.mark.parametrize("stage", ["decode", "vad", "overlap", "embedding", "clustering", "asr"])
def test_a_job_cancelled_at_any_stage_ends_and_leaves_nothing(service, stage):
    control = JobControl(lambda name, share: control.cancel() if name == stage else None)
    reply = service.answer({"audio": SAMPLE}, control)
    assert reply == {"error": "CANCELLED: The job was cancelled. Nothing of it is kept."}
    assert list(Path(tempfile.gettempdir()).iterdir()) == []


def test_progress_tells_each_stage(service):
    reports: list[tuple[str, float]] = []
    service.answer({"audio": SAMPLE}, JobControl(lambda *report: reports.append(report)))
    stages = list(dict.fromkeys(stage for stage, _ in reports))
    assert stages == ["decode", "vad", "overlap", "embedding", "clustering", "asr"]
    assert all(0 <= share <= 1 for _, share in reports)
