import random

import pytest

from worker.text import ends_sentence, is_cjk, join, split


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["Hello,", "world."], "Hello, world."),
        (["你", "好，", "世", "界。"], "你好，世界。"),
        (["我", "用", "iPhone", "手", "机"], "我用iPhone手机"),
        (["안녕", "하세요."], "안녕 하세요."),
        (["こん", "にちは", "Ken", "さん"], "こんにちはKenさん"),
        (["สวัสดี", "ครับ", "Google", "ครับ"], "สวัสดีครับ Google ครับ"),
        (["เก", "\u0e48", "ง"], "เก่ง"),
        (["Yes", ",", "sir", "!"], "Yes, sir!"),
        (["(", "laughs", ")", "¿", "Qué", "?"], "(laughs) ¿Qué?"),
        (["rock", "&", "roll", "–", "now"], "rock & roll – now"),
        (["cafe", "\u0301", "au", "lait"], "cafe\u0301 au lait"),
        (["rock", "'n'", "roll"], "rock 'n' roll"),
        (["a", "", "b"], "a b"),
        ([], ""),
    ],
)
def test_words_get_the_spaces_of_their_script(words, text):
    assert join(words) == text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Hello,  world.\n", ["Hello,", "world."]),
        ("我用iPhone手机，你好吗？", ["我", "用", "iPhone", "手", "机，", "你", "好", "吗？"]),
        ("他说：“好的。”", ["他", "说：", "“好", "的。”"]),
        ("第3.5节", ["第", "3.5", "节"]),
        ("ラーメン しゃ", ["ラー", "メ", "ン", "しゃ"]),
        ("안녕 하세요.", ["안녕", "하세요."]),
        ("สวัสดีครับ", ["สวัสดีครับ"]),
        (" ", []),
    ],
)
def test_text_is_cut_into_words(text, words):
    assert split(text) == words


def test_split_and_join_lose_nothing():
    rng = random.Random(7)
    alphabet = "ab1 ,.!“”(（）。，你好カーっ안녕ก่ا🎉\u0301\n"
    for _ in range(2000):
        text = "".join(rng.choices(alphabet, k=rng.randrange(12)))
        words = split(text)
        assert all(words)
        assert "".join(words) == "".join(text.split())
        assert "".join(join(words).split()) == "".join(text.split())


def test_hangul_is_not_what_is_written_without_spaces():
    assert [is_cjk(c) for c in "你カ。ｱ，𠮷a안ก🎉 "] == [True] * 6 + [False] * 5


SENTENCE_ENDS = (
    "Yes.|why?|Stop!|“Really?”|(He left.)|Well...|wait…|3.14.|2024.|I.|No.|好。|吗？|است؟|है।|."
)


@pytest.mark.parametrize("word", SENTENCE_ENDS.split("|"))
def test_sentences_end(word):
    assert ends_sentence(word, "Next")


UNFINISHED = "Mr. Smith|(Dr. Who)|U.S. Army|e.g. this|3.14 is|3. 14|well, no|word .|好， 你"


@pytest.mark.parametrize("words", UNFINISHED.split("|"))
def test_sentences_go_on(words):
    assert not ends_sentence(*words.split())


def test_nothing_ends_no_sentence():
    assert not ends_sentence("")
