import itertools

import numpy as np
import pytest

from worker.segments import Segment
from worker.transcription.fitting import fit


def noise(seconds: float, *pauses: tuple[float, float]) -> np.ndarray:
    """Noise that is silent in the pauses."""
    waveform = np.random.default_rng(0).normal(0, 0.1, round(seconds * 16_000)).astype(np.float32)
    for start, end in pauses:
        waveform[round(start * 16_000) : round(end * 16_000)] = 0
    return waveform


def check_cover(pieces: list[Segment], segments: list[Segment], max_s: float) -> None:
    assert all(0 < piece.duration <= max_s + 1e-9 for piece in pieces)
    edges = [(p.start, p.end) for p in pieces]
    assert edges == sorted(edges)
    for segment in segments:
        own = [p for p in pieces if segment.start <= p.start < segment.end]
        assert own[0].start == segment.start
        assert own[-1].end == segment.end
        assert all(a.end == b.start for a, b in itertools.pairwise(own))


def test_what_fits_stays_as_it_is():
    segments = [Segment(0.0, 30.0), Segment(31.0, 31.2)]
    assert fit(segments, noise(32), 30.0, None) == segments


def test_a_long_segment_is_cut_in_its_pause():
    segments = [Segment(1.0, 41.0)]
    pieces = fit(segments, noise(42, (5, 5.4), (23.1, 23.4), (35, 36)), 30.0, None)
    check_cover(pieces, segments, 30.0)
    assert len(pieces) == 2
    assert 23.1 <= pieces[0].end <= 23.4


def test_the_quietest_of_two_pauses_is_chosen():
    waveform = noise(40, (18, 18.4))
    waveform[(25 * 16_000) : round(25.4 * 16_000)] *= 0.2
    (first, _) = fit([Segment(0.0, 40.0)], waveform, 30.0, None)
    assert 18 <= first.end <= 18.4


def test_a_click_does_not_look_like_a_pause():
    # One silent frame inside speech is a crossing of zero, not a place to cut.
    waveform = noise(40, (20.0, 20.01), (25.0, 25.2))
    (first, _) = fit([Segment(0.0, 40.0)], waveform, 30.0, None)
    assert 25 <= first.end <= 25.2


@pytest.mark.parametrize("length", [30.01, 30.5, 31.0, 45.0, 59.99, 60.0, 600.0, 3601.37])
def test_every_length_is_covered_without_snippets(length):
    segments = [Segment(0.5, round(0.5 + length, 2))]
    pieces = fit(segments, noise(length + 1), 30.0, None)
    check_cover(pieces, segments, 30.0)
    assert min(p.duration for p in pieces) >= 0.99


def test_a_recording_that_ends_early_is_cut_all_the_same():
    # The VAD's last frame may reach a little past the samples.
    pieces = fit([Segment(0.0, 40.0)], noise(39.95), 30.0, None)
    check_cover(pieces, [Segment(0.0, 40.0)], 30.0)


def test_close_segments_are_joined_while_they_fit():
    segments = [
        Segment(0, 5),
        Segment(6, 10),
        Segment(10.5, 29),
        Segment(29.5, 33),
        Segment(40, 41),
    ]
    joined = fit(segments, noise(42), 30.0, 2.0)
    assert joined == [Segment(0, 29), Segment(29.5, 33), Segment(40, 41)]


def test_nothing_gives_nothing():
    assert fit([], noise(1), 30.0, 2.0) == []
