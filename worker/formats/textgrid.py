"""Praat's TextGrid, in its long text format (Praat's manual, TextGrid file formats)."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, count

from worker.formats.document import Document
from worker.formats.timeline import Span, apart, milliseconds
from worker.segments import Turn, Utterance, Word


@dataclass(frozen=True, slots=True)
class _Interval:
    span: Span
    text: str


def render(document: Document) -> str:
    """Write tiers of intervals.

    For each speaker: ``SPEAKER_00``, the turns; ``SPEAKER_00 utterances`` and, with word times,
    ``SPEAKER_00 words``. Without speakers: ``utterances`` and ``words``; without speech one empty
    tier, as Praat wants one. A name that is taken gets a number.
    """
    tiers = [*_unique(_tiers(document))]
    ends = [intervals[-1].span[1] for _, intervals in tiers if intervals]
    end = max([milliseconds(document.duration), 1, *ends])
    head = ['File type = "ooTextFile"', 'Object class = "TextGrid"', ""]
    head += ["xmin = 0", f"xmax = {_seconds(end)}", "tiers? <exists>"]
    head += [f"size = {len(tiers)}", "item []:"]
    for number, (name, intervals) in enumerate(tiers, start=1):
        head += [f"    item [{number}]:", *_tier(name, _filled(intervals, end), end)]
    return "".join(f"{line}\n" for line in head)


def _tiers(document: Document) -> Iterator[tuple[str, list[_Interval]]]:
    """Names of tiers and what is in them."""
    spoken = document.turns, document.utterances
    speakers = {stretch.speaker for stretches in spoken for stretch in stretches}
    for speaker in sorted(speakers, key=lambda s: -1 if s is None else s):
        name = "" if speaker is None else document.label(speaker)
        prefix = f"{name} " if name else ""
        if turns := [t for t in document.turns if t.speaker == speaker]:
            yield name, _intervals(turns, [name] * len(turns))
        if utterances := [u for u in document.utterances if u.speaker == speaker]:
            yield f"{prefix}utterances", _intervals(utterances, [u.text for u in utterances])
        if words := [w for u in utterances for w in u.words or ()]:
            yield f"{prefix}words", _intervals(words, [w.text for w in words])
    if not speakers:
        yield "speech", []


def _unique(tiers: Iterable[tuple[str, list[_Interval]]]) -> Iterator[tuple[str, list[_Interval]]]:
    """Number a name that an earlier tier has, as voices "Ann" and "Ann words" bring about: some
    readers refuse it."""
    taken: set[str] = set()
    for name, intervals in tiers:
        names = chain([name], (f"{name} {number}" for number in count(2)))
        unique = next(one for one in names if one not in taken)
        taken.add(unique)
        yield unique, intervals


def _intervals(
    stretches: Sequence[Turn | Utterance | Word], texts: Sequence[str]
) -> list[_Interval]:
    """Stretches of one tier, none upon another, with their texts in one line each."""
    ordered = sorted(zip(stretches, texts, strict=True), key=lambda pair: pair[0].start)
    spans = apart([(milliseconds(s.start), milliseconds(s.end)) for s, _ in ordered])
    return [
        _Interval(span, " ".join(text.split()))
        for span, (_, text) in zip(spans, ordered, strict=True)
    ]


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
    yield f'        name = "{_quoted(name)}"'
    yield "        xmin = 0"
    yield f"        xmax = {_seconds(end)}"
    yield f"        intervals: size = {len(filled)}"
    for number, interval in enumerate(filled, start=1):
        yield f"        intervals [{number}]:"
        yield f"            xmin = {_seconds(interval.span[0])}"
        yield f"            xmax = {_seconds(interval.span[1])}"
        yield f'            text = "{_quoted(interval.text)}"'


def _quoted(text: str) -> str:
    return text.replace('"', '""')


def _seconds(time_ms: int) -> str:
    return f"{time_ms / 1000:.3f}"
