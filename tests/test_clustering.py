import numpy as np
import pytest

from worker.diarization import clustering, linkage
from worker.diarization.clustering import (
    MERGE_SIMILARITY,
    SpeakerBounds,
    find_centroids,
    normalise,
    settle,
)


def cluster(embeddings: np.ndarray, bounds: SpeakerBounds) -> np.ndarray:
    unit = normalise(embeddings)
    return settle(unit, find_centroids(unit, bounds, MERGE_SIMILARITY, lambda: None))


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


def test_more_than_a_hundred_speakers_are_not_looked_for():
    assert count(cluster(voices([3] * 120), SpeakerBounds())) == 100


def talk(runs: list[tuple[int, int]], **kwargs: float) -> np.ndarray:
    """Windows of voices that take turns: (voice, windows) of each run, at least one of each."""
    order = np.concatenate([np.full(length, voice) for voice, length in runs])
    windows = voices(np.bincount(order).tolist(), **kwargs)
    return windows[np.argsort(np.argsort(order, kind="stable"))]


DIALOGUE = [(0, 9), (1, 14), (0, 20), (1, 7)]


@pytest.mark.parametrize(
    ("more", "found"),
    [
        ([(2, 2)], 3),  # a voice is heard once, for two seconds
        ([(2, 1), (0, 2), (2, 1)], 2),  # never two windows on end
        ([(2, 1), (0, 2)] * 8, 2),
        ([(2, 2), (0, 50)] * 8, 3),
    ],
)
def test_a_speaker_is_heard_for_two_windows_on_end(more, found):
    assert count(cluster(talk(DIALOGUE + more), SpeakerBounds())) == found


@pytest.mark.parametrize("length", [2, 3])
def test_what_two_voices_give_together_is_no_speaker(length):
    runs = [*DIALOGUE, (2, length), (0, 9)] * 3
    windows = talk(runs)
    voice = np.concatenate([np.full(length, voice) for voice, length in runs])
    both = windows[voice == 0].mean(axis=0) + windows[voice == 1].mean(axis=0)
    together = windows + 0.4 * both * (voice == 2)[:, np.newaxis]
    assert count(cluster(windows, SpeakerBounds())) == 3
    assert count(cluster(together, SpeakerBounds())) == 2


@pytest.mark.parametrize("length", [600, 2_400])
@pytest.mark.parametrize(("spoken", "found"), [(6, 3), (2, 2)])
def test_the_least_speech_of_a_speaker_does_not_grow_with_the_length(length, spoken, found):
    runs = [(0, 20), (1, 10)] * (length // 30)
    runs.insert(len(runs) // 2, (2, spoken))
    assert count(cluster(talk(runs), SpeakerBounds())) == found


def test_what_is_heard_again_and_again_becomes_no_speaker():
    """What was too little to be a speaker stays so, however often the recording is repeated."""
    once = talk([*DIALOGUE, (2, 1), *DIALOGUE, (2, 1), (0, 5), (3, 2)])
    rng = np.random.default_rng(1)
    again = np.tile(once, (20, 1))
    again = again + 0.01 * rng.normal(size=again.shape)
    assert count(cluster(once, SpeakerBounds())) == count(cluster(again, SpeakerBounds())) == 3


@pytest.mark.parametrize("most", [749, 750, 751, 100])
def test_nothing_changes_where_a_recording_is_linked_in_stretches(most, monkeypatch):
    runs = [(0, 30), (1, 12), (2, 2), (3, 6)] * 15
    embeddings = talk(runs, noise=0.07)
    exact = cluster(embeddings, SpeakerBounds())
    monkeypatch.setattr(linkage, "MAX_LINKED", most)
    similarity = cluster(embeddings, SpeakerBounds())
    assert count(exact) == count(similarity) == 4
    pairs = set(zip(exact.argmax(axis=1), similarity.argmax(axis=1), strict=True))
    assert len(pairs) == 4


@pytest.mark.parametrize("wanted", [1, 2, 4, 7])
def test_a_known_number_is_honoured_in_a_long_recording(wanted, monkeypatch):
    monkeypatch.setattr(linkage, "MAX_LINKED", 100)
    similarity = cluster(voices([500, 300, 150]), SpeakerBounds(wanted, wanted))
    assert count(similarity) == wanted


def test_is_deterministic():
    embeddings = voices([50, 30, 20], noise=0.3)
    first = cluster(embeddings, SpeakerBounds())
    assert np.array_equal(first, cluster(embeddings, SpeakerBounds()))


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
