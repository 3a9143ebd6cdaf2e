"""Features beside those of FunASR's own front end."""

from functools import cache

import numpy as np
import pytest
import torch

from tests.digits import MODEL, waveform
from worker.engines.frontend import Frontend
from worker.engines.funasr_folder import FunasrFolder
from worker.engines.funasr_import import funasr_module
from worker.features import low_frame_rate, read_cmvn


@cache
def frontend() -> Frontend:
    return FunasrFolder(MODEL).frontend()


@pytest.mark.parametrize(("stack", "shift"), [(7, 6), (5, 1), (1, 1)])
def test_low_frame_rate_is_that_of_funasr(stack, shift):
    theirs = funasr_module("frontends.wav_frontend").apply_lfr
    rng = np.random.default_rng(0)
    for num_frames in range(1, 60):
        frames = rng.standard_normal((num_frames, 3)).astype(np.float32)
        expected = theirs(torch.from_numpy(frames.copy()), stack, shift).numpy()
        assert np.array_equal(low_frame_rate(frames, stack, shift), expected), num_frames


@pytest.mark.parametrize("num_samples", [400, 559, 560, 4_000, 16_000, 100_000])
def test_features_are_those_of_funasr(num_samples):
    samples = waveform("clip11_yweweler_long.flac")[:num_samples]
    theirs = funasr_module("frontends.wav_frontend").WavFrontend(
        cmvn_file=str(MODEL / "am.mvn"), lfr_m=7, lfr_n=6, dither=0.0
    )
    expected, _ = theirs(torch.from_numpy(samples)[None], torch.tensor([len(samples)]))
    # FunASR's are kaldi-native-fbank's, to 1e-3 (test_features.py); normalisation shrinks that.
    np.testing.assert_allclose(frontend().features(samples), expected[0].numpy(), atol=3e-4, rtol=0)


def test_a_batch_is_padded_with_zeros():
    waveforms = [waveform("clip04_ked.flac"), waveform("clip01_yweweler.flac")]
    padded, lengths = frontend().batch(waveforms)
    assert padded.shape == (2, max(lengths), 560)
    assert padded.dtype == np.float32
    for row, length, each in zip(padded, lengths, waveforms, strict=True):
        assert np.array_equal(row[:length], frontend().features(each))
        assert not row[length:].any()


def test_a_feature_is_60_ms():
    assert frontend().frame_s == pytest.approx(0.06)


def test_cmvn_without_its_parts_is_an_error(tmp_path):
    path = tmp_path / "am.mvn"
    path.write_text("<Nnet>\n<AddShift> 2 2\n<LearnRateCoef> 0 [ 1 2 ]\n</Nnet>\n")
    with pytest.raises(ValueError, match="2 shifts and 0 scales"):
        read_cmvn(path)
