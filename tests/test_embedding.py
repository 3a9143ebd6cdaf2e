import numpy as np
import pytest

from tests import networks
from worker.control import JobControl
from worker.diarization.windows import slide
from worker.engines import embedding
from worker.engines.embedding import BATCH_WINDOWS, DIM
from worker.errors import CancelledError
from worker.segments import Segment, Window
from worker.waveform import WaveformFile


@pytest.fixture(scope="module")
def embed(volume):
    return networks.embedding(volume)


@pytest.fixture
def noise() -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.1, 16_000 * 12).astype(np.float32)


WINDOWS = slide([Segment(0.0, 6.4), Segment(7.0, 7.3), Segment(8.11, 12.0)], 1.5, 0.75)


def test_no_windows(embed, noise):
    assert embed(noise, [], 1.5, JobControl()).shape == (0, DIM)


def test_a_window_is_the_same_alone_and_among_others(embed, noise):
    assert len(WINDOWS) % BATCH_WINDOWS
    together = embed(noise, WINDOWS, 1.5, JobControl())
    assert together.shape == (len(WINDOWS), DIM)
    for window, expected in zip(WINDOWS, together, strict=True):
        alone = embed(noise, [window], 1.5, JobControl())[0]
        np.testing.assert_allclose(alone, expected, atol=1e-4)


def test_pieces_change_nothing(embed, noise, monkeypatch):
    whole = embed(noise, WINDOWS, 1.5, JobControl())
    for size in (1, 3):
        monkeypatch.setattr(embedding, "PIECE_WINDOWS", size)
        np.testing.assert_array_equal(embed(noise, WINDOWS, 1.5, JobControl()), whole)


def test_a_file_gives_what_the_array_gives(embed, noise, tmp_path):
    path = tmp_path / "samples.f32"
    path.write_bytes(noise.tobytes())
    with WaveformFile(path) as waveform:
        from_file = embed(waveform, WINDOWS, 1.5, JobControl())
    np.testing.assert_array_equal(from_file, embed(noise, WINDOWS, 1.5, JobControl()))


def test_a_recording_shorter_than_a_window(embed, noise):
    assert np.isfinite(embed(noise[:8000], [Window(0.0, 0.5, 0)], 1.5, JobControl())).all()


def test_each_batch_is_a_step_that_may_be_the_last(embed, noise):
    shares = []
    embed(noise, WINDOWS, 1.5, JobControl(lambda stage, share: shares.append((stage, share))))
    num_batches = -(-len(WINDOWS) // BATCH_WINDOWS)
    assert shares == [("embedding", n / num_batches) for n in range(num_batches)]

    control = JobControl(lambda stage, share: control.cancel())
    with pytest.raises(CancelledError):
        embed(noise, WINDOWS, 1.5, control)
