"""SenseVoice with a trained model on real speech, beside FunASR's own inference."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from tests.digits import CPU, MODEL, recogniser, transcripts, waveform
from tests.funasr_reference import Reference
from worker.device import Device
from worker.engines import funasr_models
from worker.engines.base import AsrOptions, Writes
from worker.errors import StartupError

TIMED = AsrOptions(language="auto", word_times=True, itn=False)


@cache
def reference() -> Reference:
    return Reference(MODEL)


@cache
def batch() -> list:
    """All clips in one batch: from 2 to 30 s."""
    return recogniser()([waveform(name) for name in transcripts()], TIMED)


def test_every_word_of_the_digits_is_right():
    found = dict(zip(transcripts(), batch(), strict=True))
    assert {name: each.text for name, each in found.items()} == transcripts()
    assert sum(len(text.split()) for text in transcripts().values()) == 91


@pytest.mark.parametrize("number", range(len(transcripts())), ids=list(transcripts()))
def test_text_words_and_times_are_those_of_funasr(number):
    ours = batch()[number]
    theirs = reference()(
        waveform(list(transcripts())[number]), output_timestamp=True, use_itn=False
    )
    assert theirs["text"] == f"<|en|><|NEUTRAL|><|Speech|><|woitn|>{ours.text}"
    assert [word.text for word in ours.words] == theirs["words"]
    # FunASR cuts its milliseconds off: 2.01 s is 2009.
    times = [[word.start * 1000, word.end * 1000] for word in ours.words]
    np.testing.assert_allclose(times, theirs["timestamp"], atol=1.001)


def test_tags_become_fields():
    assert {(r.language, r.emotion, r.event) for r in batch()} == {("en", "neutral", "speech")}


def test_a_result_does_not_depend_on_the_batch():
    alone = [recogniser()([waveform(name)], TIMED)[0] for name in transcripts()]
    assert alone == batch()


def test_results_repeat():
    """The published model adds noise to its input (dither 1.0); the worker never does."""
    assert recogniser()([waveform("clip01_yweweler.flac")], TIMED) == batch()[:1]


def test_options_hold_for_one_call():
    clip = [waveform("clip01_yweweler.flac")]
    engine = recogniser()
    plain = engine(clip, AsrOptions(itn=False))
    engine(clip, AsrOptions(language="ja", word_times=True, itn=True))
    assert engine(clip, AsrOptions(itn=False)) == plain
    assert plain[0].words is None


@pytest.mark.parametrize(("itn", "spelling"), [(True, 14), (False, 15)])
def test_itn_asks_the_model_for_its_spelling(itn, spelling):
    engine = recogniser()
    network = engine._network
    asked = engine._queries(AsrOptions(language="yue", itn=itn))
    expected = network.embed.weight[[network.lid_dict["yue"], 1, 2, spelling]]
    assert asked[0].equal(expected)


@pytest.mark.parametrize("num_samples", [0, 1, 399])
def test_less_than_a_frame_is_silence(num_samples):
    short = np.full(num_samples, 0.1, dtype=np.float32)
    clip = waveform("clip04_ked.flac")
    silent, spoken = recogniser()([short, clip], TIMED)
    assert (silent.text, silent.words, silent.language) == ("", (), None)
    assert spoken == batch()[3]
    assert recogniser()([short], replace(TIMED, word_times=False))[0].words is None


@pytest.mark.parametrize("asked", ["auto", "en", "ja"])
def test_the_language_is_the_one_asked_for_or_the_one_found(asked):
    options = replace(TIMED, language=asked)
    silent, spoken = recogniser()([np.empty(0, np.float32), waveform("clip04_ked.flac")], options)
    assert silent.language == (None if asked == "auto" else asked)
    assert spoken.language == ("en" if asked == "auto" else asked)


def test_one_frame_is_enough():
    (found,) = recogniser()([np.zeros(400, dtype=np.float32)], TIMED)
    assert "<|" not in found.text


def test_no_word_ends_behind_the_sound():
    """The last feature is made of frames that are repeated."""
    engine = recogniser()
    pieces = engine._pieces
    path = np.array([*[pieces.piece_to_id("<|en|>")] * 4, 0, *[pieces.piece_to_id("▁one")] * 3])
    (word,) = engine._recognition(path, 0.1, TIMED).words
    assert (word.start, word.end) == (pytest.approx(0.03), 0.1)


def test_an_empty_batch_is_an_empty_list():
    assert recogniser()([], TIMED) == []


@pytest.mark.parametrize("precision", ["int8", "bfloat16"])
def test_lower_precision_hears_the_same_words(precision):
    names = ["clip01_yweweler.flac", "clip04_ked.flac", "clip08_yweweler.flac"]
    found = recogniser(precision)([waveform(name) for name in names], TIMED)
    assert [each.text for each in found] == [transcripts()[name] for name in names]


def test_int8_quantises_every_linear_layer():
    import torch

    network = recogniser("int8")._network
    assert not [m for m in network.modules() if type(m) is torch.nn.Linear]


def test_int8_on_a_gpu_says_what_is_allowed():
    with pytest.raises(StartupError, match="float32, bfloat16, float16"):
        funasr_models.load(MODEL, Device("cuda:0", threads=1, precision="int8"))


def test_traits_tell_what_the_model_can_do():
    traits = recogniser().traits
    assert traits.languages == ("zh", "en", "yue", "ja", "ko")
    assert (traits.hotwords, traits.word_times) == (False, True)
    assert (traits.itn, traits.punctuation) == (Writes.ON_REQUEST, Writes.ON_REQUEST)


def test_torch_uses_the_threads_of_the_device():
    import torch

    funasr_models.load(MODEL, Device("cpu", threads=1, precision="float32"))
    try:
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(CPU.threads)
