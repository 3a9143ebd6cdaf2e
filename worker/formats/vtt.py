"""WebVTT subtitles (W3C), with the speaker as the voice."""

import html

from worker.formats import cues
from worker.formats.document import Document
from worker.formats.timeline import clock


def render(document: Document) -> str:
    """Write utterances as cues such as ``<v SPEAKER_00>Hello?``."""
    blocks = ["WEBVTT\n"]
    for cue in cues.build(document, named=False):
        # > is escaped as well: an arrow may not stand in a text, nor in a name.
        text = html.escape("\n".join(cue.lines), quote=False)
        voice = ""
        if cue.speaker is not None:
            voice = f"<v {html.escape(document.label(cue.speaker), quote=False)}>"
        blocks.append(f"{clock(cue.start)} --> {clock(cue.end)}\n{voice}{text}\n")
    return "\n".join(blocks)
