"""Jobs that name voices: real models, the two people of the sample, and a president."""

import itertools
import tempfile
import time

import numpy as np
import pytest

from tests.test_service import SAMPLE, data_uri, wav
from worker.control import JobControl
from worker.diarization.enrollment import THRESHOLD

ANN = {"name": "Ann Lee", "audio": {"url": SAMPLE, "offset": 21.8, "duration": 6.1}}
"""The first to speak in the sample, later on in it."""
STRETCH = {"url": SAMPLE, "duration": 21.5}
"""What of the sample no voice is enrolled from."""


@pytest.fixture(autouse=True)
def temporary_folder(tmp_path, monkeypatch):
    """Nothing is left behind in it."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def jack(data) -> dict:
    return {"name": "Jack", "audio": data_uri((data / "jfk.flac").read_bytes())}


def ask(service, **job) -> dict:
    reply = service.answer({"task": "diarization", "audio": STRETCH, **job})
    assert "error" not in reply, reply
    return reply


def test_a_known_voice_has_its_name_and_others_have_none(service, jack):
    reply = ask(service, speakers=[jack, ANN], formats=["rttm", "txt", "textgrid"])
    ann, other = reply["speakers"]
    assert (ann["speaker"], ann["name"]) == ("SPEAKER_00", "Ann Lee")
    assert THRESHOLD <= ann["score"] < 1
    assert (other["speaker"], other["name"]) == ("SPEAKER_01", None)
    assert "score" not in other
    for turn in reply["turns"]:
        known = turn["speaker"] == "SPEAKER_00"
        assert turn.get("name") == ("Ann Lee" if known else None)
        assert turn.get("score") == (ann["score"] if known else None)
    plain = ask(service)
    bare = [{k: t[k] for k in ("start", "end", "speaker")} for t in reply["turns"]]
    assert bare == plain["turns"]
    assert [s["name"] for s in plain["speakers"]] == [None, None]
    names = {line.split()[7] for line in reply["files"]["rttm"].splitlines()}
    assert names == {"Ann_Lee", "SPEAKER_01"}
    assert "  Ann Lee\n" in reply["files"]["txt"]
    assert 'name = "Ann Lee"' in reply["files"]["textgrid"]


def test_words_and_subtitles_carry_the_name_and_so_do_parts(service):
    parts: list[dict] = []
    job = {"task": "transcript", "audio": STRETCH, "speakers": [ANN], "stream": True}
    job["formats"] = ["srt", "vtt"]
    reply = service.answer(job, JobControl(publish=parts.append))
    told = [*reply["segments"], *(w for s in reply["segments"] for w in s["words"])]
    names = {(one["speaker"], one.get("name")) for one in told}
    assert names == {("SPEAKER_00", "Ann Lee"), ("SPEAKER_01", None)}
    assert "Ann Lee: " in reply["files"]["srt"]
    assert "<v Ann Lee>" in reply["files"]["vtt"]
    assert parts[0]["turns"] == reply["turns"]
    assert [s for part in parts[1:] for s in part["segments"]] == reply["segments"]


def test_embeddings_of_one_job_name_the_speakers_of_another(service):
    given = ask(service, return_embeddings=True)
    voices = [
        {"name": f"voice {n}", "embedding": speaker["embedding"]}
        for n, speaker in enumerate(given["speakers"])
    ]
    for voice in voices:
        assert voice["embedding"]["model"] == given["models"]["embedding"]
        assert np.linalg.norm(voice["embedding"]["values"]) == pytest.approx(1, abs=1e-3)
    same = ask(service, speakers=voices)["speakers"]
    assert [(s["name"], s["score"]) for s in same] == [("voice 0", 1.0), ("voice 1", 1.0)]
    bare = [{**voice, "embedding": voice["embedding"]["values"]} for voice in voices]
    rest = ask(service, audio={"url": SAMPLE, "offset": 18.8}, speakers=bare, num_speakers=2)
    assert [s["name"] for s in rest["speakers"]] == ["voice 1", "voice 0"]


def test_voices_that_sound_like_one_person_are_told(service):
    again = {"name": "Again", "audio": {"url": SAMPLE, "offset": 22.5, "duration": 5}}
    reply = ask(service, speakers=[again, ANN])
    assert reply["speakers"][0]["name"] in {"Again", "Ann Lee"}
    assert [note.split("(")[0] for note in reply["notes"]] == [
        "speakers: 'Again' and 'Ann Lee' sound like one person "
    ]


def test_the_first_recording_of_a_list_tells_the_time_of_enrollment(service):
    job = {"task": "diarization", "audio": ["volume://none", STRETCH, STRETCH], "speakers": [ANN]}
    results = service.answer(job)["results"]
    assert [r["ok"] for r in results] == [False, True, True]
    assert ["enrollment" in r["output"]["timings"] for r in results[1:]] == [True, False]


@pytest.mark.parametrize(
    ("voice", "expected"),
    [
        (
            {"audio": wav(np.zeros(16_000 * 9))},
            ["INVALID_INPUT", "holds 0 s of speech", "at least"],
        ),
        ({"audio": {"url": SAMPLE, "offset": 22, "duration": 1}}, ["INVALID_INPUT", "of speech"]),
        ({"audio": "volume://none.wav"}, ["FETCH_FAILED", "not found"]),
        ({"audio": "http://10.0.0.1/x.wav"}, ["FORBIDDEN_URL"]),
        ({"audio": "volume://../x.wav"}, ["FORBIDDEN_URL"]),
        ({"audio": "data:audio/wav;base64,AAAA"}, ["UNSUPPORTED_AUDIO"]),
        (
            {"embedding": {"model": "other/model@1", "values": [0.1] * 192}},
            ["INVALID_INPUT", "other/model@1", "iic/speech_campplus_sv_zh_en_16k-common_advanced"],
        ),
    ],
)
def test_a_voice_that_cannot_be_known_is_an_error_of_the_job(service, voice, expected):
    reply = service.answer(
        {"task": "diarization", "audio": [STRETCH], "speakers": [ANN, {"name": "Bob", **voice}]}
    )
    for words in ("'Bob'", *expected):
        assert words in reply["error"]


def test_a_bad_voice_is_told_while_the_next_ones_are_read(service, server):
    def wait_for_the_next(stage: str, _: float) -> None:
        while stage == "enrollment" and not server.count("/silent"):
            assert time.monotonic() < deadline, "the next voice is not read ahead"
            time.sleep(0.02)

    deadline = time.monotonic() + 30
    silence = {"name": "Bob", "audio": wav(np.zeros(16_000 * 4))}
    slow = {"name": "Cem", "audio": server.url("/silent")}
    job = {"task": "diarization", "audio": STRETCH, "speakers": [silence, ANN, slow]}
    reply = service.answer(job, JobControl(wait_for_the_next))
    assert reply["error"].startswith("INVALID_INPUT: speakers: 'Bob': its audio holds 0 s")


ENROLLING = ("decode", "enrollment", "vad", "overlap", "embedding", "clustering")


@pytest.mark.parametrize("last", ENROLLING[1:])
def test_a_job_may_be_cancelled_while_it_enrols(service, last):
    def cancel_at(stage: str, _: float) -> None:
        stages.append(stage)
        if stage == last:
            control.cancel()

    stages: list[str] = []
    control = JobControl(cancel_at)
    job = {"task": "diarization", "audio": STRETCH, "speakers": [ANN]}
    assert service.answer(job, control)["error"].startswith("CANCELLED: The job was cancelled")
    # Of the voice alone: the recording is not even decoded.
    assert [stage for stage, _ in itertools.groupby(stages)] == [
        *ENROLLING[: ENROLLING.index(last) + 1]
    ]
    assert stages.count(last) == 1
