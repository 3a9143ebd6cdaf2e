"""Speech segments -> windows."""

from collections.abc import Sequence

from worker.segments import Segment, Window


def slide(segments: Sequence[Segment], window_s: float, shift_s: float) -> list[Window]:
    """Slide a window of `window_s` over each segment in steps of `shift_s`.

    The last window of a segment ends with it. A segment shorter than a window
    gets one window of its own length.
    """
    windows = []
    for index, segment in enumerate(segments):
        start = segment.start
        while start + window_s < segment.end:
            windows.append(Window(start, round(start + window_s, 3), index))
            start = round(start + shift_s, 3)
        last = max(segment.start, round(segment.end - window_s, 3))
        windows.append(Window(last, segment.end, index))
    return windows
