"""Files as other people's parsers read them: srt, webvtt-py and praatio."""

import html
import random
import re
from datetime import timedelta
from io import StringIO
from itertools import pairwise

import pytest
import srt
import webvtt
from praatio import textgrid
from praatio.data_classes.interval_tier import IntervalTier

from worker import formats
from worker.formats.document import Document
from worker.formats.lines import LINE_CHARACTERS, MAX_LINES, WIDE_LINE_CHARACTERS, is_wide
from worker.segments import Turn, Utterance, Word
from worker.text import join

TURNS = [Turn(6.69, 7.12, 0), Turn(3600.5, 3661.0, 11)]

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


def parse_srt(text: str) -> list[srt.Subtitle]:
    return list(srt.parse(text))


def parse_vtt(text: str) -> list[webvtt.Caption]:
    return webvtt.from_buffer(StringIO(text)).captions


def parse_textgrid(text: str, tmp_path) -> textgrid.Textgrid:
    path = tmp_path / "a.TextGrid"
    path.write_text(text, encoding="utf-8")
    # Errors of order and overlap are raised.
    return textgrid.openTextgrid(str(path), includeEmptyIntervals=True, reportingMode="error")


def solid(text: str) -> str:
    """Text without spaces: where lines break, they may go."""
    return "".join(text.split())


def hostile_document(speaker: int | None) -> Document:
    utterances, now = [], 1.0
    for i, text in enumerate(HOSTILE * 2):
        length = [0.0, 0.4, 6.0][i % 3]
        make = timed if i < len(HOSTILE) else untimed
        utterances.append(make(text, now, now + length, None if speaker is None else i % 2))
        now += length + [0.0, 2.0][i % 2]
    return document(*utterances)


def check_lines(lines: list[str], utterance_text: str) -> None:
    assert 1 <= len(lines) <= MAX_LINES
    limit = WIDE_LINE_CHARACTERS if is_wide(utterance_text) else LINE_CHARACTERS
    for line in lines:
        assert line == line.strip() != ""
        assert len(line) <= limit, line


# Plain text and RTTM


def test_rttm_has_a_line_per_turn():
    assert rendered("rttm", Document("my call", 9.0, TURNS, [])) == (
        "SPEAKER my_call 1 6.690 0.430 <NA> <NA> SPEAKER_00 <NA> <NA>\n"
        "SPEAKER my_call 1 3600.500 60.500 <NA> <NA> SPEAKER_11 <NA> <NA>\n"
    )


def test_txt_of_turns_reads_well():
    assert rendered("txt", Document("", 9.0, TURNS, [])) == (
        "00:06.690 - 00:07.120  SPEAKER_00\n1:00:00.500 - 1:01:01.000  SPEAKER_11\n"
    )


def test_txt_of_utterances_has_what_was_said():
    of = document(timed("Hello?", 59.9996, 61.0, 0), untimed("Two\nlines", 62.0, 63.0), turns=TURNS)
    assert rendered("txt", of) == (
        "01:00.000 - 01:01.000  SPEAKER_00  Hello?\n01:02.000 - 01:03.000  Two lines\n"
    )


def test_json_is_the_reply_itself():
    assert formats.render(["json"], document()) == {}


@pytest.mark.parametrize("task", formats.FORMATS_OF_TASK)
def test_every_format_of_a_task_is_written(task):
    names = formats.FORMATS_OF_TASK[task]
    assert [*formats.render(names, document())] == [name for name in names if name != "json"]


def test_silence_gives_files_without_entries(tmp_path):
    files = formats.render(["txt", "rttm", "srt", "vtt", "textgrid"], document())
    assert (files["txt"], files["rttm"], files["srt"]) == ("", "", "")
    assert parse_vtt(files["vtt"]) == []
    (tier,) = parse_textgrid(files["textgrid"], tmp_path).tiers
    assert [interval.label for interval in tier.entries] == [""]


# Subtitles


def test_srt_names_the_speaker_where_it_changes():
    of = document(timed("Hello?", 1, 2, 0), timed("Yes.", 3, 4, 0), timed("Hi.", 5, 6, 1))
    cues = parse_srt(rendered("srt", of))
    assert [c.content for c in cues] == ["SPEAKER_00: Hello?", "Yes.", "SPEAKER_01: Hi."]
    assert [c.index for c in cues] == [1, 2, 3]
    assert (cues[0].start, cues[0].end) == (timedelta(seconds=1), timedelta(seconds=2))


def test_vtt_has_a_header_and_voices():
    text = rendered("vtt", document(timed("Hello?", 1, 2, 0), untimed("Yes & no.", 3661, 3662)))
    assert text.startswith("WEBVTT\n\n00:00:01.000 --> 00:00:02.000\n<v SPEAKER_00>Hello?\n\n")
    first, second = parse_vtt(text)
    assert (first.voice, first.text) == ("SPEAKER_00", "Hello?")
    assert (second.voice, second.start, second.end) == (None, "01:01:01.000", "01:01:02.000")


LONG = (
    "Well, there isn't that much difference, at least you know, they all call me a Yankee "
    "down here, so that is what it is, and I don't mind it at all."
)


def test_long_utterances_become_cues_timed_by_their_words():
    utterance = timed(LONG, 10.0, 20.0)
    cues = parse_srt(rendered("srt", document(utterance)))
    assert " ".join(" ".join(c.content.split("\n")) for c in cues) == LONG
    words = iter(utterance.words)
    for cue in cues:
        own = [next(words) for _ in cue.content.split()]
        assert cue.start == timedelta(seconds=own[0].start)
        assert cue.end == timedelta(seconds=own[-1].end)
        check_lines(cue.content.split("\n"), LONG)


def shown(text: str) -> list[list[str]]:
    """Lines of each cue."""
    cues = parse_srt(rendered("srt", document(timed(text, 0.0, 9.0))))
    return [cue.content.split("\n") for cue in cues]


def test_cues_break_after_marks():
    assert shown(
        "Well, there isn't that much difference, at least you know, they all call me a Yankee "
        "down here, so that is what it is."
    ) == [
        ["Well, there isn't that much difference,"],
        ["at least you know, they all call me a", "Yankee down here, so that is what it is."],
    ]


def test_lines_are_balanced():
    assert shown("I told him that we were all going to the beach today") == [
        ["I told him that we were all", "going to the beach today"]
    ]


def test_without_word_times_cues_share_the_time_by_characters():
    first, second = parse_srt(rendered("srt", document(untimed("ab " * 42, 0.0, 10.0))))
    letters = len(solid(first.content))
    assert first.end == second.start == timedelta(milliseconds=round(10000 * letters / 84))
    assert second.end == timedelta(seconds=10)


def test_the_name_counts_into_the_line():
    cues = parse_srt(rendered("srt", document(timed("word " * 8, 0, 4, 3))))
    check_lines(cues[0].content.split("\n"), "word")
    assert cues[0].content.startswith("SPEAKER_03: word")
    assert len(cues) == 1


def test_no_cue_shows_a_name_alone():
    # Four full lines: with the name alone, the second cue would end with the comma.
    text = " ".join(["x" * 42, "x" * 41 + ",", "x" * 42, "x" * 42])
    first, *_ = parse_srt(rendered("srt", document(timed(text, 0.0, 9.0, 0))))
    assert first.content == "SPEAKER_00:\n" + "x" * 42


def test_cues_of_overlapping_utterances_come_in_order():
    of = document(untimed("word " * 40, 0.0, 20.0, 0), untimed("Yes.", 2.0, 3.0, 1))
    captions = parse_vtt(rendered("vtt", of))
    assert [c.start_in_seconds for c in captions] == sorted(c.start_in_seconds for c in captions)
    assert [(c.start, c.text) for c in captions if c.voice == "SPEAKER_01"] == [
        ("00:00:02.000", "Yes.")
    ]


def test_chinese_lines_are_shorter_and_begin_with_no_mark():
    text = "我们今天讨论一下这个非常重要的问题，因为它关系到每个人的生活，也关系到未来。" * 3
    for make in (timed, untimed):
        cues = parse_srt(rendered("srt", document(make(text, 0.0, 30.0))))
        assert solid("".join(c.content for c in cues)) == text
        for cue in cues:
            lines = cue.content.split("\n")
            check_lines(lines, text)
            assert not [line for line in lines if line[0] in "，。"]


def test_a_short_cue_stays_where_there_is_room():
    of = Document(
        "", 7.0, [], [timed(t, s, s + 0.1) for t, s in [("a", 1), ("b", 1.5), ("c", 6.5)]]
    )
    times = [
        (c.start.total_seconds(), c.end.total_seconds()) for c in parse_srt(rendered("srt", of))
    ]
    assert times == [(1.0, 1.5), (1.5, 2.333), (6.5, 7.0)]


def test_cues_at_one_moment_follow_one_another():
    of = document(*(timed(t, 1.0, 1.0) for t in "abc"), timed("d", 1.001, 5.0))
    times = [(c.start, c.end) for c in parse_srt(rendered("srt", of))]
    assert all(start < end for start, end in times)
    assert all(a[1] <= b[0] for a, b in pairwise(times))


@pytest.mark.parametrize("speaker", [None, 0])
def test_srt_survives_hostile_text(speaker):
    of = hostile_document(speaker)
    cues = parse_srt(rendered("srt", of))
    assert [c.index for c in cues] == list(range(1, len(cues) + 1))
    text = "".join(re.sub(r"SPEAKER_0\d:", "", solid(c.content)) for c in cues)
    assert text == solid("".join(u.text for u in of.utterances)).replace("-->", "→")
    for before, cue in zip([None, *cues], cues, strict=False):
        assert cue.start < cue.end
        assert before is None or before.end <= cue.start
        lines = cue.content.split("\n")
        assert len(lines) <= MAX_LINES
        assert max(map(len, lines)) <= LINE_CHARACTERS


@pytest.mark.parametrize("speaker", [None, 0])
def test_vtt_survives_hostile_text(speaker):
    of = hostile_document(speaker)
    raw = rendered("vtt", of)
    captions = parse_vtt(raw)
    assert raw.count("-->") == len(captions)
    payloads = [re.sub(r"^<v SPEAKER_0\d>", "", "\n".join(c.lines)) for c in captions]
    assert not [p for p in payloads if "<" in p or ">" in p]
    text = html.unescape(solid("".join(payloads)))
    assert text == solid("".join(u.text for u in of.utterances))
    assert {c.voice for c in captions} == (
        {None} if speaker is None else {"SPEAKER_00", "SPEAKER_01"}
    )
    ends = [c.end_in_seconds for c in captions]
    assert ends == sorted(ends)


def test_every_line_of_random_text_fits():
    rng = random.Random(11)
    vocabulary = [
        "a",
        "word,",
        "longer",
        "b" * 30,
        "c" * 60,
        "好",
        "吗？",
        "漢字",
        "안녕",
        "(",
        "3.5",
        "É",
    ]
    for _ in range(300):
        text = " ".join(rng.choices(vocabulary, k=rng.randrange(1, 40)))
        make = rng.choice([timed, untimed])
        utterance = make(text, 1.0, 1.0 + rng.choice([0.0, 1.0, 20.0]), rng.choice([None, 0]))
        cues = parse_srt(rendered("srt", document(utterance)))
        for cue in cues:
            check_lines(cue.content.split("\n"), utterance.text)
        shown = "".join(c.content for c in cues).removeprefix("SPEAKER_00:")
        assert solid(shown) == solid(text)


# TextGrid


def check_tier(tier: IntervalTier, duration: float) -> None:
    """A tier is filled without gaps or overlaps."""
    edges = [(interval.start, interval.end) for interval in tier.entries]
    assert (edges[0][0], edges[-1][1]) == (0, duration)
    assert all(start < end for start, end in edges)
    assert [end for _, end in edges[:-1]] == [start for start, _ in edges[1:]]


def test_textgrid_has_tiers_for_each_speaker(tmp_path):
    of = Document(
        "call",
        10.0,
        [Turn(1.0, 4.0, 0), Turn(3.5, 6.0, 1)],
        [timed('He said "no".', 1.0, 4.0, 0), untimed("Yes.", 4.0, 6.0, 1)],
    )
    grid = parse_textgrid(rendered("textgrid", of), tmp_path)
    assert grid.tierNames == (
        *("SPEAKER_00", "SPEAKER_00 utterances", "SPEAKER_00 words"),
        *("SPEAKER_01", "SPEAKER_01 utterances"),
    )
    for tier in grid.tiers:
        check_tier(tier, 10.0)
    spoken = grid.getTier("SPEAKER_00 words").entries
    assert [i.label for i in spoken if i.label] == ["He", "said", '"no".']
    assert [tuple(i) for i in grid.getTier("SPEAKER_01").entries] == [
        (0, 3.5, ""),
        (3.5, 6.0, "SPEAKER_01"),
        (6.0, 10.0, ""),
    ]


def test_textgrid_without_speakers_has_plain_tiers(tmp_path):
    grid = parse_textgrid(rendered("textgrid", document(timed("one two", 1, 2))), tmp_path)
    assert grid.tierNames == ("utterances", "words")


@pytest.mark.parametrize("speaker", [None, 0])
def test_textgrid_survives_hostile_text(speaker, tmp_path):
    of = hostile_document(speaker)
    grid = parse_textgrid(rendered("textgrid", of), tmp_path)
    for tier in grid.tiers:
        check_tier(tier, grid.maxTimestamp)
    names = [name for name in grid.tierNames if name.endswith("utterances")]
    told = [i.label for name in names for i in grid.getTier(name).entries if i.label]
    said = [" ".join(u.text.split()) for u in of.utterances]
    assert sorted(told) == sorted(text for text in said if text)


def test_textgrid_is_as_long_as_what_is_in_it(tmp_path):
    of = Document("", 0.0, [Turn(1.0, 4.0, 0)], [])
    grid = parse_textgrid(rendered("textgrid", of), tmp_path)
    assert grid.maxTimestamp == 4.0
