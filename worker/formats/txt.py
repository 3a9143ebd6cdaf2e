"""Plain text, for reading: a line per utterance, or per turn where nothing was said in words."""

from worker.formats.document import Document
from worker.formats.timeline import clock, milliseconds
from worker.segments import Turn, Utterance


def render(document: Document) -> str:
    """Write lines such as ``00:06.490 - 00:07.120  SPEAKER_00  Hello?``."""
    stretches = document.utterances or document.turns
    lines = [_line(document, stretch) for stretch in stretches]
    return "".join(f"{line}\n" for line in lines)


def _line(document: Document, stretch: Turn | Utterance) -> str:
    fields = [f"{_short_clock(stretch.start)} - {_short_clock(stretch.end)}"]
    if stretch.speaker is not None:
        fields.append(document.label(stretch.speaker))
    if isinstance(stretch, Utterance):
        fields.append(" ".join(stretch.text.split()))
    return "  ".join(fields)


def _short_clock(seconds: float) -> str:
    """Seconds as ``[h:]mm:ss.mmm``."""
    hours, _, rest = clock(milliseconds(seconds)).partition(":")
    return f"{int(hours)}:{rest}" if int(hours) else rest
