"""RTTM: one SPEAKER line per turn (NIST RT-09 evaluation plan, appendix A)."""

import re

from worker.formats.document import Document


def render(document: Document) -> str:
    """Write turns as RTTM; the fields are separated by blanks, so names get none."""
    name = re.sub(r"[^\w.+-]+", "_", document.name) or "audio"
    return "".join(
        f"SPEAKER {name} 1 {turn.start:.3f} {turn.duration:.3f} <NA> <NA> "
        f"{'_'.join(document.label(turn.speaker).split())} <NA> <NA>\n"
        for turn in document.turns
    )
