"""WebVTT subtitles (W3C), with the speaker as the voice."""

import html

from worker.formats import cues
from worker.formats.document import Document
from worker.formats.timeline import clock
from worker.segments import label


def render(document: Document) -> str:
    """Write utterances as cues such as ``<v SPEAKER_00>Hello?``."""
    blocks = ["WEBVTT\n"]
    for cue in cues.build(document, named=False):
        voice = "" if cue.speaker is None else f"<v {label(cue.speaker)}>"
        # > is escaped as well: an arrow may not stand in a text.
        text = html.escape("\n".join(cue.lines), quote=False)
        blocks.append(f"{clock(cue.start)} --> {clock(cue.end)}\n{voice}{text}\n")
    return "\n".join(blocks)
