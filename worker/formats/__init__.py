"""Results as files: pure functions, one format a module.

JSON is not among them: it is the reply itself. Nor is HTML, which worker/report makes of the reply.
"""

from collections.abc import Sequence
from dataclasses import replace

from worker.formats import rttm, srt, textgrid, txt, vtt
from worker.formats.document import Document

FORMATS_OF_TASK = {
    "diarization": ("json", "txt", "rttm", "textgrid", "html"),
    "asr": ("json", "txt", "srt", "vtt", "textgrid", "html"),
    "transcript": ("json", "txt", "srt", "vtt", "rttm", "textgrid", "html"),
}
"""What a job may ask for: no subtitles without text, no RTTM without speakers."""

_WRITERS = {
    "txt": txt.render,
    "srt": srt.render,
    "vtt": vtt.render,
    "rttm": rttm.render,
    "textgrid": textgrid.render,
}


def render(formats: Sequence[str], document: Document) -> dict[str, str]:
    """Text of each format but JSON and HTML, by its name."""
    document = said(document)
    return {f: _WRITERS[f](document) for f in formats if f in _WRITERS}


def said(document: Document) -> Document:
    """Leave out utterances without text, which only tell a flaw: no file has them."""
    spoken = [utterance for utterance in document.utterances if utterance.text.strip()]
    return replace(document, utterances=spoken)
