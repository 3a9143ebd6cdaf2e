"""Recognised segments and turns -> utterances: what one speaker said without a break."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from worker.segments import Segment, Turn, Utterance, Word
from worker.text import ends_sentence, join
from worker.transcription.speakers import assign, assign_segments
from worker.transcription.spoken import Spoken

PAUSE_S = 0.8
"""A silence that ends an utterance: the one at which FSMN-VAD ends a segment by default."""

Tags = tuple[str | None, str | None, str | None, str | None]
"""Language, emotion, event and flaw of a segment."""


@dataclass(frozen=True, slots=True)
class _Said:
    """A word and what its segment tells; words of one `block` have no untimed segment between."""

    word: Word
    tags: Tags
    block: int


def build(spoken: Sequence[Spoken], turns: Sequence[Turn] | None) -> list[Utterance]:
    """Cut what was recognised in one recording into utterances.

    A new utterance begins where the speaker changes, after a sentence, after `PAUSE_S` of silence,
    and where language, emotion, event or flaw change. Otherwise it goes on across segments, as
    long ones were cut to fit the model. A segment without word times is one utterance, of the
    speaker who has most of it.

    Parameters
    ----------
    spoken : in any order, without overlap
    turns : None where no speakers are wanted

    Returns
    -------
    Sorted by start; times in seconds, rounded to milliseconds. No text is lost; an utterance
    without any is a segment that has a flaw to tell.
    """
    timed: list[_Said] = []
    untimed: list[Spoken] = []
    for each in sorted(spoken, key=lambda s: s.start):
        said = list(_said(each, block=len(untimed)))
        timed += said
        if not said and (each.recognition.text.strip() or each.flaw):
            untimed.append(each)
    words = assign([said.word for said in timed], turns or ())
    told = [_Said(word, s.tags, s.block) for word, s in zip(words, timed, strict=True)]
    utterances = [_utterance(run) for run in _runs(told)]
    return sorted(utterances + _untimed(untimed, turns or ()), key=lambda u: u.start)


def _said(spoken: Spoken, block: int) -> Iterator[_Said]:
    """Words of a segment, their times from the start of the recording."""
    tags = _tags(spoken)
    for word in spoken.recognition.words or ():
        if word.text:
            start, end = round(spoken.start + word.start, 3), round(spoken.start + word.end, 3)
            yield _Said(Word(word.text, start, end), tags, block)


def _tags(spoken: Spoken) -> Tags:
    found = spoken.recognition
    return found.language, found.emotion, found.event, spoken.flaw


def _runs(said: Sequence[_Said]) -> Iterator[Sequence[_Said]]:
    """Words that make an utterance each."""
    first = 0
    for i, (left, right) in enumerate(pairwise(said), start=1):
        if _parts(left, right):
            yield said[first:i]
            first = i
    if said:
        yield said[first:]


def _parts(left: _Said, right: _Said) -> bool:
    """Whether an utterance ends between two words."""
    return (
        left.word.speaker != right.word.speaker
        or left.tags != right.tags
        or left.block != right.block
        or right.word.start - left.word.end >= PAUSE_S
        or ends_sentence(left.word.text, right.word.text)
    )


def _utterance(run: Sequence[_Said]) -> Utterance:
    words = tuple(said.word for said in run)
    end = max(word.end for word in words)
    text = join(word.text for word in words)
    return Utterance(words[0].start, end, text, words, words[0].speaker, *run[0].tags)


def _untimed(spoken: Sequence[Spoken], turns: Sequence[Turn]) -> list[Utterance]:
    """Segments without word times, an utterance each."""
    segments = [Segment(round(s.start, 3), round(s.end, 3)) for s in spoken]
    speakers = assign_segments(segments, turns)
    return [
        Utterance(at.start, at.end, s.recognition.text.strip(), None, speaker, *_tags(s))
        for at, s, speaker in zip(segments, spoken, speakers, strict=True)
    ]
