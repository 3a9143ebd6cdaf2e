"""Paraformer's three classes with random weights, beside FunASR's own inference of one item."""

import re
from pathlib import Path

import numpy as np
import pytest

from tests import funasr_folders
from tests.digits import CPU, waveform
from tests.funasr_reference import Reference
from worker.engines import funasr_models
from worker.engines.base import AsrOptions, Writes

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
