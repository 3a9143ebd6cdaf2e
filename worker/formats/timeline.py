"""Times of files that allow no overlap and no stretch of zero length."""

from collections.abc import Sequence

Span = tuple[int, int]
"""Start and end in milliseconds."""


def milliseconds(seconds: float) -> int:
    """Round to the grid that all files are on."""
    return round(seconds * 1000)


def clock(time_ms: int, point: str = ".") -> str:
    """Write a time as ``hh:mm:ss.mmm``; SubRip has another decimal point."""
    whole, rest = divmod(time_ms, 1000)
    minutes, second = divmod(whole, 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour:02d}:{minute:02d}:{second:02d}{point}{rest:03d}"


def apart(spans: Sequence[Span]) -> list[Span]:
    """Take overlaps out: a span ends where the next begins, and none is shorter than 1 ms.

    Where several begin at once, each is pushed behind the one before it.

    Parameters
    ----------
    spans : sorted by start
    """
    placed: list[Span] = []
    free = 0
    for i, (start, end) in enumerate(spans):
        latest = spans[i + 1][0] if i + 1 < len(spans) else end
        begin = max(start, free)
        free = max(min(end, latest), begin + 1)
        placed.append((begin, free))
    return placed
