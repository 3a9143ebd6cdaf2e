import numpy as np
import pytest

from worker.diarization import clustering
from worker.diarization.clustering import (
    MERGE_SIMILARITY,
    SpeakerBounds,
    find_centroids,
    normalise,
    settle,
)


def cluster(embeddings: np.ndarray, bounds: SpeakerBounds) -> np.ndarray:
    unit = normalise(embeddings)
    return settle(unit, find_centroids(unit, bounds, MERGE_SIMILARITY))


def voices(sizes: list[int], noise: float = 0.06, seed: int = 0) -> np.ndarray:
    """Windows of as many voices as there are sizes: points around far-apart centres."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(len(sizes), 192)) / np.sqrt(192)
    points = np.repeat(centres, sizes, axis=0)
    return (points + rng.normal(size=points.shape) * noise / np.sqrt(2)).astype(np.float32)


def count(similarity: np.ndarray) -> int:
    return len(np.unique(similarity.argmax(axis=1)))


@pytest.mark.parametrize(
    "sizes", [[1], [2], [30], [3, 3], [5, 5], [10, 8], [40, 40, 7], [200, 6, 90, 12], [30] * 15]
)
def test_finds_the_voices(sizes):
    similarity = cluster(voices(sizes), SpeakerBounds())
    assert similarity.shape == (sum(sizes), len(sizes))
    truth = np.repeat(np.arange(len(sizes)), sizes)
    for label in range(len(sizes)):
        assert len(set(similarity.argmax(axis=1)[truth == label])) == 1


def test_fewer_than_twenty_windows_may_be_two_speakers():
    assert count(cluster(voices([4, 5]), SpeakerBounds())) == 2


@pytest.mark.parametrize("wanted", range(1, 13))
@pytest.mark.parametrize("sizes", [[12], [6, 6], [40, 20, 9], [300, 5]])
def test_a_known_number_is_honoured(sizes, wanted):
    similarity = cluster(voices(sizes), SpeakerBounds(wanted, wanted))
    assert count(similarity) == wanted == similarity.shape[1]


@pytest.mark.parametrize(("low", "high", "found"), [(1, 2, 2), (1, 9, 4), (6, 9, 6), (4, 4, 4)])
def test_bounds_are_honoured(low, high, found):
    assert count(cluster(voices([30, 30, 30, 30]), SpeakerBounds(low, high))) == found


def test_more_speakers_than_windows_are_as_many_as_windows():
    assert count(cluster(voices([3]), SpeakerBounds(8, 8))) == 3


def test_windows_that_have_nothing_in_common_are_not_as_many_speakers():
    scattered = np.random.default_rng(3).normal(size=(400, 192))
    assert count(cluster(scattered, SpeakerBounds())) == 1
    assert count(cluster(voices([3] * 20), SpeakerBounds())) == 1


def test_is_deterministic():
    embeddings = voices([50, 30, 20], noise=0.3)
    first = cluster(embeddings, SpeakerBounds())
    assert np.array_equal(first, cluster(embeddings, SpeakerBounds()))


def test_a_long_recording_is_thinned_out(monkeypatch):
    monkeypatch.setattr(clustering, "MAX_LINKED_WINDOWS", 100)
    similarity = cluster(voices([500, 300, 150]), SpeakerBounds())
    assert similarity.shape == (950, 3)


def test_identical_and_zero_windows_are_one_speaker():
    assert count(cluster(np.zeros((30, 192), np.float32), SpeakerBounds())) == 1
    assert count(cluster(np.ones((30, 192), np.float32), SpeakerBounds())) == 1


def test_windows_of_any_number_are_normalised(monkeypatch):
    monkeypatch.setattr(clustering, "BLOCK_WINDOWS", 7)
    embeddings = voices([15, 8])
    expected = embeddings / np.linalg.norm(embeddings.astype(np.float64), axis=1, keepdims=True)
    np.testing.assert_array_equal(normalise(embeddings), expected)


def test_settling_leaves_its_arguments_alone():
    unit = normalise(voices([12]))
    centroids = np.concatenate([unit[:1], -unit[:1]])  # all windows would leave the second
    before = unit.copy(), centroids.copy()
    settle(unit, centroids)
    np.testing.assert_array_equal(unit, before[0])
    np.testing.assert_array_equal(centroids, before[1])
