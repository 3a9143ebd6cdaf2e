import numpy as np
import pytest

from worker.diarization.overlap import (
    MAX_GAP_S,
    frame_at,
    join_speech,
    runs,
    two_voices,
)
from worker.engines.segmentation import (
    FIRST_CENTRE_S,
    FRAME_S,
    LOCAL_SPEAKERS,
    NUM_CLASSES,
)
from worker.segments import Segment


def heard(*stretches: tuple[int, tuple[int, ...]]) -> np.ndarray:
    """Activity that is sure of itself: so many frames of these local speakers."""
    classes = np.concatenate(
        [np.full(count, LOCAL_SPEAKERS.index(speakers)) for count, speakers in stretches]
    )
    return np.eye(NUM_CLASSES, dtype=np.float16)[classes]


def edge(frame: int) -> float:
    return frame * FRAME_S + FIRST_CENTRE_S - FRAME_S / 2


def test_runs():
    flags = np.array([True, False, True, True, False, False, True])
    assert runs(flags).tolist() == [[0, 1], [2, 4], [6, 7]]
    assert runs(np.zeros(3, dtype=bool)).tolist() == []
    assert runs(np.zeros(0, dtype=bool)).tolist() == []


def test_speech_of_either_is_speech():
    activity = heard((100, ()), (100, (0,)), (400, ()), (3, (1,)), (100, ()))
    start, end = round(edge(100), 2), round(edge(200), 2)
    alone = Segment(end + 2.0, end + 3.0)
    # What both find is one; a blip of 50 ms is nothing.
    assert join_speech([alone], activity) == [Segment(start, end), alone]
    assert join_speech([Segment(0.5, start + 0.1), alone], activity) == [Segment(0.5, end), alone]
    inside = Segment(start + 0.1, start + 0.5)
    assert join_speech([inside], activity) == [Segment(start, end)]
    assert join_speech([], heard((100, ()))) == []


@pytest.mark.parametrize(("gap", "count"), [(MAX_GAP_S - 0.01, 1), (MAX_GAP_S + 0.01, 2)])
def test_speech_goes_on_over_a_short_silence(gap, count):
    segments = [Segment(0.0, 1.0), Segment(1.0 + gap, 3.0)]
    assert len(join_speech(segments, heard((200, ())))) == count


def test_two_voices_for_long_enough():
    activity = heard((50, (0,)), (20, (0, 2)), (50, (2,)), (4, (1, 2)), (50, (1,)))
    assert runs(two_voices(activity)).tolist() == [[50, 70]]


def test_the_frame_of_a_time():
    times = np.array([0.0, FIRST_CENTRE_S, FIRST_CENTRE_S + 3.4 * FRAME_S, 99.0])
    assert frame_at(times, 10).tolist() == [0, 0, 3, 9]
