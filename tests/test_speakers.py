"""Who said each word: every rule of `speakers.assign` with an example."""

import random

import pytest

from worker.segments import Segment, Turn, Word
from worker.transcription.speakers import assign, assign_segments

A, B = 0, 1


def words_of(text: str, starts: list[float] | None = None, length: float = 0.3) -> list[Word]:
    """Words that follow one another from 0 s on, or begin where `starts` says."""
    texts = text.split()
    starts = starts or [round(i * length, 3) for i in range(len(texts))]
    return [Word(t, s, round(s + length, 3)) for t, s in zip(texts, starts, strict=True)]


def told(words: list[Word], turns: list[Turn]) -> str:
    """Words with a slash where the speaker changes."""
    told = assign(words, turns)
    assert [(w.text, w.start, w.end) for w in told] == [(w.text, w.start, w.end) for w in words]
    text = ""
    for before, word in zip([None, *told], told, strict=False):
        text += " / " if before and before.speaker != word.speaker else " "
        text += word.text
    return text.strip()


def test_a_word_across_a_boundary_goes_where_most_of_it_lies():
    words = [Word("left", 0.0, 1.1), Word("most", 0.7, 1.2), Word("right", 1.2, 2.0)]
    turns = [Turn(0.0, 1.0, A), Turn(1.0, 2.0, B)]
    assert [w.speaker for w in assign(words, turns)] == [A, A, B]
    turns = [Turn(0.0, 0.9, A), Turn(0.9, 2.0, B)]
    assert [w.speaker for w in assign(words, turns)] == [A, B, B]


def test_parts_in_several_turns_of_a_speaker_count_together():
    word = Word("stretched", 0.0, 1.0)
    turns = [Turn(0.0, 0.3, A), Turn(0.3, 0.7, B), Turn(0.7, 1.0, A)]
    assert assign([word], turns)[0].speaker == A


def test_a_word_outside_every_turn_goes_to_the_nearest():
    turns = [Turn(1.0, 2.0, A), Turn(4.0, 5.0, B)]
    words = [Word("early", 0.0, 0.2), Word("near", 2.1, 2.9), Word("later", 3.2, 3.8)]
    assert [w.speaker for w in assign([*words, Word("late", 9.0, 9.2)], turns)] == [A, A, B, B]


@pytest.mark.parametrize("first", [A, B])
def test_halfway_between_two_turns_the_earlier_has_it(first):
    turns = [Turn(0.0, 1.0, first), Turn(2.0, 3.0, 1 - first)]
    assert assign([Word("middle", 1.4, 1.6)], turns)[0].speaker == first


def test_where_turns_overlap_a_word_stays_with_those_around_it():
    words = words_of("a b c d e", [0.0, 1.0, 2.0, 3.0, 4.0])
    turns = [Turn(0.0, 2.5, B), Turn(1.0, 5.0, A)]
    # b and c lie in both turns.
    assert told(words, turns) == "a b c / d e"
    assert told(words[1:], turns) == "b c d e"


def test_a_word_without_length_has_the_speaker_of_its_turn():
    turns = [Turn(0.0, 1.0, A), Turn(1.0, 2.0, B)]
    words = [Word("in", 0.5, 0.5), Word("on", 1.0, 1.0), Word("in", 1.5, 1.5)]
    assert [w.speaker for w in assign(words, turns)] == [A, A, B]


ISLAND = [Turn(0.0, 0.6, A), Turn(0.6, 0.9, B), Turn(0.9, 1.5, A)]


def test_a_lone_word_inside_anothers_turn_belongs_to_it():
    assert told(words_of("one two three four five."), ISLAND) == "one two three four five."


def test_a_lone_word_that_is_a_sentence_stays():
    assert told(words_of("that's it. Yeah. So we"), ISLAND) == "that's it. / Yeah. / So we"


def test_a_lone_word_that_only_ends_a_sentence_goes():
    assert told(words_of("that's it yeah. So we"), ISLAND) == "that's it yeah. So we"


@pytest.mark.parametrize(("before", "after"), [(0.4, 0.3), (0.3, 0.0), (0.0, 0.3)])
def test_a_lone_word_beside_a_pause_stays(before, after):
    own = round(0.6 + before, 3)
    words = words_of("one two yeah four five", [0.0, 0.3, own, own + 0.3 + after, 2.0])
    turns = [Turn(0.0, own, A), Turn(own, own + 0.3, B), Turn(own + 0.3, 3.0, A)]
    assert told(words, turns) == "one two / yeah / four five"


def test_a_lone_word_deep_inside_its_own_turn_stays():
    words = [*words_of("one two"), Word("okay", 0.7, 2.7), *words_of("four five", [2.8, 3.1])]
    turns = [Turn(0.0, 0.65, A), Turn(0.65, 2.75, B), Turn(2.75, 4.0, A)]
    assert told(words, turns) == "one two / okay / four five"


def test_the_last_word_of_a_sentence_goes_with_it():
    turns = [Turn(0.0, 0.6, A), Turn(0.6, 3.0, B)]
    assert told(words_of("Are you there? Yes, I am."), turns) == "Are you there? / Yes, I am."


def test_the_first_word_of_a_sentence_goes_with_it():
    turns = [Turn(0.0, 1.2, A), Turn(1.2, 3.0, B)]
    assert told(words_of("Are you there? Yes I am."), turns) == "Are you there? / Yes I am."


@pytest.mark.parametrize(
    "text",
    [
        "Yes, I know. / So I did not hear",
        "Yes, I know. So I / did not.",  # as many as those that follow
        "Yes, I know. So I / did not. Then we left.",
        "Yes, I know, so I / did not hear",  # not the first ones
    ],
)
def test_the_first_words_of_a_sentence_that_two_turns_share_go_with_it(text):
    """A begins to speak while B still does; the words begin a little before A's turn."""
    turns = [Turn(0.0, 1.5, B), Turn(0.92, 5.0, A)]
    assert told(words_of(text.replace(" /", "")), turns) == text


def test_the_first_word_of_all_begins_a_sentence():
    turns = [Turn(0.0, 0.3, A), Turn(0.3, 3.0, B)]
    assert told(words_of("Yes I am."), turns) == "Yes I am."


def test_a_pause_at_the_change_says_otherwise():
    words = words_of("Are you there? Yes, I am.", [0.0, 0.3, 0.9, 1.2, 1.5, 1.8])
    turns = [Turn(0.0, 0.85, A), Turn(0.9, 3.0, B)]
    assert told(words, turns) == "Are you / there? Yes, I am."


def test_a_word_well_inside_the_other_turn_stays():
    words = [*words_of("Are you"), Word("certainly?", 0.6, 1.2), Word("Yes,", 1.2, 1.5)]
    turns = [Turn(0.0, 0.6, A), Turn(0.6, 3.0, B)]
    assert told(words, turns) == "Are you / certainly? Yes,"


def test_two_words_are_not_moved():
    turns = [Turn(0.0, 0.6, A), Turn(0.6, 3.0, B)]
    assert told(words_of("Are you over there? Yes."), turns) == "Are you / over there? Yes."


def test_a_sentence_of_one_word_each_is_left_to_the_times():
    turns = [Turn(0.0, 0.3, A), Turn(0.3, 3.0, B)]
    assert told(words_of("Oh, hello. I am here."), turns) == "Oh, / hello. I am here."


def test_a_change_between_sentences_is_left_alone():
    turns = [Turn(0.0, 0.9, A), Turn(0.9, 3.0, B)]
    assert told(words_of("Are you there? Yes. I am."), turns) == "Are you there? / Yes. I am."


def test_characters_of_chinese_follow_their_marks():
    turns = [Turn(0.0, 0.9, A), Turn(0.9, 3.0, B)]
    assert told(words_of("你 好 吗 ？ 我 很 好 。"), turns) == "你 好 吗 ？ / 我 很 好 。"


def test_turns_of_one_speaker_may_overlap_and_come_in_any_order():
    turns = [Turn(3.0, 4.0, B), Turn(0.0, 2.0, A), Turn(1.0, 1.5, A), Turn(1.8, 2.9, A)]
    words = [Word("one", 1.0, 1.4), Word("two", 2.2, 2.6), Word("three", 2.7, 3.6)]
    assert [w.speaker for w in assign(words, turns)] == [A, A, B]


def test_time_in_two_turns_of_one_speaker_counts_once():
    turns = [Turn(0.0, 1.0, A), Turn(0.5, 1.0, A), Turn(1.2, 2.0, B)]
    assert assign([Word("word", 0.5, 2.0)], turns)[0].speaker == B


def test_without_turns_nobody_speaks():
    words = [Word("a", 0.0, 1.0, speaker=3)]
    assert [w.speaker for w in assign(words, [])] == [None]
    assert assign([], [Turn(0.0, 1.0, A)]) == []
    assert assign_segments([Segment(0.0, 1.0)], []) == [None]


def test_a_segment_goes_to_the_speaker_who_has_most_of_it():
    turns = [Turn(0.0, 1.0, A), Turn(1.0, 3.0, B), Turn(3.0, 3.5, A)]
    segments = [Segment(0.0, 2.5), Segment(0.0, 1.5), Segment(9.0, 10.0)]
    assert assign_segments(segments, turns) == [B, A, A]


def test_time_alone_agrees_with_counting_milliseconds():
    """Random turns without punctuation or lone words: each word against a plain count."""
    rng = random.Random(3)
    for _ in range(200):
        turns, now = [], 0
        for speaker in [rng.randrange(3) for _ in range(6)]:
            start = now + rng.choice([0, 0, 150])
            now = start + rng.randrange(100, 900)
            turns.append(Turn(start / 1000, now / 1000, speaker))
        start = rng.randrange(now)
        end = start + rng.randrange(1, 400)
        inside = [0, 0, 0]
        for turn in turns:
            first, last = round(turn.start * 1000), round(turn.end * 1000)
            inside[turn.speaker] += max(0, min(end, last) - max(start, first))
        if max(inside) and inside.count(max(inside)) == 1:
            word = Word("word", start / 1000, end / 1000)
            assert assign([word], turns)[0].speaker == inside.index(max(inside))
