from collections.abc import Callable
from itertools import pairwise

import pytest

from tests import networks
from worker.audio import decode
from worker.control import JobControl
from worker.device import Device
from worker.diarization import pipeline
from worker.diarization.clustering import SpeakerBounds
from worker.diarization.pipeline import NOBODY, DiarizationOptions, Diarizer
from worker.engines.embedding import BATCH_WINDOWS
from worker.engines.vad import VadOptions
from worker.errors import CancelledError
from worker.memory import Memory
from worker.segments import Turn
from worker.telemetry import Stopwatch

MEMORY = Memory(Device("cpu", 2, "float32"), lambda: None)
SAMPLE_TURNS = [
    Turn(6.47, 8.13, 0),
    Turn(8.13, 9.98, 1),
    Turn(9.98, 10.7, 0),
    Turn(10.7, 14.24, 1),
    Turn(14.24, 18.3, 0),
    Turn(18.3, 21.8, 1),
    Turn(21.8, 27.99, 0),
    Turn(27.99, 29.98, 1),
]


@pytest.fixture(scope="module")
def diarizer(volume) -> Diarizer:
    return Diarizer(networks.embedding(volume), MEMORY)


@pytest.fixture(scope="module")
def waveform(data, tmp_path_factory):
    target = tmp_path_factory.mktemp("sample") / "samples.f32"
    with decode(data / "sample.wav", target, JobControl(), max_seconds=60).waveform as samples:
        yield samples


@pytest.fixture(scope="module")
def segments(volume, waveform):
    return networks.vad(volume)(waveform, VadOptions(), JobControl())


def test_the_turns_of_the_sample(diarizer, waveform, segments):
    stopwatch = Stopwatch()
    turns = diarizer(waveform, segments, DiarizationOptions(), stopwatch, JobControl()).turns
    assert turns == SAMPLE_TURNS
    assert list(stopwatch.seconds) == ["embedding", "clustering"]


def test_the_turns_of_the_sample_with_overlap(volume, waveform, segments):
    diarizer = Diarizer(networks.embedding(volume), MEMORY, networks.segmentation(volume))
    stopwatch = Stopwatch()
    turns = diarizer(waveform, segments, DiarizationOptions(), stopwatch, JobControl()).turns
    assert list(stopwatch.seconds) == ["overlap", "embedding", "clustering"]
    assert {turn.speaker for turn in turns} == {0, 1}
    shared = [(b.start, min(a.end, b.end)) for a, b in pairwise(turns) if b.start < a.end]
    # The two laugh and talk into each other about the 22nd and the 28th second.
    assert shared


def test_speech_that_the_vad_missed(volume, waveform, segments):
    diarizer = Diarizer(networks.embedding(volume), MEMORY, networks.segmentation(volume))
    turns = diarizer(waveform, [], DiarizationOptions(), Stopwatch(), JobControl()).turns
    assert turns[0].start == pytest.approx(segments[0].start, abs=0.5)
    assert sum(turn.duration for turn in turns) > 15


def test_an_array_gives_the_same_turns(diarizer, waveform, segments):
    turns = diarizer(waveform[:], segments, DiarizationOptions(), Stopwatch(), JobControl()).turns
    assert turns == SAMPLE_TURNS


def test_no_speech(diarizer, waveform):
    assert diarizer(waveform, [], DiarizationOptions(), Stopwatch(), JobControl()) is NOBODY


def test_a_known_number_of_speakers(diarizer, waveform, segments):
    options = DiarizationOptions(speakers=SpeakerBounds(1, 1))
    turns = diarizer(waveform, segments, options, Stopwatch(), JobControl()).turns
    assert {turn.speaker for turn in turns} == {0}


@pytest.mark.parametrize("step", [("embedding", 0.0), ("clustering", 0.0), ("clustering", 0.5)])
def test_a_cancelled_job_ends_at_its_next_step(diarizer, waveform, segments, step):
    reports = []

    def cancel_at_step(stage: str, share: float) -> None:
        reports.append((stage, share))
        if (stage, share) == step:
            control.cancel()

    control = JobControl(cancel_at_step)
    with pytest.raises(CancelledError):
        diarizer(waveform, segments, DiarizationOptions(), Stopwatch(), control)
    assert reports[-1] == step


def second_time(function: Callable[..., object]) -> Callable[..., object]:
    """Let a function have no memory at first."""
    outcomes = iter([MemoryError()])

    def work(*arguments: object) -> object:
        for error in outcomes:
            raise error
        return function(*arguments)

    return work


def test_only_the_stage_that_memory_ends_in_is_tried_again(volume, waveform, segments, monkeypatch):
    batch_windows = []

    def embed(*arguments: object) -> object:
        batch_windows.append(arguments[-1])
        return networks.embedding(volume)(*arguments)

    job = waveform, segments, DiarizationOptions(), Stopwatch(), JobControl()
    with monkeypatch.context() as scarce:
        scarce.setattr(pipeline, "find_centroids", second_time(pipeline.find_centroids))
        assert Diarizer(embed, MEMORY)(*job).turns == SAMPLE_TURNS
    assert batch_windows == [BATCH_WINDOWS]
    assert Diarizer(second_time(embed), MEMORY)(*job).turns == SAMPLE_TURNS
    assert batch_windows == [BATCH_WINDOWS, BATCH_WINDOWS // 2]
