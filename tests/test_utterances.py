import random

import pytest

from worker.engines.base import Recognition
from worker.segments import Turn, Utterance, Word
from worker.text import join
from worker.transcription.spoken import Spoken
from worker.transcription.utterances import PAUSE_S, build


def spoken(start: float, text: str, *, pace: float = 0.3, **tags: str | None) -> Spoken:
    """A segment whose words follow one another without a gap."""
    texts = text.split()
    words = tuple(
        Word(t, round(i * pace, 3), round((i + 1) * pace, 3)) for i, t in enumerate(texts)
    )
    flaw = tags.pop("flaw", None)
    return Spoken(start, start + len(texts) * pace, Recognition(join(texts), words, **tags), flaw)


def untimed(start: float, end: float, text: str) -> Spoken:
    return Spoken(start, end, Recognition(text))


def texts(*segments: Spoken, turns: list[Turn] | None = None) -> list[str]:
    return [utterance.text for utterance in build(segments, turns)]


def test_words_are_told_in_the_times_of_the_recording():
    (utterance,) = build([spoken(10.0004, "one two", language="en", emotion="happy")], None)
    assert utterance.words == (Word("one", 10.0, 10.3), Word("two", 10.3, 10.6))
    assert (utterance.start, utterance.end, utterance.text) == (10.0, 10.6, "one two")
    assert (utterance.speaker, utterance.language, utterance.emotion) == (None, "en", "happy")


def test_an_utterance_ends_with_the_speaker():
    turns = [Turn(0.0, 0.6, 0), Turn(0.6, 1.2, 1)]
    first, second = build([spoken(0.0, "one two three four")], turns)
    assert (first.text, first.speaker, second.text, second.speaker) == (
        *("one two", 0),
        *("three four", 1),
    )
    assert {w.speaker for w in second.words} == {1}


def test_an_utterance_ends_with_the_sentence():
    assert texts(spoken(0.0, "Dr. Who left. Did he? 3. 14 is pi.")) == [
        "Dr. Who left.",
        "Did he?",
        "3. 14 is pi.",
    ]
    assert texts(spoken(0.0, "你 好。 再 见！")) == ["你好。", "再见！"]


@pytest.mark.parametrize(("pause", "count"), [(PAUSE_S - 0.01, 1), (PAUSE_S, 2)])
def test_an_utterance_ends_with_a_pause(pause, count):
    segments = [spoken(0.0, "one two", pace=0.5), spoken(1.0 + pause, "three")]
    assert len(build(segments, None)) == count


def test_a_sentence_goes_on_where_a_long_segment_was_cut():
    assert texts(spoken(0.6, "three four."), spoken(0.0, "one two")) == ["one two three four."]


@pytest.mark.parametrize("tag", ["language", "emotion", "event", "flaw"])
def test_what_segments_tell_is_not_mixed(tag):
    first, second = build(
        [spoken(0.0, "one", **{tag: "this"}), spoken(0.3, "two", **{tag: "that"})], None
    )
    assert (getattr(first, tag), getattr(second, tag)) == ("this", "that")


def test_a_segment_without_words_is_one_utterance_of_who_has_most_of_it():
    turns = [Turn(0.0, 1.0, 0), Turn(1.0, 3.0, 1)]
    (utterance,) = build([untimed(0.0, 2.5, "One. Two.")], turns)
    assert (utterance.text, utterance.speaker, utterance.words) == ("One. Two.", 1, None)
    assert (utterance.start, utterance.end) == (0.0, 2.5)


def test_words_around_a_segment_without_words_stay_apart():
    assert texts(spoken(0.0, "one"), untimed(0.3, 0.6, "two"), spoken(0.6, "three")) == [
        "one",
        "two",
        "three",
    ]


def test_what_has_no_text_is_left_out():
    assert texts(untimed(0.0, 1.0, ""), Spoken(1.0, 2.0, Recognition("", ()))) == []
    assert texts(untimed(0.0, 1.0, " "), spoken(2.0, "one")) == ["one"]


@pytest.mark.parametrize("words", [(), (Word("", 0.0, 1.0),)])
def test_text_whose_words_are_missing_is_kept(words):
    assert texts(Spoken(0.0, 1.0, Recognition("kept", words))) == ["kept"]


@pytest.mark.parametrize("words", [None, (), (Word("", 0.0, 1.0),)])
def test_a_segment_that_failed_is_told(words):
    failed = Spoken(0.6, 1.6, Recognition("", words), "the model failed")
    turns = [Turn(0.0, 0.6, 0), Turn(0.6, 1.6, 1), Turn(1.6, 2.2, 0)]
    first, second, third = build([spoken(0.0, "one two"), failed, spoken(1.6, "three")], turns)
    assert (first.text, first.flaw, third.text, third.flaw) == ("one two", None, "three", None)
    assert second == Utterance(0.6, 1.6, "", None, 1, flaw="the model failed")


def test_no_text_is_lost_and_none_invented():
    rng = random.Random(5)
    vocabulary = [
        "yes.",
        "no",
        "Mr.",
        "好",
        "吗？",
        "3.",
        "14",
        "well,",
        "안녕",
        "(",
        "ok)",
        "สวัส",
        "I",
    ]
    for _ in range(300):
        segments, now = [], 0.0
        for _ in range(rng.randrange(6)):
            text = " ".join(rng.choices(vocabulary, k=rng.randrange(8)))
            language = rng.choice(["en", "zh", None])
            segment = spoken(now, text, pace=rng.choice([0.0, 0.1, 0.4]), language=language)
            if rng.random() < 0.2:
                segment = untimed(now, now + 1.0, segment.recognition.text)
            segments.append(segment)
            now = segment.end + rng.choice([0.0, 0.5, 2.0]) + 0.001
        turns = [Turn(t, t + rng.uniform(0.1, 2.0), rng.randrange(3)) for t in range(8)]
        utterances = build(rng.sample(segments, len(segments)), rng.choice([None, turns]))
        said = "".join("".join(s.recognition.text.split()) for s in segments)
        assert "".join("".join(u.text.split()) for u in utterances) == said
        assert [u.start for u in utterances] == sorted(u.start for u in utterances)
        for u in utterances:
            assert u.words is None or u.text == join(w.text for w in u.words)
            assert {w.speaker for w in u.words or ()} <= {u.speaker}
