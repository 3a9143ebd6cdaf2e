"""Punctuation that is taken out of utterances, and put into what was recognised without."""

import re
import threading
from collections.abc import Sequence
from contextlib import nullcontext

import pytest

from tests import funasr_folders
from tests.digits import CPU
from worker.control import JobControl
from worker.engines import funasr_models
from worker.engines.base import Recognition
from worker.errors import CancelledError
from worker.segments import Turn, Utterance, Word
from worker.text import join
from worker.transcription.punctuation import FEWEST_WORDS, MOST_WORDS, remove, restore
from worker.transcription.spoken import Spoken
from worker.transcription.utterances import build


def untimed(text: str, flaw: str | None = None) -> Utterance:
    return Utterance(0.0, 1.0, text, flaw=flaw)


def bare(text: str) -> str:
    return "".join(utterance.text for utterance in remove([untimed(text)]))


# Taken out


WHOLE = (
    "don't|3.5|50%|$500|€3.50|₹500|-5|+5|.5|-.5|-$5|+49|#1|@home|C#|C++|A&B|R2-D2|f***|10:30|"
    "की|हिन्दी|ไม่|กรุงเทพฯ|தமிழ்|বাংলা|cafe\u0301|عربيًّ|👍🏽|♪"
)


@pytest.mark.parametrize("word", WHOLE.split("|"))
def test_a_word_is_kept_whole(word):
    assert bare(word) == word
    assert bare(f"“{word}”,") == word


@pytest.mark.parametrize(
    ("marked", "word"),
    [
        *[("Hello,", "Hello"), ("(well)", "well"), ("¿Qué?!", "Qué"), ("«été»…", "été")],
        *[("है।", "है"), ("नहीं!", "नहीं"), ("吗？", "吗"), ("“好的。”", "好的"), ("است؟", "است")],
        *[("...5", "5"), ("--5", "5"), ("—5", "5"), ("-no", "no"), (".net", "net"), ("5.", "5")],
        *[("C#.", "C#"), ("(-5)", "-5"), ("$5,", "$5"), ("well—no.", "well—no")],
    ],
)
def test_the_marks_around_a_word_go(marked, word):
    assert bare(marked) == word


def test_text_without_word_times_keeps_its_spaces():
    assert bare("Yes, we can! — Can  we?") == "Yes we can Can we"
    assert bare("我们，可以。rock & roll") == "我们可以rock & roll"


def test_words_lose_their_marks_as_the_text_does():
    words = (Word("-", 0.0, 0.1, 1), Word("Yes,", 0.1, 0.4, 1), Word("है।", 0.4, 0.9, 1))
    marked = Utterance(0.0, 0.9, "- Yes, है।", words, 1, "hi", "happy", "laughter", "a flaw")
    expected = (Word("Yes", 0.1, 0.4, 1), Word("है", 0.4, 0.9, 1))
    assert remove([marked]) == [
        Utterance(0.0, 0.9, "Yes है", expected, 1, "hi", "happy", "laughter", "a flaw")
    ]


def test_utterances_of_marks_alone_go_but_for_their_flaws():
    marks = Utterance(0.0, 1.0, "...", (Word("...", 0.0, 1.0),))
    failed = untimed("", flaw="the model failed")
    assert remove([marks, untimed("?!"), failed, untimed("Yes.")]) == [failed, untimed("Yes")]


def test_speakers_and_sentences_are_those_of_the_marked_text():
    texts = ["that's", "it.", "Yeah.", "So", "we"]
    words = tuple(Word(t, round(i * 0.3, 3), round(i * 0.3 + 0.3, 3)) for i, t in enumerate(texts))
    turns = [Turn(0.0, 0.6, 0), Turn(0.6, 0.9, 1), Turn(0.9, 2.0, 0)]
    marked = build([Spoken(0.0, 2.0, Recognition(join(texts), words))], turns)
    assert [(u.text, u.speaker, u.start) for u in remove(marked)] == [
        ("that's it", 0, 0.0),
        ("Yeah", 1, 0.6),
        ("So we", 0, 0.9),
    ]


# Put in


class Commas:
    """A punctuator that puts a comma after each word, and a point after the last."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def __call__(self, words: Sequence[str]) -> list[str]:
        self.calls.append(list(words))
        return [word + ",."[i == len(words)] for i, word in enumerate(words, start=1)]


def recording(num_segments: int, num_words: int, pauses: Sequence[int] = ()) -> list[Spoken]:
    """Segments of a second, 0.5 s apart, before some of them 1.0 s."""
    spoken, start = [], 0.0
    for i in range(num_segments):
        start += 0.5 * (i in pauses)
        words = tuple(Word(f"w{i}-{k}", k / 100, (k + 1) / 100) for k in range(num_words))
        recognition = Recognition(join(w.text for w in words), words, "en")
        spoken.append(Spoken(start, start + 1.0, recognition))
        start += 1.5
    return spoken


def stretches(spoken: Sequence[Spoken]) -> list[int]:
    """Number of words of each stretch."""
    punctuator = Commas()
    restore(spoken, punctuator, JobControl(), nullcontext())
    return [len(call) for call in punctuator.calls]


def test_words_keep_their_times_and_get_their_marks():
    first, empty, last = recording(3, 2)
    empty = Spoken(empty.start, empty.end, Recognition("", ()), "a flaw")
    last = Spoken(last.start, last.end, Recognition("你好 yes", None, "zh"))
    restored = restore([first, empty, last], Commas(), JobControl(), nullcontext())
    words = (Word("w0-0,", 0.0, 0.01), Word("w0-1,", 0.01, 0.02))
    assert restored == [
        Spoken(0.0, 1.0, Recognition("w0-0, w0-1,", words, "en")),
        empty,
        Spoken(last.start, last.end, Recognition("你,好, yes.", None, "zh")),
    ]


def test_a_short_recording_is_one_text():
    assert stretches(recording(10, MOST_WORDS // 10)) == [MOST_WORDS]
    assert stretches([]) == []
    assert stretches([Spoken(0.0, 1.0, Recognition(""))]) == [0]


def test_a_long_recording_is_cut_between_segments_at_the_longest_pause():
    # The pauses before the segments 1 and 40 lie outside of what the first stretch may end with.
    assert stretches(recording(45, 20, pauses=[1, 17, 40])) == [17 * 20, 23 * 20, 5 * 20]


def test_a_long_segment_stays_whole():
    assert stretches(recording(3, 2 * MOST_WORDS)) == [2 * MOST_WORDS] * 3


def test_stretches_are_of_some_hundred_words():
    *most, _ = stretches(recording(1000, 37))
    assert min(most) >= FEWEST_WORDS
    assert max(most) <= MOST_WORDS


def test_no_word_is_lost_in_a_long_recording():
    spoken = recording(200, 13)
    restored = restore(spoken, Commas(), JobControl(), nullcontext())
    for before, after in zip(spoken, restored, strict=True):
        assert (after.start, after.end) == (before.start, before.end)
        own = [word.text.rstrip(",.") for word in after.recognition.words]
        assert own == [word.text for word in before.recognition.words]
        assert after.recognition.text == join(word.text for word in after.recognition.words)
        assert after.recognition.text != before.recognition.text


def test_the_device_is_held_by_the_stretch():
    device = threading.Lock()
    held: list[bool] = []

    def punctuator(words: Sequence[str]) -> list[str]:
        held.append(device.locked())
        return list(words)

    control = JobControl(report=lambda stage, share: held.append(device.locked()))
    restore(recording(100, 20), punctuator, control, device)
    assert held == [False, True] * (2000 // MOST_WORDS)


def test_progress_is_told_and_a_cancelled_job_ends():
    shares: list[tuple[str, float]] = []

    def report(stage: str, share: float) -> None:
        shares.append((stage, share))
        if share >= 0.5:
            control.cancel()

    control = JobControl(report)
    punctuator = Commas()
    with pytest.raises(CancelledError):
        restore(recording(4, MOST_WORDS), punctuator, control, nullcontext())
    assert shares == [("punctuation", 0.0), ("punctuation", 0.25), ("punctuation", 0.5)]
    assert len(punctuator.calls) == 3


def test_words_come_back_from_a_model_with_marks_alone(tmp_path):
    folder = funasr_folders.punctuation(tmp_path / "ct-punc")
    punctuator = funasr_models.load_punctuation(folder, CPU)
    said = [*funasr_folders.HAN, "yes", "it's", "can"]
    spoken = [Spoken(2.0 * i, 2.0 * i + 1.0, Recognition(join(said[i % 7 :]))) for i in range(40)]
    restored = restore(spoken, punctuator, JobControl(), nullcontext())
    texts = [each.recognition.text for each in restored]
    assert [re.sub("[，。？、,.?]", "", text) for text in texts] == [
        each.recognition.text for each in spoken
    ]
    assert sum(map(len, texts)) > sum(len(each.recognition.text) for each in spoken)
    assert texts[-1][-1] in "。？.?"
