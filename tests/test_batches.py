import pytest

from worker.transcription.batches import batches


def padded(lengths: list[float], batch: list[int], fixed: float) -> float:
    return len(batch) * max(fixed, *(lengths[i] for i in batch))


@pytest.mark.parametrize("fixed", [0.0, 30.0])
def test_each_segment_comes_once_and_batches_are_bounded(fixed):
    lengths = [((i * 7919) % 2900) / 100 + 0.3 for i in range(200)]
    found = list(batches(lengths, 120.0, fixed))
    assert sorted(i for batch in found for i in batch) == list(range(200))
    assert all(padded(lengths, batch, fixed) <= 120.0 for batch in found)
    longest = [max(lengths[i] for i in batch) for batch in found]
    assert longest == sorted(longest, reverse=True)


def test_equal_lengths_lie_together():
    lengths = [1.0, 10.0] * 20
    found = list(batches(lengths, 20.0, 0.0))
    assert all(len({lengths[i] for i in batch}) == 1 for batch in found)
    assert len(found) == 11  # ten of two long ones, one of all short ones


def test_a_segment_longer_than_the_bound_comes_alone():
    assert list(batches([50.0, 1.0, 40.0], 20.0, 0.0)) == [[0], [2], [1]]


def test_no_memory_at_all_still_goes_on_one_by_one():
    assert list(batches([1.0, 2.0], -5.0, 0.0)) == [[1], [0]]


def test_segments_of_no_length():
    assert list(batches([0.0, 0.0], 20.0, 0.0)) == [[0, 1]]


def test_nothing_gives_nothing():
    assert list(batches([], 20.0, 0.0)) == []
