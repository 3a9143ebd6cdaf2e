"""The measures of the benchmark of speech recognition."""

import pytest

from benchmarks.asr_score import (
    SpokenWord,
    furthest,
    normalised,
    read_rttm,
    speaker_share,
    word_errors,
)

RTTM = """\
SPEAKER sample 1 0.000 2.000 <NA> <NA> alice <NA> <NA>
SPEAKER sample 1 1.500 2.000 <NA> <NA> bob <NA> <NA>
"""


def test_words_are_compared_without_tags_case_and_marks():
    assert normalised("<|en|><|NEUTRAL|><|Speech|><|woitn|>One, two. Don't!") == [
        "one",
        "two",
        "don't",
    ]


@pytest.mark.parametrize(
    ("reference", "hypothesis", "errors"),
    [
        ("", "", 0),
        ("a b c", "a b c", 0),
        ("a b c", "a c", 1),
        ("a c", "a b c", 1),
        ("a b c", "a x c", 1),
        ("a b c d", "b c d e", 2),
        ("a b", "", 2),
    ],
)
def test_word_errors_are_the_least_number_of_edits(reference, hypothesis, errors):
    assert word_errors(reference.split(), hypothesis.split()) == errors


def test_furthest_is_the_largest_difference_of_any_boundary():
    assert furthest([(0, 10), (20, 30)], [(0, 12), (15, 30)]) == 5
    assert furthest([], []) == 0
    with pytest.raises(ValueError, match="zip"):
        furthest([(0, 1)], [])


def test_words_count_only_where_one_speaker_of_the_reference_talks():
    words = [
        SpokenWord("alone", 0.1, 0.5, "SPEAKER_01"),
        SpokenWord("both", 1.6, 1.8, "SPEAKER_01"),
        SpokenWord("alone", 2.5, 3.0, "SPEAKER_00"),
        SpokenWord("wrong", 3.0, 3.2, "SPEAKER_01"),
        SpokenWord("nobody", 4.0, 4.5, "SPEAKER_00"),
        SpokenWord("unassigned", 3.2, 3.4, None),
    ]
    assert speaker_share(words, read_rttm(RTTM)) == (2, 4)


def test_a_third_speaker_stands_for_nobody():
    words = [SpokenWord("one", 0.1, 0.2, f"SPEAKER_0{number}") for number in range(3)]
    assert speaker_share(words, read_rttm(RTTM)) == (1, 3)
