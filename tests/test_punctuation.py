"""ct-punc's network with random weights, beside FunASR's own inference on the text."""

import random

import pytest

from tests import funasr_folders
from tests.digits import CPU
from tests.funasr_reference import Reference
from worker.engines import funasr_models

WORDS = [*funasr_folders.HAN, "yes", "no", "we", "can", "it's", "3"]
MARKS = "，。？、,.?"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return funasr_folders.punctuation(tmp_path_factory.mktemp("models") / "ct-punc")


@pytest.fixture(scope="module")
def punctuator(folder):
    return funasr_models.load_punctuation(folder, CPU)


def words(count: int) -> list[str]:
    return random.Random(count).choices(WORDS, k=count)


@pytest.mark.parametrize("count", [1, 2, 19, 20, 21, 40, 41, 250, 700])
def test_marks_are_those_of_funasr(folder, punctuator, count):
    said = words(count)
    expected = Reference(folder)(" ".join(said))["text"]
    # FunASR makes capitals and puts spaces of its own.
    found = "".join(punctuator(said))
    assert found.lower() == expected.replace(" ", "").lower()
    assert any(mark in found for mark in MARKS)


@pytest.mark.parametrize("count", [1, 20, 333])
def test_words_come_back_with_marks_alone(punctuator, count):
    said = words(count)
    found = punctuator(said)
    assert [each.rstrip(MARKS) for each in found] == said
    assert found[-1][-1] in "。？.?"


def test_a_word_of_several_tokens_gets_the_mark_of_its_last(punctuator):
    together = punctuator(["欢迎大家", "yes"])
    apart = punctuator(["欢", "迎", "大", "家", "yes"])
    assert together[0].removeprefix("欢迎大家") == apart[3].removeprefix("家")
    assert together[1] == apart[4]


def test_marks_fit_the_script(punctuator):
    found = punctuator(["yes", "好"] * 40)
    assert all(each[-1] not in "，。？" for each in found[::2])
    assert all(each[-1] not in ",.?" for each in found[1::2])


@pytest.mark.parametrize("said", [[], [""], [" ", ""]])
def test_no_words_are_no_text(punctuator, said):
    assert punctuator(said) == said


def test_an_empty_word_gets_no_mark(punctuator):
    plain = punctuator(["yes", "好"] * 20)
    found = punctuator(["yes", "", "好", " "] * 20)
    assert any(word[-1] in MARKS for word in plain)
    assert found[::2] == plain
    assert found[1::2] == ["", " "] * 20


def test_unknown_words_are_kept(punctuator):
    assert punctuator(["xyzzy", "🙂", "yes"])[1].startswith("🙂")
