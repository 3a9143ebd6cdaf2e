"""SubRip subtitles, with the speaker's name where it changes."""

from worker.formats import cues
from worker.formats.document import Document
from worker.formats.timeline import clock

ARROW = "-->"
"""Part of the syntax, and SubRip has no way to escape it."""


def render(document: Document) -> str:
    """Write utterances as numbered cues; an arrow in the text becomes ``→``."""
    blocks = []
    for number, cue in enumerate(cues.build(document, named=True), start=1):
        text = "\n".join(cue.lines).replace(ARROW, "→")
        times = f"{clock(cue.start, ',')} {ARROW} {clock(cue.end, ',')}"
        blocks.append(f"{number}\n{times}\n{text}\n")
    return "\n".join(blocks)
