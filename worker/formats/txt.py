"""Plain text: a line per turn, for reading."""

from collections.abc import Sequence

from worker.segments import Turn


def render(turns: Sequence[Turn], name: str) -> str:  # noqa: ARG001
    """Write a line per turn, such as ``00:06.490 - 00:07.120  SPEAKER_00``."""
    return "".join(f"{clock(t.start)} - {clock(t.end)}  {t.label}\n" for t in turns)


def clock(seconds: float) -> str:
    """Seconds as ``[h:]mm:ss.mmm``."""
    whole, milliseconds = divmod(round(seconds * 1000), 1000)
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    prefix = f"{hours}:" if hours else ""
    return f"{prefix}{minute:02d}:{second:02d}.{milliseconds:03d}"
