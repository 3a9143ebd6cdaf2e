import numpy as np
import pytest

from tests import networks
from worker.audio import decode
from worker.control import JobControl
from worker.diarization.clustering import normalise
from worker.diarization.windows import slide
from worker.engines import embedding
from worker.engines.embedding import DIM, MAX_TILE_FRAMES, ROW_FRAMES, SpeakerEmbedding
from worker.errors import CancelledError
from worker.features import FRAME_SHIFT_SAMPLES, NUM_MEL_BINS, num_frames
from worker.segments import Segment, Window
from worker.waveform import SAMPLE_RATE, WaveformFile


@pytest.fixture(scope="module")
def embed(volume):
    return networks.embedding(volume)


def noise_of(seconds: int) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.1, 16_000 * seconds).astype(np.float32)


@pytest.fixture
def noise() -> np.ndarray:
    return noise_of(12)


WINDOWS = slide([Segment(0.0, 6.4), Segment(7.0, 7.3), Segment(8.11, 12.0)], 1.5, 0.75)


def test_no_windows(embed, noise):
    assert embed(noise, [], 1.5, JobControl()).shape == (0, DIM)


@pytest.fixture
def tiled(monkeypatch) -> None:
    """As in a recording of more windows."""
    monkeypatch.setattr(embedding, "FEW_WINDOWS", 0)


def test_few_windows_are_as_alone(embed, noise):
    together = embed(noise, WINDOWS, 1.5, JobControl())
    alone = np.concatenate([embed(noise, [window], 1.5, JobControl()) for window in WINDOWS])
    np.testing.assert_array_equal(together, alone)


@pytest.mark.usefixtures("tiled")
def test_windows_are_about_as_alone(embed, data, tmp_path):
    with decode(
        data / "jfk.flac", tmp_path / "samples", JobControl(), max_seconds=60
    ).waveform as w:
        speech = w[:]
    windows = slide([Segment(0.3, 10.5)], 1.5, 0.75)
    together = embed(speech, windows, 1.5, JobControl())
    alone = np.concatenate([embed(speech, [w], 1.5, JobControl()) for w in windows])
    cosines = (normalise(together) * normalise(alone)).sum(axis=1)
    tiles = [*cosines[:-1:2], cosines[-1]]  # but for two frames
    assert min(tiles) > 0.9
    assert np.mean(tiles) > 0.98
    assert cosines.min() > 0.7
    strangers = normalise(together) @ normalise(embed(noise_of(12), windows, 1.5, JobControl())).T
    assert strangers.max() < 0.5


@pytest.mark.usefixtures("tiled")
def test_the_network_takes_the_longest_tile(embed, noise):
    window_s = MAX_TILE_FRAMES / 100
    windows = slide([Segment(0.0, 7.13)], window_s, 0.4)
    assert np.isfinite(embed(noise, windows, window_s, JobControl())).all()


class Rows:
    """A session that keeps the first frame of each row of each window."""

    def __init__(self):
        self.frames = []

    def expect(self, *names):
        assert names == ("tiles", "windows")

    def map(self, prepare, pieces):
        for tiles, rows in map(prepare, pieces):
            assert tiles.shape[1] <= MAX_TILE_FRAMES
            self.frames += [*tiles[:, ::ROW_FRAMES, 0].ravel()[rows]]
            yield np.zeros((len(rows), DIM), np.float32)


def number_frames(samples: np.ndarray, _: str) -> np.ndarray:
    """Frames that hold their number in the recording, of samples that do."""
    numbers = samples[0] / FRAME_SHIFT_SAMPLES + np.arange(num_frames(len(samples)))
    return np.tile(numbers[:, np.newaxis], NUM_MEL_BINS)


@pytest.mark.usefixtures("tiled")
@pytest.mark.parametrize("window_s", [1.0, 1.01, 1.5, 1.99, 2.0, 2.5, 3.0])
@pytest.mark.parametrize("shift_s", [0.4, 0.75, 0.99])
def test_each_window_has_its_own_frames(monkeypatch, window_s, shift_s):
    monkeypatch.setattr(embedding, "fbank", number_frames)
    lengths = np.arange(0.2, 6.2, 0.13).round(2)
    ends = lengths.cumsum().round(2)
    segments = [Segment(*pair) for pair in zip((ends - lengths).round(2), ends, strict=True)]
    windows = slide(segments, window_s, shift_s)
    samples = np.arange(round(ends[-1] * SAMPLE_RATE), dtype=np.float32)
    centres = np.array([window.centre for window in windows])
    firsts = 100 * np.clip(centres - window_s / 2, 0, ends[-1] - window_s)
    num_rows = num_frames(round(window_s * SAMPLE_RATE)) // ROW_FRAMES
    for size in (1, 2, 5, 17):
        session = Rows()
        SpeakerEmbedding(session)(samples, windows, window_s, JobControl(), size)
        frames = np.array(session.frames)
        assert frames.shape == (len(windows), num_rows)
        assert (np.diff(frames) == ROW_FRAMES).all()
        assert np.abs(frames[:, 0] - firsts).max() <= 2


@pytest.mark.usefixtures("tiled")
def test_segments_do_not_change_each_other(embed, noise):
    together = embed(noise, WINDOWS, 1.5, JobControl())
    assert together.shape == (len(WINDOWS), DIM)
    apart = [[w for w in WINDOWS if w.segment == segment] for segment in range(3)]
    assert [len(windows) for windows in apart] == [8, 1, 5]
    alone = np.concatenate([embed(noise, windows, 1.5, JobControl()) for windows in apart])
    np.testing.assert_array_equal(together, alone)


def test_a_file_gives_what_the_array_gives(embed, noise, tmp_path):
    path = tmp_path / "samples.f32"
    path.write_bytes(noise.tobytes())
    with WaveformFile(path) as waveform:
        from_file = embed(waveform, WINDOWS, 1.5, JobControl())
    np.testing.assert_array_equal(from_file, embed(noise, WINDOWS, 1.5, JobControl()))


def test_a_recording_shorter_than_a_window(embed, noise):
    assert np.isfinite(embed(noise[:8000], [Window(0.0, 0.5, 0)], 1.5, JobControl())).all()


@pytest.mark.usefixtures("tiled")
def test_each_piece_is_a_step_that_may_be_the_last(embed, noise):
    shares = []
    control = JobControl(lambda stage, share: shares.append((stage, share)))
    embed(noise, WINDOWS, 1.5, control, 3)
    num_pieces = 3 + 1 + 2
    assert shares == [("embedding", n / num_pieces) for n in range(num_pieces)]

    control = JobControl(lambda stage, share: control.cancel())
    with pytest.raises(CancelledError):
        embed(noise, WINDOWS, 1.5, control)
