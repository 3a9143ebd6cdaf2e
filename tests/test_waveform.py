from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from worker.waveform import WaveformFile


@pytest.fixture
def samples() -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, 10_000).astype(np.float32)


@pytest.fixture
def waveform(tmp_path, samples):
    path = tmp_path / "samples.f32"
    path.write_bytes(samples.tobytes())
    with WaveformFile(path) as opened:
        yield opened


ENDS = [None, 0, 1, 4095, 9999, 10_000, 10_001, 10**12, -1, -9999, -10_000, -(10**12)]


def test_slices_as_an_array_does(waveform, samples):
    assert len(waveform) == len(samples)
    for start in ENDS:
        for stop in ENDS:
            found = waveform[start:stop]
            assert found.dtype == np.float32
            np.testing.assert_array_equal(found, samples[start:stop])


def test_a_slice_is_the_callers_own(waveform, samples):
    waveform[:100].fill(0)
    np.testing.assert_array_equal(waveform[:100], samples[:100])


@pytest.mark.parametrize("key", [0, -1, slice(None, None, 2), slice(None, None, -1), (0, 1), None])
def test_nothing_but_a_plain_slice(waveform, key):
    with pytest.raises(TypeError, match=r"waveform\[start:stop\]"):
        waveform[key]


def test_no_samples(tmp_path):
    path = tmp_path / "samples.f32"
    path.touch()
    with WaveformFile(path) as waveform:
        assert len(waveform) == len(waveform[:]) == len(waveform[5:9]) == 0


def test_threads_read_at_once(waveform, samples):
    starts = np.random.default_rng(1).integers(0, 9000, 2000).tolist()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda start: waveform[start : start + 1000], starts))
    for start, stretch in zip(starts, found, strict=True):
        np.testing.assert_array_equal(stretch, samples[start : start + 1000])


def test_the_file_may_be_deleted(tmp_path, waveform, samples):
    (tmp_path / "samples.f32").unlink()
    np.testing.assert_array_equal(waveform[:], samples)


def test_a_file_that_became_shorter(tmp_path, waveform, samples):
    with (tmp_path / "samples.f32").open("r+b") as file:
        file.truncate(5000 * 4)
    np.testing.assert_array_equal(waveform[:5000], samples[:5000])
    with pytest.raises(EOFError, match="end at byte 20000, 4 before"):
        waveform[4000:5001]


def test_nothing_is_read_once_it_is_closed(waveform):
    waveform.close()
    waveform.close()
    with pytest.raises(ValueError, match="closed"):
        waveform[:1]
