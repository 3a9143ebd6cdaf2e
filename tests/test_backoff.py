"""Pauses between tries."""

from worker.backoff import Backoff


def test_pauses_grow_to_the_longest_and_begin_anew():
    backoff = Backoff(1.0, 5.0)
    for grown in (1, 2, 4, 5, 5):
        assert grown / 2 <= backoff.next_s() <= grown
    backoff.reset()
    assert backoff.next_s() <= 1


def test_workers_do_not_come_back_at_the_same_time():
    assert len({Backoff(1.0, 5.0).next_s() for _ in range(10)}) > 1
