"""Documents to write, and text that is hard to write."""

from worker import formats
from worker.formats.document import Document
from worker.segments import Turn, Utterance, Word
from worker.text import join

HOSTILE = [
    "a --> b",
    "00:00:01,000 --> 00:00:02,000",
    "5\n\n00:00:01.000 --> 00:00:02.000\nhello",
    "<b>bold</b> & <v Somebody>&lt;x&gt;",
    'he said "hello" and "" left',
    "line\nbreak\r\nand\u2028another\x85one\x0bhere",
    "👍🏽 👨‍👩‍👧 ok",
    "שלום עולם, مرحبا بالعالم؟",
    "x" * 100,
    "字" * 100 + "。",
    "สวัสดีครับยินดีที่ได้รู้จักวันนี้อากาศดีมากเลยนะครับไปเที่ยวทะเลกันไหม",
    "안녕하세요 여러분 오늘은 날씨가 아주 좋습니다 그래서 우리는 바다에 갑니다",
    "我们今天讨论 machine learning 的问题，因为它很重要，Microsoft Windows 也是。",
    "WEBVTT NOTE STYLE",
    '{\\an8}item: xmin = 0 text = ""',
    " ",
]


def timed(text: str, start: float, end: float, speaker: int | None = None) -> Utterance:
    """An utterance whose words share its time evenly."""
    words = text.split()
    step = (end - start) / max(1, len(words))
    spans = [(round(start + i * step, 3), round(start + (i + 1) * step, 3)) for i in range(99)]
    told = tuple(Word(w, a, b, speaker) for w, (a, b) in zip(words, spans, strict=False))
    return Utterance(start, end, join(words), told, speaker)


def untimed(text: str, start: float, end: float, speaker: int | None = None) -> Utterance:
    return Utterance(start, end, text, None, speaker)


def document(*utterances: Utterance, turns: tuple[Turn, ...] = ()) -> Document:
    return Document("a call", max([60.0, *(u.end for u in utterances)]), turns, utterances)


def rendered(name: str, of: Document) -> str:
    return formats.render([name], of)[name]


def hostile_document(speaker: int | None) -> Document:
    utterances, now = [], 1.0
    for i, text in enumerate(HOSTILE * 2):
        length = [0.0, 0.4, 6.0][i % 3]
        make = timed if i < len(HOSTILE) else untimed
        utterances.append(make(text, now, now + length, None if speaker is None else i % 2))
        now += length + [0.0, 2.0][i % 2]
    return document(*utterances)
