"""RTTM: one SPEAKER line per turn (NIST RT-09 evaluation plan, appendix A)."""

import re
from collections.abc import Sequence

from worker.segments import Turn


def render(turns: Sequence[Turn], name: str) -> str:
    """Write turns as RTTM; the fields are separated by blanks, so `name` holds none."""
    field = re.sub(r"[^\w.+-]+", "_", name) or "audio"
    return "".join(
        f"SPEAKER {field} 1 {turn.start:.3f} {turn.duration:.3f} <NA> <NA> {turn.label} <NA> <NA>\n"
        for turn in turns
    )
