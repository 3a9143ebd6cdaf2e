"""Paraformer's three classes with random weights, beside FunASR's own inference of one item."""

import itertools
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from tests import funasr_folders
from tests.digits import CPU, waveform
from tests.funasr_reference import Reference
from worker.engines import funasr_models
from worker.engines.base import AsrOptions, Writes
from worker.engines.seaco_hotwords import spell
from worker.errors import InvalidInputError

CLIPS = ["clip04_ked.flac", "clip01_yweweler.flac", "clip06_allison.flac", "clip03_rms.flac"]
TIMED = ["BiCifParaformer", "SeacoParaformer"]
HOTWORDS = ("hello", "达摩院", "模型")


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {m: funasr_folders.paraformer(root / m, m) for m in funasr_folders.CONFIGS}


@pytest.fixture(scope="module")
def engines(folders):
    return {model: funasr_models.load(folder, CPU) for model, folder in folders.items()}


def letters(text: str) -> str:
    return re.sub(r"\s", "", text)


@pytest.mark.parametrize("model", funasr_folders.CONFIGS)
def test_text_is_that_of_funasr(folders, engines, model):
    reference = Reference(folders[model])
    found = engines[model]([waveform(name) for name in CLIPS], AsrOptions())
    expected = [reference(waveform(name))["text"] for name in CLIPS]
    assert [letters(each.text) for each in found] == [letters(text) for text in expected]
    assert len(set(expected)) > 1
    assert all(expected)


@pytest.mark.parametrize("model", TIMED)
def test_times_are_those_of_funasr(folders, engines, model):
    reference = Reference(folders[model])
    found = engines[model]([waveform(name) for name in CLIPS], AsrOptions(word_times=True))
    for name, each in zip(CLIPS, found, strict=True):
        expected = reference(waveform(name))
        assert [word.text for word in each.words] == expected["text"].split()
        times = [[round(w.start * 1000), round(w.end * 1000)] for w in each.words]
        assert times == expected["timestamp"]


def test_hotwords_are_those_of_funasr(folders, engines):
    reference = Reference(folders["SeacoParaformer"])
    waveforms = [waveform(name) for name in CLIPS]
    plain = engines["SeacoParaformer"](waveforms, AsrOptions())
    biased = engines["SeacoParaformer"](waveforms, AsrOptions(hotwords=HOTWORDS))
    expected = [reference(w, hotword=" ".join(HOTWORDS))["text"] for w in waveforms]
    assert [letters(each.text) for each in biased] == [letters(text) for text in expected]
    assert biased != plain
    # They are forgotten with the call.
    assert engines["SeacoParaformer"](waveforms, AsrOptions()) == plain


@pytest.mark.parametrize("model", funasr_folders.CONFIGS)
def test_a_result_does_not_depend_on_the_batch(engines, model):
    options = AsrOptions(word_times=model in TIMED)
    waveforms = [waveform(name) for name in CLIPS]
    assert engines[model](waveforms, options) == [
        engines[model]([each], options)[0] for each in waveforms
    ]


@pytest.mark.parametrize("num_samples", [400, 800, 3_200])
@pytest.mark.parametrize("model", funasr_folders.CONFIGS)
def test_a_last_item_with_few_tokens_or_none_is_heard_as_alone(engines, model, num_samples):
    options = AsrOptions(word_times=model in TIMED)
    clip = waveform(CLIPS[0])
    for short in (np.zeros(num_samples, np.float32), clip[:num_samples]):
        together = engines[model]([clip, short], options)
        assert together == [engines[model]([each], options)[0] for each in (clip, short)]
        if model == "Paraformer" and num_samples == 400:
            assert not together[1].text


@pytest.mark.parametrize("num_samples", [2_400, 3_200, 6_400])
def test_times_of_short_clips_lie_within_them(folders, engines, num_samples):
    clip = waveform(CLIPS[1])[4_000 : 4_000 + num_samples]
    (found,) = engines["SeacoParaformer"]([clip], AsrOptions(word_times=True))
    expected = Reference(folders["SeacoParaformer"])(clip)["timestamp"]
    assert found.words
    end = num_samples / 16
    assert [(w.start, w.end) for w in found.words] == [
        tuple(min(max(ms, 0), end) / 1000 for ms in span) for span in expected
    ]


def test_no_word_begins_before_the_sound(engines):
    """FunASR takes one and a half frames off every time."""
    options = AsrOptions(word_times=True)
    found = engines["SeacoParaformer"]._recognition(
        ["模", "型"], [[-30, 50], [50, 90]], 0.08, options
    )
    assert [(word.start, word.end) for word in found.words] == [(0.0, 0.05), (0.05, 0.08)]


def test_silence_within_a_batch_changes_nothing(engines):
    waveforms = [np.zeros(400, np.float32), waveform(CLIPS[0]), np.zeros(400, np.float32)]
    found = engines["Paraformer"](waveforms, AsrOptions())
    assert found == [engines["Paraformer"]([each], AsrOptions())[0] for each in waveforms]


def many_hotwords(count: int) -> AsrOptions:
    pairs = itertools.islice(itertools.permutations(funasr_folders.HAN, 2), count)
    return AsrOptions(hotwords=tuple("".join(pair) for pair in pairs))


@pytest.mark.parametrize("count", [49, 50, 150])
def test_many_hotwords_are_those_of_funasr(folders, engines, count):
    options = many_hotwords(count)
    clips = [waveform(name)[:60_000] for name in CLIPS]
    found = engines["SeacoParaformer"](clips, options)
    reference = Reference(folders["SeacoParaformer"])
    expected = [reference(clip, hotword=" ".join(options.hotwords))["text"] for clip in clips]
    assert [letters(each.text) for each in found] == [letters(text) for text in expected]


def test_many_hotwords_are_chosen_for_each_clip_alone(engines):
    """FunASR chooses 50 of them by the first item of a batch."""
    engine = engines["SeacoParaformer"]
    options = many_hotwords(150)
    # Of different lengths, and one without a token between them.
    clips = [waveform(name)[:60_000] for name in CLIPS] + [waveform(CLIPS[1])]
    clips.insert(1, np.zeros(400, np.float32))
    chosen: list[torch.Tensor] = []
    hook = engine._network.seaco_decoder.register_forward_pre_hook(
        lambda _, given: chosen.append(given[0])
    )
    try:
        found = engine(clips, options)
        together = chosen.copy()
        chosen.clear()
        assert found == [engine([clip], options)[0] for clip in clips]
    finally:
        hook.remove()
    assert [each.shape[:2] for each in chosen] == [(1, 51)] * 10
    assert len(together) == len(chosen)
    assert all(map(torch.equal, together, chosen))
    assert not torch.equal(chosen[0], chosen[2])


@pytest.mark.parametrize(
    ("hotword", "tokens"),
    [
        ("hello", ["hel@@", "lo"]),
        ("Hello  World", ["hel@@", "lo", "world"]),
        ("模型\u3000hello", ["模", "型", "hel@@", "lo"]),
    ],
)
def test_a_hotword_of_several_words_is_one(engines, hotword, tokens):
    engine = engines["SeacoParaformer"]
    spelled = spell(engine._network, engine._tokenizer, engine._cmvn, ("中国", hotword))
    numbers = [[funasr_folders.TOKENS.index(token) for token in tokens]]
    assert spelled[1:] == [*numbers, [engine._network.sos]]


@pytest.mark.parametrize("hotword", ["xyzzy", "北京", "hello xyzzy", "模型hello", " ", "🙂"])
def test_a_hotword_that_cannot_be_spelled_is_named(engines, hotword):
    options = AsrOptions(hotwords=("模型", hotword))
    with pytest.raises(InvalidInputError, match=f"{hotword!r} is no hotword"):
        engines["SeacoParaformer"]([waveform(CLIPS[0])], options)


@pytest.mark.parametrize("model", funasr_folders.CONFIGS)
def test_silence_and_less_than_a_frame_have_no_text(engines, model):
    empty = np.empty(0, dtype=np.float32)
    options = AsrOptions(language="zh", word_times=model in TIMED)
    first, second = engines[model]([empty, waveform(CLIPS[0])], options)
    assert (first.text, first.words, first.language) == (
        "",
        () if options.word_times else None,
        "zh",
    )
    assert second == engines[model]([waveform(CLIPS[0])], options)[0]


@pytest.mark.parametrize("model", funasr_folders.CONFIGS)
def test_traits_follow_the_class(engines, model):
    traits = engines[model].traits
    assert traits.languages == ("zh", "en")
    assert traits.hotwords == (model == "SeacoParaformer")
    assert traits.word_times == (model in TIMED)
    assert (traits.itn, traits.punctuation) == (Writes.NEVER, Writes.NEVER)
    assert traits.bytes_per_s > 0


@pytest.mark.parametrize("precision", ["int8", "bfloat16"])
def test_lower_precision_runs(folders, precision):
    from worker.device import Device

    engine = funasr_models.load(folders["SeacoParaformer"], Device("cpu", 2, precision))
    (found,) = engine([waveform(CLIPS[0])], AsrOptions(word_times=True, hotwords=HOTWORDS))
    assert found.text
