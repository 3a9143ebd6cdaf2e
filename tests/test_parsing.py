import pytest

from worker.errors import InvalidInputError
from worker.parsing import parse

JOB = {"task": "diarization", "audio": "https://example.com/a.wav"}


def test_a_string_is_a_url():
    request = parse(JOB)
    (audio,) = request.audio
    assert audio.url == "https://example.com/a.wav"
    assert audio.offset == 0.0
    assert request.formats == ["json"]


def test_an_object_may_name_a_stretch():
    audio = {"url": "volume://a.wav", "id": "a", "offset": 1, "duration": 2.5}
    (found,) = parse({**JOB, "audio": audio}).audio
    assert (found.id, found.offset, found.duration) == ("a", 1.0, 2.5)


def test_a_list_may_mix_strings_and_objects():
    found = parse({"audio": ["volume://a.wav", {"url": "volume://b.wav", "id": "b"}]}).audio
    assert [(a.url, a.id) for a in found] == [("volume://a.wav", None), ("volume://b.wav", "b")]


def test_a_job_may_say_how_it_is_answered():
    request = parse({**JOB, "output": "s3://bucket/a folder/ä/", "timeout_s": 60, "stream": True})
    assert (request.output, request.timeout_s) == ("s3://bucket/a folder/ä/", 60.0)
    assert request.stream
    assert (parse(JOB).output, parse(JOB).timeout_s, parse(JOB).stream) == (None, None, False)


@pytest.mark.parametrize(
    ("job", "granularity"),
    [
        ({}, "word"),
        ({"task": "asr"}, "segment"),
        ({"task": "asr", "timestamps": "none"}, "none"),
        ({"task": "transcript", "timestamps": "segment"}, "segment"),
    ],
)
def test_times_are_as_fine_as_the_task_wants(job, granularity):
    request = parse({"audio": "volume://a.wav", **job})
    assert request.granularity == granularity
    assert request.task == job.get("task", "transcript")


@pytest.mark.parametrize(
    ("job", "words"),
    [
        (None, ["input", "expected an object"]),
        ([], ["input", "expected an object"]),
        ({}, ["audio", "required"]),
        ({"task": "diarization"}, ["audio", "required"]),
        ({**JOB, "task": "sing"}, ["task", "'sing'", "'diarization'"]),
        ({**JOB, "audio": 5}, ["audio", "5"]),
        ({**JOB, "audio": ""}, ["audio.url"]),
        ({**JOB, "audio": {"id": "x"}}, ["audio.url", "required"]),
        ({**JOB, "audio": {"url": "x", "ofset": 1}}, ["ofset", "did you mean 'offset'"]),
        ({**JOB, "audio": {"url": "x", "offset": -1}}, ["audio.offset", "-1"]),
        ({**JOB, "audio": {"url": "x", "offset": float("nan")}}, ["audio.offset", "nan"]),
        ({**JOB, "audio": {"url": "x", "duration": float("inf")}}, ["audio.duration", "inf"]),
        ({**JOB, "num_speaker": 2}, ["num_speaker", "did you mean 'num_speakers'", "allowed"]),
        ({**JOB, "num_speakers": "two"}, ["num_speakers", "'two'", "integer"]),
        ({**JOB, "num_speakers": True}, ["num_speakers", "True", "integer"]),
        ({**JOB, "num_speakers": 2.5}, ["num_speakers", "2.5"]),
        ({**JOB, "num_speakers": 0}, ["num_speakers", "0"]),
        ({**JOB, "num_speakers": 101}, ["num_speakers", "101"]),
        ({**JOB, "min_speakers": 4, "max_speakers": 2}, ["min_speakers (4)", "max_speakers (2)"]),
        ({**JOB, "num_speakers": 2, "max_speakers": 3}, ["num_speakers excludes"]),
        ({**JOB, "formats": "rttm"}, ["formats", "'rttm'"]),
        ({**JOB, "formats": []}, ["formats"]),
        ({**JOB, "formats": ["docx"]}, ["formats", "'docx'", "'json', 'txt', 'srt', 'vtt'"]),
        ({**JOB, "formats": ["srt"]}, ["gives no srt", "allowed: json, txt, rttm, textgrid"]),
        ({"audio": "x", "task": "asr", "formats": ["rttm"]}, ["'asr' gives no rttm"]),
        ({**JOB, "hotwords": ["x"], "itn": False}, ["hotwords, itn: of no use", "'diarization'"]),
        (
            {"audio": "x", "task": "asr", "num_speakers": 2},
            ["num_speakers: of no use to task 'asr'"],
        ),
        ({"audio": "x", "language": "English"}, ["language", "'English'"]),
        ({"audio": "x", "hotwords": "x"}, ["hotwords", "'x'", "list"]),
        ({"audio": "x", "hotwords": [""]}, ["hotwords.0"]),
        ({"audio": "x", "timestamps": "words"}, ["timestamps", "'none', 'segment' or 'word'"]),
        ({"audio": "x", "punctuation": "no"}, ["punctuation", "'no'", "boolean"]),
        ({"audio": []}, ["audio", "at least 1"]),
        ({"audio": ["x"] * 65}, ["audio", "at most 64"]),
        ({"audio": ["x", {"id": "y"}]}, ["audio.1.url", "required"]),
        ({"audio": ["x", 5]}, ["audio.1", "5"]),
        ({"audio": ["x", {"url": "y", "ofset": 1}]}, ["audio.1.ofset", "did you mean 'offset'"]),
        ({**JOB, "vad": {"max_end_silence": 3}}, ["did you mean 'max_end_silence_ms'"]),
        ({**JOB, "diarization": {"window_s": 0.1}}, ["diarization.window_s", "0.1"]),
        ({**JOB, "audio": {"url": "x", "offset": 1e305}}, ["audio.offset", "1e+305"]),
        ({**JOB, "audio": {"url": "x", "id": "\ud800"}}, ["audio.id", "surrogate"]),
        ({**JOB, "audio": "\ud800"}, ["audio.url"]),
        ({**JOB, "formats": ["rttm"] * 1000}, ["formats"]),
        ({**JOB, "output": "https://host/"}, ["output", "s3://bucket/prefix/"]),
        ({**JOB, "output": "s3://bucket"}, ["output"]),
        ({**JOB, "output": "s3://bucket/file"}, ["output"]),
        ({**JOB, "output": "s3://bucket/a\nb/"}, ["output"]),
        ({**JOB, "output": f"s3://bucket/{'ä' * 350}/"}, ["output", "700 bytes"]),
        ({"audio": ["x"] * 2_000_000}, ["audio: 2,000,000 recordings", "at most 64"]),
        ({**JOB, **{str(n): n for n in range(101)}}, ["input: has 103 fields", "100"]),
        ({**JOB, "vad": dict.fromkeys(map(str, range(101)))}, ["vad: has 101 fields"]),
        ({"audio": dict.fromkeys(map(str, range(101)))}, ["audio: has 101 fields"]),
        ({"audio": ["x", dict.fromkeys(map(str, range(101)))]}, ["audio.1: has 101 fields"]),
        ({**JOB, "timeout_s": 0}, ["timeout_s", "0", "greater than 0"]),
        ({**JOB, "timeout_s": float("inf")}, ["timeout_s"]),
        ({**JOB, "timeout_s": "60"}, ["timeout_s", "'60'"]),
        ({**JOB, "stream": 1}, ["stream", "1", "boolean"]),
        ({**JOB, "s3Config": {}}, ["s3Config: unknown field"]),
        ({**JOB, "webhook": "https://example.com"}, ["webhook", "top level"]),
    ],
)
def test_a_mistake_is_named(job, words):
    with pytest.raises(InvalidInputError) as caught:
        parse(job)
    for word in words:
        assert word in str(caught.value)


def test_every_mistake_is_named_at_once():
    with pytest.raises(InvalidInputError) as caught:
        parse({"task": "diarization", "num_speakers": 0, "colour": "red"})
    for field in ("audio", "num_speakers", "colour"):
        assert field in str(caught.value)


def test_a_message_holds_no_data_and_no_signature():
    signed = "https://user:secret@host/path?X-Amz-Signature=secret"
    many = {f"{signed}{n}\n": n for n in range(90)}
    with pytest.raises(InvalidInputError) as caught:
        parse({"audio": {"url": 1, "id": "x" * 5000}, "task": signed, "model": [signed], **many})
    message = str(caught.value)
    assert len(message) < 2000
    assert "secret" not in message
    assert "\n" not in message
