"""Results as files: pure functions, one format a module.

JSON is not among them: it is the reply itself.
"""

from collections.abc import Sequence
from dataclasses import replace

from worker.formats import rttm, srt, textgrid, txt, vtt
from worker.formats.document import Document

FORMATS_OF_TASK = {
    "diarization": ("json", "txt", "rttm", "textgrid"),
    "asr": ("json", "txt", "srt", "vtt", "textgrid"),
    "transcript": ("json", "txt", "srt", "vtt", "rttm", "textgrid"),
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
    """Text of each format but JSON, by its name.

    An utterance without text, which only tells a flaw, is in none of them.
    """
    said = [utterance for utterance in document.utterances if utterance.text.strip()]
    document = replace(document, utterances=said)
    return {f: _WRITERS[f](document) for f in formats if f in _WRITERS}
