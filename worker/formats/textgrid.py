"""Praat's TextGrid, in its long text format (Praat's manual, TextGrid file formats)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from worker.formats.document import Document
from worker.formats.timeline import Span, apart, milliseconds
from worker.segments import Turn, Utterance, Word, label


@dataclass(frozen=True, slots=True)
class _Interval:
    span: Span
    text: str


def render(document: Document) -> str:
    """Write tiers of intervals.

    For each speaker: ``SPEAKER_00``, the turns; ``SPEAKER_00 utterances`` and, with word times,
    ``SPEAKER_00 words``. Without speakers: ``utterances`` and ``words``; without speech one empty
    tier, as Praat wants one.
    """
    tiers = {name: _intervals(stretches) for name, stretches in _tiers(document)}
    ends = [intervals[-1].span[1] for intervals in tiers.values() if intervals]
    end = max([milliseconds(document.duration), 1, *ends])
    head = ['File type = "ooTextFile"', 'Object class = "TextGrid"', ""]
    head += ["xmin = 0", f"xmax = {_seconds(end)}", "tiers? <exists>"]
    head += [f"size = {len(tiers)}", "item []:"]
    for number, (name, intervals) in enumerate(tiers.items(), start=1):
        head += [f"    item [{number}]:", *_tier(name, _filled(intervals, end), end)]
    return "".join(f"{line}\n" for line in head)


def _tiers(document: Document) -> Iterator[tuple[str, Sequence[Turn | Utterance | Word]]]:
    """Names of tiers and what is in them."""
    spoken = document.turns, document.utterances
    speakers = {stretch.speaker for stretches in spoken for stretch in stretches}
    for speaker in sorted(speakers, key=lambda s: -1 if s is None else s):
        prefix = "" if speaker is None else f"{label(speaker)} "
        if turns := [t for t in document.turns if t.speaker == speaker]:
            yield label(turns[0].speaker), turns
        if utterances := [u for u in document.utterances if u.speaker == speaker]:
            yield f"{prefix}utterances", utterances
        if words := [w for u in utterances for w in u.words or ()]:
            yield f"{prefix}words", words
    if not speakers:
        yield "speech", []


def _intervals(stretches: Sequence[Turn | Utterance | Word]) -> list[_Interval]:
    """Stretches of one tier, none upon another."""
    ordered = sorted(stretches, key=lambda s: s.start)
    spans = apart([(milliseconds(s.start), milliseconds(s.end)) for s in ordered])
    return [_Interval(span, _text(s)) for span, s in zip(spans, ordered, strict=True)]


def _text(stretch: Turn | Utterance | Word) -> str:
    return stretch.label if isinstance(stretch, Turn) else " ".join(stretch.text.split())


def _filled(intervals: Sequence[_Interval], end: int) -> Iterator[_Interval]:
    """Intervals with empty ones between them: a tier has no gaps."""
    reached = 0
    for interval in [*intervals, _Interval((end, end), "")]:
        if reached < interval.span[0]:
            yield _Interval((reached, interval.span[0]), "")
        if interval.span[0] < interval.span[1]:
            yield interval
        reached = interval.span[1]


def _tier(name: str, intervals: Iterator[_Interval], end: int) -> Iterator[str]:
    filled = list(intervals)
    yield '        class = "IntervalTier"'
    yield f'        name = "{name}"'
    yield "        xmin = 0"
    yield f"        xmax = {_seconds(end)}"
    yield f"        intervals: size = {len(filled)}"
    for number, interval in enumerate(filled, start=1):
        quoted = interval.text.replace('"', '""')
        yield f"        intervals [{number}]:"
        yield f"            xmin = {_seconds(interval.span[0])}"
        yield f"            xmax = {_seconds(interval.span[1])}"
        yield f'            text = "{quoted}"'


def _seconds(time_ms: int) -> str:
    return f"{time_ms / 1000:.3f}"
