"""Pauses between tries."""

from worker.backoff import pause_s


def test_pauses_grow_to_the_longest():
    for tries, grown in enumerate((1, 2, 4, 5, 5), start=1):
        assert grown / 2 <= pause_s(tries, 1.0, 5.0) <= grown
    assert 2.5 <= pause_s(1_000_000, 1.0, 5.0) <= 5


def test_workers_do_not_come_back_at_the_same_time():
    assert len({pause_s(1, 1.0, 5.0) for _ in range(10)}) > 1
