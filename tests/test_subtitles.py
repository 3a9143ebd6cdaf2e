"""Subtitles as other people's parsers read them: srt and webvtt-py."""

import html
import random
import re
from dataclasses import replace
from datetime import timedelta
from io import StringIO
from itertools import pairwise

import pytest
import srt
import webvtt

from tests.documents import document, hostile_document, rendered, timed, untimed
from worker.formats.document import Document
from worker.formats.lines import LINE_CHARACTERS, MAX_LINES, WIDE_LINE_CHARACTERS, is_wide


def parse_srt(text: str) -> list[srt.Subtitle]:
    return list(srt.parse(text))


def parse_vtt(text: str) -> list[webvtt.Caption]:
    return webvtt.from_buffer(StringIO(text)).captions


def solid(text: str) -> str:
    """Text without spaces: where lines break, they may go."""
    return "".join(text.split())


def check_lines(lines: list[str], utterance_text: str) -> None:
    assert 1 <= len(lines) <= MAX_LINES
    limit = WIDE_LINE_CHARACTERS if is_wide(utterance_text) else LINE_CHARACTERS
    for line in lines:
        assert line == line.strip() != ""
        assert len(line) <= limit, line


def test_silence_has_no_cues():
    assert rendered("srt", document()) == ""
    assert parse_vtt(rendered("vtt", document())) == []


def test_srt_names_the_speaker_where_it_changes():
    of = document(timed("Hello?", 1, 2, 0), timed("Yes.", 3, 4, 0), timed("Hi.", 5, 6, 1))
    cues = parse_srt(rendered("srt", of))
    assert [c.content for c in cues] == ["SPEAKER_00: Hello?", "Yes.", "SPEAKER_01: Hi."]
    assert [c.index for c in cues] == [1, 2, 3]
    assert (cues[0].start, cues[0].end) == (timedelta(seconds=1), timedelta(seconds=2))


NAMES = ["Ann Lee", "a --> b", "<b>&lt;", "x" * 100, "字" * 100, "Zoë " * 20 + "!", "-"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("text", ["Hello?", "word " * 60, "字" * 90 + "。"])
def test_names_of_voices_leave_subtitles_readable(name, text):
    utterances = [timed(text, 1, 5, 0), untimed(text, 5, 9, 1), timed(text, 9, 12, 0)]
    of = replace(document(*utterances), names={0: name})
    cues = parse_srt(rendered("srt", of))
    for cue in cues:
        check_lines(cue.content.split("\n"), text)
    shown = solid("".join(cue.content for cue in cues))
    assert shown.startswith(solid(name.replace("-->", "→"))[:10])
    assert shown.count(solid(text)) == 3
    captions = parse_vtt(rendered("vtt", of))
    assert captions[0].voice == name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert "".join(solid(c.text) for c in captions) == solid(text) * 3


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
