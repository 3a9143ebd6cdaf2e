"""Turns and utterances as they are known; the result is the same with and without."""

import pytest

from tests.platform import Platform, WorkerProcess
from worker.control import JobControl

SAMPLE = "volume://samples/sample.wav"


def answer(service, **asked) -> tuple[dict, list[dict]]:
    parts: list[dict] = []
    reply = service.answer({"audio": SAMPLE, **asked}, JobControl(publish=parts.append))
    assert "error" not in reply
    return reply, parts


def without_times(reply: dict) -> dict:
    return {key: value for key, value in reply.items() if key != "timings"}


@pytest.fixture(scope="module")
def streamed(service) -> tuple[dict, list[dict]]:
    """A transcript, and what was published of it."""
    return answer(service, task="transcript", stream=True)


def test_turns_are_published_when_they_are_known(service):
    reply, parts = answer(service, task="diarization", stream=True)
    assert parts == [{"audio": {"id": None, "index": 0}, "turns": reply["turns"]}]


def test_the_result_does_not_depend_on_the_stream(service, streamed):
    reply, parts = answer(service, task="transcript")
    assert parts == []
    assert without_times(streamed[0]) == without_times(reply)


def test_utterances_are_published_in_the_form_of_the_result(streamed):
    reply, (turns, *parts) = streamed
    assert turns["turns"] == reply["turns"]
    assert parts
    assert [s for part in parts for s in part["segments"]] == reply["segments"]


def test_each_recording_of_a_list_says_which_it_is(service):
    audio = [
        {"url": SAMPLE, "duration": 9},
        "volume://none",
        {"url": SAMPLE, "id": "b", "duration": 12},
    ]
    parts: list[dict] = []
    job = {"task": "transcript", "audio": audio, "stream": True}
    reply = service.answer(job, JobControl(publish=parts.append))
    assert [r["ok"] for r in reply["results"]] == [True, False, True]
    turns = [part for part in parts if "turns" in part]
    assert [part["audio"] for part in turns] == [{"id": None, "index": 0}, {"id": "b", "index": 2}]
    for index in (0, 2):
        own = [p for p in parts if p["audio"]["index"] == index and "segments" in p]
        said = [s for part in own for s in part["segments"]]
        assert said == reply["results"][index]["output"]["segments"]


def test_a_client_reads_along(platform: Platform, tmp_path, volume):
    with WorkerProcess(platform, tmp_path, volume.root) as worker:
        worker.ready()
        audio = {"url": SAMPLE, "duration": 9}
        job = platform.submit({"task": "transcript", "audio": audio, "stream": True})
        status = platform.wait(job)
        assert status["status"] == "COMPLETED"
        turns, *segments, last = [part["output"] for part in platform.stream(job)["stream"]]
        assert turns["turns"] == status["output"]["turns"]
        assert (
            segments[0]["segments"] == status["output"]["segments"][: len(segments[0]["segments"])]
        )
        assert last == status["output"]
        worker.terminate()
        assert worker.wait(30) == 0
