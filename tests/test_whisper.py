import itertools
import random
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests import whisper_model
from volume_bootstrap.layout import manifest_of
from worker.audio import decode
from worker.control import JobControl
from worker.device import Device
from worker.engines.base import AsrOptions
from worker.engines.whisper import Whisper, _padded, load
from worker.engines.whisper_decoder import LOOP_TOKENS, Decoder
from worker.engines.whisper_device import cpu_runs, load_cublas, refused
from worker.engines.whisper_words import STEP_S, to_words
from worker.errors import InvalidInputError, ModelNotProvisionedError, StartupError
from worker.text import join, split

CPU = Device("cpu", 2, "float32")
TIMED = AsrOptions(word_times=True)
JFK = (
    "and so my fellow americans ask not what your country can do for you "
    "ask what you can do for your country"
)


@pytest.fixture(scope="module")
def folder(volume) -> Path:
    (record,) = (m for m in manifest_of(volume, "demo").models if m.alias == "whisper-tiny-en")
    return volume.models / record.folder


@pytest.fixture(scope="module")
def whisper(folder) -> Whisper:
    return load(folder, CPU)


@pytest.fixture(scope="module")
def multilingual(folder, tmp_path_factory) -> Whisper:
    built = tmp_path_factory.mktemp("models") / "multilingual"
    whisper_model.build(built, folder)
    return load(built, CPU)


@pytest.fixture(scope="module")
def sound(data, tmp_path_factory) -> Callable[[str], np.ndarray]:
    def read(name: str) -> np.ndarray:
        target = tmp_path_factory.mktemp("samples") / "samples.f32"
        with decode(data / name, target, JobControl(), max_seconds=60).waveform as waveform:
            return np.array(waveform[0 : 30 * 16_000])

    return read


@pytest.fixture(scope="module")
def jfk(sound) -> np.ndarray:
    return sound("jfk.flac")


@pytest.fixture(scope="module")
def telephone(sound) -> np.ndarray:
    return sound("sample.wav")


def noise(seconds: float, level: float) -> np.ndarray:
    samples = np.random.default_rng(1).normal(0, level, round(seconds * 16_000))
    return samples.astype(np.float32)


def plain(text: str) -> str:
    return re.sub(r"[^a-z ]", "", text.lower())


def test_a_speech_is_written_without_an_error(whisper, jfk):
    (found,) = whisper([jfk], TIMED)
    assert plain(found.text) == JFK
    assert found.language == "en"
    assert found.emotion is None


def test_words_lie_where_they_are_said(whisper, jfk):
    (found,) = whisper([jfk], TIMED)
    assert [plain(word.text) for word in found.words] == JFK.split()
    # The pauses around both "ask not": 2.3 to 3.2 s and 4.6 to 5.1 s, read off the waveform.
    times = {word.text: (word.start, word.end) for word in found.words[:8]}
    assert times["Americans"][1] < 2.6
    assert times["ask"][0] > 2.9
    assert times["what"][0] > 4.8


def test_words_are_the_text_in_order_and_in_time(whisper, telephone):
    (found,) = whisper([telephone], TIMED)
    assert join(word.text for word in found.words) == found.text
    assert all(w.start >= 0 and w.end - w.start > 0.99 * STEP_S for w in found.words)
    assert found.words[-1].end <= 30
    assert all(a.end <= b.start for a, b in itertools.pairwise(found.words))
    assert "originally from Chicago" in found.text


def test_the_batch_changes_nothing(whisper, jfk, telephone):
    waveforms = [telephone, noise(0.5, 0.01), jfk, telephone[6 * 16_000 : 8 * 16_000], jfk[:100]]
    together = whisper(waveforms, TIMED)
    assert together == [whisper([waveform], TIMED)[0] for waveform in waveforms]
    assert [bool(found.text) for found in together] == [True, False, True, True, False]


def test_nothing_is_written_for_nothing(whisper):
    waveforms = [np.zeros(n, np.float32) for n in (0, 1, 399, 400, 160_000, 480_000)]
    waveforms += [noise(s, level) for s in (1, 30) for level in (1e-5, 1e-3, 0.1)]
    for found in whisper(waveforms, TIMED):
        assert found.text == ""
        assert found.words == ()
    assert whisper([], TIMED) == []


def test_words_are_told_only_when_asked_for(whisper, jfk):
    found = whisper([jfk, jfk[:10]], AsrOptions())
    assert [f.words for f in found] == [None, None]


def test_hotwords_change_how_a_name_is_spelt(whisper, telephone):
    name = telephone[14 * 16_000 : 18 * 16_000]
    spelt = whisper([name], AsrOptions(hotwords=("Sheelah", "Texas")))[0].text
    assert "Sheelah" not in whisper([name], AsrOptions())[0].text
    assert "Sheelah" in spelt


def test_too_many_hotwords_are_refused(whisper, jfk):
    with pytest.raises(InvalidInputError, match=r"300 hotwords are .* at most 223"):
        whisper([jfk], AsrOptions(hotwords=("Americans",) * 300))


def test_a_waveform_beyond_the_window_is_refused(whisper):
    assert whisper([noise(30, 0.01)], AsrOptions())[0].text == ""
    with pytest.raises(ValueError, match="480160 samples is longer than the 30 s"):
        whisper([noise(30.01, 0.01)], AsrOptions())


@pytest.mark.parametrize("hotword", [",", "♪ ...", "", "<|endoftext|>", "a<|translate|>"])
def test_what_is_no_hotword_is_refused(whisper, jfk, hotword):
    with pytest.raises(InvalidInputError, match=re.escape(f"{hotword!r} is no hotword")):
        whisper([jfk], AsrOptions(hotwords=("Americans", hotword)))


def repeats(text: str) -> bool:
    """Whether a run of `LOOP_TOKENS` words comes twice."""
    words = text.split()
    runs = list(zip(*(words[i:] for i in range(LOOP_TOKENS)), strict=False))
    return len(runs) > len(set(runs))


def test_a_loop_is_not_repeated(whisper, jfk):
    decoder: Decoder = whisper._decoder
    ask_not = np.tile(jfk[round(3.2 * 16_000) : round(4.6 * 16_000)], 21)
    windows = _padded(whisper._features(ask_not))[None]
    (tokens,) = decoder._search(whisper._model.encode(windows), [decoder._prompt("en", ())])
    assert decoder.is_loop(tokens)
    assert repeats(decoder.text(tokens))
    (found,) = whisper([ask_not], TIMED)
    assert found.text
    assert not repeats(found.text)
    assert join(word.text for word in found.words) == found.text


@pytest.mark.parametrize(
    ("hotwords", "fails"),
    [(("seven",) * 70, Decoder.is_loop), (("1" + " ." * 8,), Decoder._is_mute)],
)
def test_hotwords_that_spoil_a_text_are_left_out(whisper, telephone, hotwords, fails):
    clip = telephone[6 * 16_000 :]
    decoder: Decoder = whisper._decoder
    windows = _padded(whisper._features(clip))[None]
    (spoilt,) = decoder._search(whisper._model.encode(windows), [decoder._prompt("en", hotwords)])
    assert fails(decoder, spoilt)
    options = AsrOptions(hotwords=hotwords)
    assert whisper([clip], options) == whisper([clip], AsrOptions())


def test_a_loop_is_known(whisper):
    decoder: Decoder = whisper._decoder
    encode = decoder._tokenizer("en").encode
    assert decoder.is_loop(encode(" I'm sorry." * 30))
    assert not decoder.is_loop(encode(JFK))


def test_traits_of_an_english_model(whisper):
    assert whisper.traits.languages == ("en",)
    assert whisper.traits.max_segment_s == whisper.traits.fixed_s == 30
    # 79 MB for a window was measured.
    assert 79e6 < whisper.traits.bytes_per_s * 30 < 90e6


def test_each_waveform_has_a_language_of_its_own(multilingual, telephone):
    waveforms = [telephone[a * 16_000 : b * 16_000] for a, b in ((7, 9), (12, 25), (6, 30))]
    found = multilingual([*waveforms, telephone[:100]], TIMED)
    alone = [multilingual([waveform], AsrOptions())[0].language for waveform in waveforms]
    assert [f.language for f in found] == [*alone, None]
    assert len(set(alone)) > 1
    for recognition in found[:3]:
        assert recognition.words
        assert join(word.text for word in recognition.words) == recognition.text


def test_the_language_asked_for_is_taken(multilingual, telephone):
    assert {"de", "ja", "zh"} < set(multilingual.traits.languages)
    # The vocabulary is that of a model before large-v3.
    assert "yue" not in multilingual.traits.languages
    assert multilingual([telephone], AsrOptions(language="ja"))[0].language == "ja"


@pytest.mark.parametrize("name", ["tokenizer.json", "model.bin", "config.json"])
def test_a_missing_file_is_named(folder, tmp_path, name):
    own = tmp_path / "tiny"
    shutil.copytree(folder, own, ignore=shutil.ignore_patterns(name))
    with pytest.raises(ModelNotProvisionedError, match=f"tiny lacks {re.escape(name)}"):
        load(own, CPU)


def test_a_missing_vocabulary_is_named(folder, tmp_path):
    own = tmp_path / "tiny"
    shutil.copytree(folder, own, ignore=shutil.ignore_patterns("vocabulary.*"))
    with pytest.raises(ModelNotProvisionedError, match=r"tiny lacks vocabulary\.json or vocabul"):
        load(own, CPU)


def test_no_thread_is_left_idle():
    assert [cpu_runs(n) for n in (1, 2, 3, 4)] == [(n, 1) for n in (1, 2, 3, 4)]
    assert [cpu_runs(n) for n in (5, 6, 7, 8)] == [(3, 2), (3, 2), (4, 2), (4, 2)]
    for threads in range(1, 130):
        runs, own = cpu_runs(threads)
        assert threads <= runs * own <= threads + 1


def test_a_gpu_that_is_not_there_is_refused(folder):
    with pytest.raises(StartupError, match=r"cannot use cuda:99: .* set SPEECH_DEVICE=cpu"):
        load(folder, Device("cuda:99", 2, "float16"))


def test_what_fails_on_a_gpu_names_the_remedy():
    lacking = RuntimeError("Library libcublas.so.12 is not found or cannot be loaded")
    gpu = Device("cuda:0", 2, "float16")
    remedy = r"libcublas\.so\.12 .* with nvidia-cublas-cu12"
    with pytest.raises(StartupError, match=remedy), refused(gpu):
        raise lacking
    with pytest.raises(RuntimeError, match="Library libcublas"), refused(CPU):
        raise lacking


def test_cublas_is_loaded_from_its_wheel(tmp_path, monkeypatch):
    assert load_cublas() == []
    lib = tmp_path / "nvidia" / "cublas" / "lib"
    lib.mkdir(parents=True)
    library = np.random._sfc64.__file__  # any will do
    for name in ("libcublasLt.so.12", "libcublas.so.12"):
        shutil.copy(library, lib / name)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    loaded = load_cublas()
    assert loaded == [str(lib / "libcublasLt.so.12"), str(lib / "libcublas.so.12")]
    maps = Path("/proc/self/maps").read_text(encoding="utf-8")
    assert all(path in maps for path in loaded)


def test_int8_runs(folder, jfk):
    int8 = load(folder, Device("cpu", 1, "int8"))
    assert int8._model.model.compute_type == "int8_float32"
    assert plain(int8([jfk], AsrOptions())[0].text) == JFK


def test_a_precision_that_the_device_lacks_is_refused(folder):
    with pytest.raises(StartupError, match=r"in float16 on cpu: CTranslate2 .* has .*int8_float32"):
        load(folder, Device("cpu", 2, "float16"))


def pieces(*texts: str) -> list[dict]:
    return [{"word": text, "start": i / 2, "end": (i + 1) / 2} for i, text in enumerate(texts)]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([" well", "-", "known", ",", " ok"], ["well-known,", "ok"]),
        ([" she", " said", ' "', "Hello", '."'], ["she", "said", '"Hello."']),
        ([" Bonjour", " ?"], ["Bonjour?"]),
        (["我", "用", " Py", "thon", "编程", "。"], ["我", "用", "Python", "编程。"]),
        (["「", "はい", "」", "と"], ["「はい」", "と"]),
        (["¿", "Qué", " tal", "?"], ["¿Qué", "tal?"]),
        (["สวัส", "ดี", " ครับ"], ["สวัสดี", "ครับ"]),
        ([" rock", " &", " roll"], ["rock", "&", "roll"]),
        ([" I", " was", " -", " no"], ["I", "was", "-", "no"]),
        ([" 5", " +", " 3", " =", " 8"], ["5", "+", "3", "=", "8"]),
        ([" x", " —", " y"], ["x", "—", "y"]),
        ([" ♪", " La", " la", " ♪"], ["♪", "La", "la", "♪"]),
        ([" Cost", " $", "5", ","], ["Cost", "$5,"]),
        (["编程", "语言", "。"], ["编程", "语言。"]),
        ([" ..."], ["..."]),
        ([" "], []),
        ([], []),
    ],
)
def test_pieces_become_words(given, words):
    assert [word.text for word in to_words(pieces(*given), 60)] == words


@pytest.mark.parametrize("language", ["en", "ja"])
def test_words_give_the_text(multilingual, language):
    tokenizer = multilingual._decoder._tokenizer(language)
    parts = ["rock", "no", "8", "3.14", "l'été", "ไทย", "はい", "我用", "Python", "한국어", "नमस्ते"]
    parts += ["well-known", "...", *"é😀&-+=—♪?!,.\"“”«»¿$%()「」。、#*'؟"]
    chance = random.Random(3)
    for _ in range(2000):
        text = "".join(
            chance.choice(parts) + chance.choice(["", " ", " "])
            for _ in range(chance.randint(1, 9))
        ).strip()
        own, _ = tokenizer.split_to_word_tokens(tokenizer.encode(f" {text}"))
        times = sorted(chance.choices([n / 50 for n in range(40)], k=len(own) + 1))
        given = [
            {"word": word, "start": start, "end": end}
            for word, (start, end) in zip(own, itertools.pairwise(times), strict=True)
        ]
        words = to_words(given, 1.0)
        assert join(word.text for word in words) == join(split(text)), text
        assert not any(" " in word.text for word in words)
        at = [0.0, *(time for word in words for time in (word.start, word.end)), 1.0]
        assert at == sorted(at), text
        assert all(word.end - word.start > 0.99 * STEP_S for word in words), text


def test_words_of_one_moment_have_time_of_their_own():
    moment = [{"word": f" {name}", "start": 0.5, "end": 0.5} for name in "abc"]
    found = to_words([{"word": " Go", "start": 0.2, "end": 0.5}, *moment], 0.54)
    times = [(round(word.start, 2), round(word.end, 2)) for word in found]
    assert times == [(0.2, 0.48), (0.48, 0.5), (0.5, 0.52), (0.52, 0.54)]
    # No room for all: they stay in order.
    assert [(w.start, w.end) for w in to_words(moment, 0.02)] == [(0, 0), (0, 0), (0, 0.02)]


def test_marks_take_no_time_of_their_word():
    first, second = to_words(pieces(" well", ",", " ok"), 60)
    assert (first.start, first.end) == (0, 0.5)
    assert (second.start, second.end) == (1, 1.5)


@pytest.mark.parametrize("end", [".", '."', "?”", "؟"])
def test_a_pause_belongs_to_no_word(end):
    given = [
        {"word": " Stop", "start": 0.0, "end": 5.0},
        {"word": " it", "start": 5.0, "end": 5.2},
        {"word": " now", "start": 5.2, "end": 8.0},
        {"word": end, "start": 8.0, "end": 8.1},
        {"word": " Go", "start": 8.1, "end": 8.3},
        {"word": " on", "start": 8.3, "end": 8.5},
    ]
    found = to_words(given, 8.4)
    times = [(round(word.start, 2), round(word.end, 2)) for word in found]
    # The median word lasts 0.2 s, the longest may last 0.4 s.
    assert times == [(4.6, 5.0), (5.0, 5.2), (5.2, 5.6), (8.1, 8.3), (8.3, 8.4)]


def test_a_title_ends_no_sentence():
    given = [
        {"word": " Say", "start": 0.0, "end": 0.2},
        {"word": " it", "start": 0.2, "end": 0.4},
        {"word": " Mr.", "start": 0.4, "end": 3.0},
        {"word": " Jones", "start": 3.0, "end": 3.2},
    ]
    title = to_words(given, 8)[2]
    assert (round(title.start, 2), title.end) == (2.6, 3.0)
