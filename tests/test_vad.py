import itertools
import json
from collections import deque

import numpy as np
import pytest

from tests import networks
from worker.audio import decode
from worker.control import JobControl
from worker.engines import vad
from worker.engines.vad import FsmnVad, VadOptions, decide, is_speech
from worker.errors import CancelledError
from worker.segments import Segment
from worker.waveform import WaveformFile


@pytest.fixture(scope="module")
def fsmn_vad(volume) -> FsmnVad:
    return networks.vad(volume)


@pytest.fixture
def recording(data, tmp_path):
    """Decode a recording of the tests' data."""
    opened = []

    def decoded(name: str) -> WaveformFile:
        audio = decode(data / name, tmp_path / "samples.f32", JobControl(), max_seconds=600)
        opened.append(audio.waveform)
        return audio.waveform

    yield decoded
    for waveform in opened:
        waveform.close()


@pytest.mark.parametrize("silence_ms", [300, 800])
@pytest.mark.parametrize("name", ["asr_example_zh.wav", "sample.wav", "vad_example_zh.flac"])
def test_segments_equal_funasr(fsmn_vad, data, recording, name, silence_ms):
    golden = json.loads((data / "golden_fsmn_vad.json").read_text())["segments"][name]
    options = VadOptions(max_end_silence_ms=silence_ms)
    found = fsmn_vad(recording(name), options, JobControl())
    expected = golden[str(silence_ms)]
    assert len(found) == len(expected)
    for segment, (start_ms, end_ms) in zip(found, expected, strict=True):
        assert abs(segment.start * 1000 - start_ms) <= 10
        assert abs(segment.end * 1000 - end_ms) <= 10


def silence_probability(fsmn_vad: FsmnVad, samples) -> np.ndarray:
    return np.concatenate(list(fsmn_vad.silence_probability(samples, JobControl())))


def test_blocks_change_nothing(fsmn_vad, recording, monkeypatch):
    samples = recording("sample.wav")
    whole = silence_probability(fsmn_vad, samples)
    assert len(whole) == 2998
    np.testing.assert_array_equal(silence_probability(fsmn_vad, samples[:]), whole)
    for frames in (100, 101, 997, len(whole) - 1):
        monkeypatch.setattr(vad, "BLOCK_FRAMES", frames)
        np.testing.assert_allclose(silence_probability(fsmn_vad, samples), whole, atol=1e-5)


def test_each_block_is_a_step_that_may_be_the_last(fsmn_vad, recording, monkeypatch):
    monkeypatch.setattr(vad, "BLOCK_FRAMES", 500)
    samples = recording("sample.wav")
    reports = []

    def cancel_in_the_middle(stage: str, share: float) -> None:
        reports.append((stage, share))
        if share == 0.5:
            control.cancel()

    control = JobControl(cancel_in_the_middle)
    with pytest.raises(CancelledError):
        fsmn_vad(samples, VadOptions(), control)
    assert reports == [("vad", n / 6) for n in range(4)]


@pytest.mark.parametrize("num_samples", [0, 1, 399, 400, 560, 1600])
def test_short_waveforms_have_no_speech(fsmn_vad, num_samples):
    assert fsmn_vad(np.zeros(num_samples, np.float32), VadOptions(), JobControl()) == []


def frames(*runs: tuple[int, bool]) -> np.ndarray:
    """Frames of speech (True) from runs of (frames, speech)."""
    return np.array([speech for count, speech in runs for _ in range(count)], dtype=np.bool_)


def test_a_pause_shorter_than_the_limit_does_not_end_a_segment():
    found = frames((100, False), (100, True), (40, False), (100, True), (100, False))
    assert len(decide(found, VadOptions(max_end_silence_ms=800))) == 1
    assert len(decide(found, VadOptions(max_end_silence_ms=300))) == 2


def test_a_long_segment_is_cut_without_a_gap():
    segments = decide(frames((1000, True)), VadOptions(max_segment_s=3))
    assert segments[0] == Segment(0.0, 3.01)
    assert all(a.end == b.start for a, b in itertools.pairwise(segments))
    assert segments[-1].end == 10.0


def test_speech_that_starts_with_the_last_frame():
    assert decide(frames((100, False), (15, True)), VadOptions()) == [Segment(0.74, 1.15)]
    assert decide(frames((100, False), (14, True)), VadOptions()) == []


def test_no_frames():
    assert decide(frames(), VadOptions()) == []


def test_the_threshold_decides():
    probability = np.array([0.0, 0.19, 0.21, 0.34, 0.36, 1.0], dtype=np.float32)
    assert is_speech(probability, 0.6).tolist() == [True, True, False, False, False, False]
    assert is_speech(probability, 0.3).tolist() == [True, True, True, True, False, False]


def step_by_step(speech_frames: np.ndarray, options: VadOptions) -> list[Segment]:
    """FunASR's state machine, frame by frame: what `decide` has to equal."""
    end_silence_ms = options.max_end_silence_ms - 150
    trailing = max(0, int(end_silence_ms / 10) - 11)
    segments: list[Segment] = []
    window: deque[bool] = deque()
    next_free, was_speech, start, silent_frames, frame = 0, False, None, 0, -1
    for frame, speech in enumerate(speech_frames.tolist()):
        window = deque([*window, speech], maxlen=20)
        is_speech = sum(window) > 15 if was_speech else sum(window) >= 15
        silent_frames = 0 if was_speech or is_speech else silent_frames + 1
        begins, was_speech = is_speech and not was_speech, is_speech
        if start is None:
            start = max(next_free, frame - 40) if begins else None
            continue
        if silent_frames and silent_frames * 10 >= end_silence_ms:
            end = frame - trailing
        elif (frame - start + 1) * 10 > options.max_segment_s * 1000:
            end = frame
        else:
            continue
        segments.append(Segment(start * 10 / 1000, (end + 1) * 10 / 1000))
        next_free, was_speech, start, silent_frames = end + 1, False, None, 0
        window.clear()
    if start is not None:
        segments.append(Segment(start * 10 / 1000, (frame + 1) * 10 / 1000))
    return segments


@pytest.mark.parametrize("max_segment_s", [0.1, 0.5, 2.345, 60.0])
@pytest.mark.parametrize("silence_ms", [0, 150, 160, 305, 800])
@pytest.mark.parametrize("mean_run", [2, 15, 60])
def test_any_frames_are_decided_as_step_by_step(mean_run, silence_ms, max_segment_s):
    rng = np.random.default_rng(mean_run)
    options = VadOptions(silence_ms, max_segment_s)
    for flipped in (0.0, 0.1, 0.25):
        runs = rng.geometric(1 / mean_run, 1200 // mean_run)
        found = frames(*((n, index % 2 == 0) for index, n in enumerate(runs)))
        found ^= rng.random(len(found)) < flipped
        assert decide(found, options) == step_by_step(found, options)
