"""Log-mel frames beside those of kaldi-native-fbank."""

import kaldi_native_fbank as knf
import numpy as np
import pytest

from worker.audio import decode
from worker.control import JobControl
from worker.features import BLOCK_FRAMES, fbank, num_frames

SCALES = {"povey": 1, "hamming": 32_768}


def kaldi(waveform: np.ndarray, window_type: str) -> np.ndarray:
    options = knf.FbankOptions()
    options.frame_opts.dither = 0.0
    options.frame_opts.window_type = window_type
    options.mel_opts.num_bins = 80
    extractor = knf.OnlineFbank(options)
    extractor.accept_waveform(16_000, waveform)
    extractor.input_finished()
    frames = [extractor.get_frame(n) for n in range(extractor.num_frames_ready)]
    return np.array(frames, dtype=np.float32).reshape(-1, 80)


@pytest.mark.parametrize("window_type", SCALES)
@pytest.mark.parametrize("name", ["asr_example_zh.wav", "sample.wav", "vad_example_zh.flac"])
def test_speech(data, tmp_path, name, window_type):
    path = tmp_path / "samples.f32"
    with decode(data / name, path, JobControl(), max_seconds=600).waveform as recording:
        waveform = recording[: 16_000 * 30] * np.float32(SCALES[window_type])
    np.testing.assert_allclose(
        fbank(waveform, window_type), kaldi(waveform, window_type), atol=1e-3, rtol=0
    )


@pytest.mark.parametrize("window_type", SCALES)
@pytest.mark.parametrize("constant", [0.0, 0.3])
def test_a_constant_is_taken_away(constant, window_type):
    noise = np.random.default_rng(0).normal(constant, 0.05, 16_000).astype(np.float32)
    found = fbank(noise, window_type)
    np.testing.assert_allclose(found, kaldi(noise, window_type), atol=1e-3, rtol=0)


def test_silence_has_the_least_energy():
    silence = np.zeros(16_000, dtype=np.float32)
    np.testing.assert_array_equal(fbank(silence, "povey"), kaldi(silence, "povey"))


@pytest.mark.parametrize("num_samples", [0, 1, 399, 400, 401, 559, 560, 720])
def test_short_waveforms(num_samples):
    noise = np.random.default_rng(0).normal(0, 0.1, num_samples).astype(np.float32)
    found = fbank(noise, "hamming")
    assert found.dtype == np.float32
    assert found.shape == (num_frames(num_samples), 80)
    np.testing.assert_allclose(found, kaldi(noise, "hamming"), atol=1e-3, rtol=0)


def test_a_frame_depends_on_its_own_samples_alone():
    noise = np.random.default_rng(0).normal(0, 0.1, 160 * 3 * BLOCK_FRAMES).astype(np.float32)
    whole = fbank(noise, "povey")
    for first in (1, BLOCK_FRAMES - 1, BLOCK_FRAMES + 7):
        part = fbank(noise[160 * first :], "povey")
        np.testing.assert_allclose(part, whole[first:], atol=1e-4, rtol=0)
    assert np.isfinite(whole).all()


def test_the_waveform_is_left_as_it_is():
    noise = np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)
    noise.flags.writeable = False
    fbank(noise, "povey")
