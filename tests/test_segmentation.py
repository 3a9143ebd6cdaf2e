import numpy as np
import pytest

from tests import networks
from worker.control import JobControl
from worker.engines.segmentation import (
    BATCH_WINDOWS,
    FIELD_SAMPLES,
    NUM_CLASSES,
    STEP_SAMPLES,
    WINDOW_FRAMES,
    WINDOW_SAMPLES,
)
from worker.errors import CancelledError
from worker.waveform import WaveformFile


@pytest.fixture(scope="module")
def segmentation(volume):
    return networks.segmentation(volume)


@pytest.fixture(scope="module")
def noise() -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.1, 16_000 * 63).astype(np.float32)


@pytest.mark.parametrize(
    ("num_samples", "num_frames"),
    [
        (0, 0),
        (FIELD_SAMPLES - 1, 0),
        (FIELD_SAMPLES, 1),
        (FIELD_SAMPLES + STEP_SAMPLES, 2),
        (WINDOW_SAMPLES - 1, WINDOW_FRAMES - 1),
        (WINDOW_SAMPLES, WINDOW_FRAMES),
        (WINDOW_SAMPLES + STEP_SAMPLES, WINDOW_FRAMES + 1),
    ],
)
def test_a_frame_for_each_that_fits(segmentation, noise, num_samples, num_frames):
    activity = segmentation(noise[:num_samples], JobControl())
    assert activity.shape == (num_frames, NUM_CLASSES)
    np.testing.assert_allclose(activity.sum(axis=1), 1.0, atol=5e-3)


def test_frames_of_all_windows_are_one_grid(segmentation, noise):
    activity = segmentation(noise, JobControl())
    second = noise[WINDOW_FRAMES * STEP_SAMPLES :][:WINDOW_SAMPLES]
    alone = segmentation(second, JobControl())
    np.testing.assert_allclose(activity[WINDOW_FRAMES : 2 * WINDOW_FRAMES], alone, atol=2e-3)
    # The last window ends with the recording, whatever it tells twice.
    start = (len(activity) - WINDOW_FRAMES) * STEP_SAMPLES
    last = segmentation(noise[start : start + WINDOW_SAMPLES], JobControl())
    new = len(activity) % WINDOW_FRAMES
    assert new
    np.testing.assert_allclose(activity[-new:], last[-new:], atol=2e-3)


def test_batches_and_files_change_nothing(segmentation, noise, tmp_path):
    whole = segmentation(noise, JobControl())
    np.testing.assert_allclose(segmentation(noise, JobControl(), 1), whole, atol=2e-3)
    path = tmp_path / "samples.f32"
    path.write_bytes(noise.tobytes())
    with WaveformFile(path) as waveform:
        np.testing.assert_array_equal(segmentation(waveform, JobControl()), whole)


def test_each_batch_is_a_step_that_may_be_the_last(segmentation, noise):
    steps = []
    segmentation(noise, JobControl(lambda stage, share: steps.append((stage, share))))
    num_windows = -(-((len(noise) - FIELD_SAMPLES) // STEP_SAMPLES + 1) // WINDOW_FRAMES)
    num_batches = -(-num_windows // BATCH_WINDOWS)
    assert num_batches > 1
    assert steps == [("overlap", n / num_batches) for n in range(num_batches)]

    control = JobControl(lambda stage, share: control.cancel())
    with pytest.raises(CancelledError):
        segmentation(noise, control)
