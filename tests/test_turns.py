import itertools

import numpy as np
import pytest

from worker.diarization import turns as turns_module
from worker.diarization.turns import build
from worker.diarization.windows import slide
from worker.engines.segmentation import FIRST_CENTRE_S, FRAME_S, NUM_CLASSES
from worker.segments import Segment, Turn


def go_on() -> None:
    """The job was not cancelled."""


def test_a_turn_ends_where_the_other_speaker_is_more_similar():
    segments = [Segment(0.0, 3.0)]
    windows = slide(segments, 1.5, 0.75)  # centres 0.75, 1.5, 2.25
    similarity = np.array([[0.8, 0.2], [0.8, 0.2], [0.2, 0.8]])
    turns = build(segments, windows, similarity, go_on)
    assert [t.speaker for t in turns] == [0, 1]
    assert turns[0].start == 0.0
    assert turns[1].end == 3.0
    assert turns[0].end == turns[1].start
    assert abs(turns[0].end - 1.875) <= 0.01


def test_speakers_are_numbered_by_first_appearance():
    segments = [Segment(0.0, 1.0), Segment(2.0, 3.0), Segment(4.0, 5.0)]
    similarity = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    turns = build(segments, slide(segments, 1.5, 0.75), similarity, go_on)
    assert turns == [Turn(0.0, 1.0, 0), Turn(2.0, 3.0, 1), Turn(4.0, 5.0, 0)]


def test_touching_turns_of_one_speaker_are_one():
    segments = [Segment(0.0, 60.01), Segment(60.01, 70.0)]
    windows = slide(segments, 1.5, 0.75)
    turns = build(segments, windows, np.ones((len(windows), 1)), go_on)
    assert turns == [Turn(0.0, 70.0, 0)]


def test_every_label_of_a_window_shows_up():
    rng = np.random.default_rng(0)
    for _ in range(50):
        segments = [Segment(1.0, 1.0 + rng.integers(20, 900) / 100)]
        windows = slide(segments, 1.5, 0.75)
        similarity = rng.uniform(size=(len(windows), 4))
        turns = build(segments, windows, similarity, go_on)
        assert len({t.speaker for t in turns}) >= len(set(similarity.argmax(axis=1)))
        assert all(a.end == b.start for a, b in itertools.pairwise(turns))


def activity_of(*stretches: tuple[float, int]) -> np.ndarray:
    """What the segmentation hears: seconds of a class, one after the other."""
    ends = np.cumsum([seconds for seconds, _ in stretches])
    times = np.arange(int(ends[-1] / FRAME_S)) * FRAME_S + FIRST_CENTRE_S
    index = np.searchsorted(ends, times).clip(max=len(stretches) - 1)
    return np.eye(NUM_CLASSES, dtype=np.float16)[[stretches[i][1] for i in index]]


SEGMENTS = [Segment(0.0, 6.0)]
WINDOWS = slide(SEGMENTS, 1.5, 0.75)


def similar_to(*speakers: int) -> np.ndarray:
    """Similarity of each window to three speakers: most to this one, least to the third."""
    similarity = np.tile([0.2, 0.2, 0.1], (len(WINDOWS), 1))
    similarity[np.arange(len(WINDOWS)), speakers] = 0.9
    return similarity


def test_two_voices_are_the_two_most_similar_speakers():
    similarity = similar_to(0, 0, 0, 0, 1, 1, 1)
    turns = build(SEGMENTS, WINDOWS, similarity, go_on, activity_of((3.0, 1), (1.0, 4), (2.0, 2)))
    first, second = turns
    assert (first.speaker, first.start, second.speaker, second.end) == (0, 0.0, 1, 6.0)
    # Both speak from 3 to 4 s: one turn each, around the change as windows tell it.
    assert abs(second.start - 3.0) <= FRAME_S
    assert abs(first.end - 4.0) <= FRAME_S


def test_a_second_voice_inside_a_turn_is_a_turn_of_its_own():
    similarity = similar_to(0, 0, 0, 0, 0, 0, 0)
    turns = build(SEGMENTS, WINDOWS, similarity, go_on, activity_of((3.0, 1), (0.5, 4), (2.5, 1)))
    assert turns[0] == Turn(0.0, 6.0, 0)
    assert len(turns) == 2
    assert turns[1].speaker == 1
    assert abs(turns[1].duration - 0.5) <= 2 * FRAME_S


def test_one_speaker_has_no_second_voice():
    activity = activity_of((3.0, 4), (3.0, 1))
    assert build(SEGMENTS, WINDOWS, np.ones((len(WINDOWS), 1)), go_on, activity) == [
        Turn(0.0, 6.0, 0)
    ]


def test_turns_of_one_speaker_never_touch():
    rng = np.random.default_rng(0)
    for _ in range(30):
        stretches = [(rng.uniform(0.05, 1.0), rng.integers(NUM_CLASSES)) for _ in range(30)]
        similarity = rng.uniform(size=(len(WINDOWS), 3))
        turns = build(SEGMENTS, WINDOWS, similarity, go_on, activity_of(*stretches))
        assert [t.start for t in turns] == sorted(t.start for t in turns)
        assert all(t.duration > 0 for t in turns)
        for speaker in range(3):
            own = [t for t in turns if t.speaker == speaker]
            assert all(a.end < b.start for a, b in itertools.pairwise(own))
        # Every moment has a speaker, and never more than two.
        times = np.arange(0.005, 6.0, 0.01)
        count = sum((t.start < times) & (times < t.end) for t in turns)
        assert count.min() == 1
        assert count.max() <= 2


def test_long_speech_is_taken_in_blocks():
    """An hour without a pause; where blocks meet, the windows on both sides count."""
    rng = np.random.default_rng(0)
    segments = [Segment(0.5, 3600.0)]
    windows = slide(segments, 1.5, 0.75)
    similarity = rng.random((len(windows), 3))
    checks = []
    activity = activity_of(*[(1.0, label) for label in rng.integers(0, NUM_CLASSES, 3600)])
    whole = build(segments, windows, similarity, lambda: checks.append(1), activity)
    assert len(checks) == 60
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(turns_module, "BLOCK_STEPS", 360_000)
        assert build(segments, windows, similarity, go_on, activity) == whole
