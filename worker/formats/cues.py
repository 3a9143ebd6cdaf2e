"""Utterances -> subtitles: who is heard, in lines that fit, for as long as the words last."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from worker.formats.document import Document
from worker.formats.lines import Token, bits, is_wide, wrap
from worker.formats.timeline import apart, milliseconds
from worker.segments import Utterance, Word
from worker.text import holds, split

MIN_CUE_MS = 833
"""A cue stays this long if there is room: 5/6 of a second, Netflix's Timed Text Style Guide."""


@dataclass(frozen=True, slots=True)
class Cue:
    """Lines shown together; times in milliseconds.

    name : with which the first line begins, as it is written there; empty where none is.
    """

    start: int
    end: int
    lines: tuple[str, ...]
    speaker: int | None
    name: str = ""


def build(document: Document, *, named: bool) -> list[Cue]:
    """Lay out the subtitles of a recording.

    Parameters
    ----------
    named : write ``SPEAKER_00: ``, or a name, where the speaker changes; it takes its part of the
        line

    Returns
    -------
    In order of time, no two at once, none empty; each stays for `MIN_CUE_MS` if there is room.
    """
    cues: list[Cue] = []
    speaker: int | None = None
    for utterance in document.utterances:
        tokens = _tokens(utterance)
        if not tokens:
            continue
        if named and utterance.speaker is not None and utterance.speaker != speaker:
            cues += _cues(utterance, tokens, f"{document.label(utterance.speaker)}:")
        else:
            cues += _cues(utterance, tokens)
        speaker = utterance.speaker
    cues.sort(key=lambda cue: cue.start)
    end = milliseconds(document.duration)
    spans = [(cue.start, max(cue.end, min(cue.start + MIN_CUE_MS, end))) for cue in cues]
    placed = zip(cues, apart(spans), strict=True)
    return [replace(cue, start=start, end=end) for cue, (start, end) in placed]


def _tokens(utterance: Utterance) -> list[Token]:
    """Cut an utterance; what has no time of its own gets its share by the number of characters."""
    words = utterance.words or (Word(utterance.text, utterance.start, utterance.end),)
    wide = is_wide(utterance.text)
    tokens: list[Token] = []
    for word in words:
        pieces = split(word.text)
        per_character = (word.end - word.start) / max(1, sum(map(len, pieces)))
        start = word.start
        for piece in pieces:
            spaced = bool(tokens) and not holds(tokens[-1].text, piece)
            for bit in bits(piece, wide=wide):
                end = start + per_character * len(bit)
                tokens.append(Token(bit, spaced, start, end))
                start, spaced = end, False
    return tokens


def _cues(utterance: Utterance, tokens: list[Token], name: str = "") -> list[Cue]:
    """Cues of one utterance; a name comes first, cut to one line."""
    if name:
        name, *rest = bits(name, wide=is_wide(utterance.text))
        name = f"{name[:-2]}…:" if rest else name
        named = Token(name, spaced=False, start=tokens[0].start, end=tokens[0].start)
        tokens = [named, replace(tokens[0], spaced=True), *tokens[1:]]
    cues: list[Cue] = []
    for lines in wrap(tokens, wide=is_wide(utterance.text), lead=1 if name else 0):
        shown = tokens[lines[0][0] : lines[-1][1]]
        start, end = shown[0].start, max(token.end for token in shown)
        text = tuple(_line(tokens[first:last]) for first, last in lines)
        lead = "" if cues else name  # it stands once
        cues.append(Cue(milliseconds(start), milliseconds(end), text, utterance.speaker, lead))
    return cues


def _line(tokens: Sequence[Token]) -> str:
    return "".join(f" {t.text}" if t.spaced and i else t.text for i, t in enumerate(tokens))
