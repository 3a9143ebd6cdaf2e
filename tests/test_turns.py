import itertools

import numpy as np

from worker.diarization.turns import build
from worker.diarization.windows import slide
from worker.segments import Segment, Turn


def test_a_turn_ends_where_the_other_speaker_is_more_similar():
    segments = [Segment(0.0, 3.0)]
    windows = slide(segments, 1.5, 0.75)  # centres 0.75, 1.5, 2.25
    similarity = np.array([[0.8, 0.2], [0.8, 0.2], [0.2, 0.8]])
    turns = build(segments, windows, similarity)
    assert [t.speaker for t in turns] == [0, 1]
    assert turns[0].start == 0.0
    assert turns[1].end == 3.0
    assert turns[0].end == turns[1].start
    assert abs(turns[0].end - 1.875) <= 0.01


def test_speakers_are_numbered_by_first_appearance():
    segments = [Segment(0.0, 1.0), Segment(2.0, 3.0), Segment(4.0, 5.0)]
    similarity = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    turns = build(segments, slide(segments, 1.5, 0.75), similarity)
    assert turns == [Turn(0.0, 1.0, 0), Turn(2.0, 3.0, 1), Turn(4.0, 5.0, 0)]


def test_touching_turns_of_one_speaker_are_one():
    segments = [Segment(0.0, 60.01), Segment(60.01, 70.0)]
    windows = slide(segments, 1.5, 0.75)
    turns = build(segments, windows, np.ones((len(windows), 1)))
    assert turns == [Turn(0.0, 70.0, 0)]


def test_every_label_of_a_window_shows_up():
    rng = np.random.default_rng(0)
    for _ in range(50):
        segments = [Segment(1.0, 1.0 + rng.integers(20, 900) / 100)]
        windows = slide(segments, 1.5, 0.75)
        similarity = rng.uniform(size=(len(windows), 4))
        turns = build(segments, windows, similarity)
        assert len({t.speaker for t in turns}) >= len(set(similarity.argmax(axis=1)))
        assert all(a.end == b.start for a, b in itertools.pairwise(turns))
