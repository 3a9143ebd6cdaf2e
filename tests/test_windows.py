import itertools

import pytest

from worker.diarization.windows import slide
from worker.segments import Segment, Window


def test_windows_cover_each_segment_to_its_end():
    windows = slide([Segment(1.0, 4.0), Segment(10.0, 11.7)], 1.5, 0.75)
    assert windows == [
        Window(1.0, 2.5, 0),
        Window(1.75, 3.25, 0),
        Window(2.5, 4.0, 0),
        Window(10.0, 11.5, 1),
        Window(10.2, 11.7, 1),
    ]


def test_a_short_segment_is_one_window():
    assert slide([Segment(2.0, 2.4)], 1.5, 0.75) == [Window(2.0, 2.4, 0)]


@pytest.mark.parametrize("length", [1.49, 1.5, 1.51, 2.25, 2.26, 60.01, 3600.0])
def test_windows_leave_no_gap(length):
    windows = slide([Segment(0.13, 0.13 + length)], 1.5, 0.75)
    assert windows[0].start == 0.13
    assert windows[-1].end == pytest.approx(0.13 + length)
    for before, after in itertools.pairwise(windows):
        assert before.start < after.start <= before.end
    assert all(w.end - w.start <= 1.5 + 1e-9 for w in windows)
