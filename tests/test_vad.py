import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from worker.audio import decode
from worker.engines import vad
from worker.engines.vad import FsmnVad, VadOptions, decide
from worker.segments import Segment


@pytest.fixture(scope="module")
def fsmn_vad(service) -> FsmnVad:
    return service._diarizer(service._defaults(), None)[0]._vad


def waveform(path: Path) -> np.ndarray:
    return decode(path, max_seconds=600).waveform


@pytest.mark.parametrize("silence_ms", [300, 800])
@pytest.mark.parametrize("name", ["asr_example_zh.wav", "sample.wav", "vad_example_zh.flac"])
def test_segments_equal_funasr(fsmn_vad, data, name, silence_ms):
    golden = json.loads((data / "golden_fsmn_vad.json").read_text())["segments"][name]
    found = fsmn_vad(waveform(data / name), VadOptions(max_end_silence_ms=silence_ms))
    expected = golden[str(silence_ms)]
    assert len(found) == len(expected)
    for segment, (start_ms, end_ms) in zip(found, expected, strict=True):
        assert abs(segment.start * 1000 - start_ms) <= 10
        assert abs(segment.end * 1000 - end_ms) <= 10


def test_blocks_change_nothing(fsmn_vad, data, monkeypatch):
    samples = waveform(data / "sample.wav")
    whole = fsmn_vad.silence_probability(samples)
    for frames in (100, 101, 997, len(whole) - 1):
        monkeypatch.setattr(vad, "BLOCK_FRAMES", frames)
        np.testing.assert_allclose(fsmn_vad.silence_probability(samples), whole, atol=1e-5)


@pytest.mark.parametrize("num_samples", [0, 1, 399, 400, 560, 1600])
def test_short_waveforms_have_no_speech(fsmn_vad, num_samples):
    assert fsmn_vad(np.zeros(num_samples, np.float32), VadOptions()) == []


def frames(*runs: tuple[int, float]) -> np.ndarray:
    """Silence probabilities from runs of (frames, probability)."""
    return np.concatenate([np.full(n, p, np.float32) for n, p in runs])


def test_a_pause_shorter_than_the_limit_does_not_end_a_segment():
    probability = frames((100, 1), (100, 0), (40, 1), (100, 0), (100, 1))
    assert len(decide(probability, VadOptions(max_end_silence_ms=800))) == 1
    assert len(decide(probability, VadOptions(max_end_silence_ms=300))) == 2


def test_a_long_segment_is_cut_without_a_gap():
    segments = decide(frames((1000, 0)), VadOptions(max_segment_s=3))
    assert segments[0] == Segment(0.0, 3.01)
    assert all(a.end == b.start for a, b in itertools.pairwise(segments))
    assert segments[-1].end == 10.0


def test_the_threshold_decides():
    probability = frames((50, 1), (100, 0.3), (100, 1))
    assert decide(probability, VadOptions(speech_noise_threshold=0.6)) == []
    assert len(decide(probability, VadOptions(speech_noise_threshold=0.3))) == 1
