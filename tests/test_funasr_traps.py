"""What goes wrong with FunASR itself, and must not go wrong here."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tests import funasr_folders
from tests.digits import CPU, MODEL, recogniser, waveform
from tests.funasr_reference import Reference
from tests.media_server import MediaServer
from worker.engines import funasr_models
from worker.engines.base import AsrOptions
from worker.engines.funasr_import import funasr_module
from worker.errors import InvalidInputError, ModelNotProvisionedError

ROOT = Path(__file__).resolve().parent.parent
TIMED = AsrOptions(word_times=True)


@pytest.fixture
def folder(tmp_path) -> Path:
    """A copy of the trained model that a test may damage."""
    return Path(shutil.copytree(MODEL, tmp_path / "model"))


def path(*frames: str | int) -> np.ndarray:
    """A path of the digits model: four queries, then these pieces, a blank before each."""
    pieces = recogniser()._pieces
    spoken = [f if isinstance(f, int) else pieces.piece_to_id(f) for f in frames]
    queries = [pieces.piece_to_id(t) for t in ("<|en|>", "<|NEUTRAL|>", "<|Speech|>", "<|woitn|>")]
    return np.array(queries + [token for each in spoken for token in (0, each)])


def test_loading_runs_neither_funasr_nor_torchaudio():
    """The package's __init__ imports 4,178 modules; a torchaudio that does not fit torch kills."""
    code = f"""
import sys
from pathlib import Path
from volume_bootstrap.layout import Volume
from worker.activation import activate
activate(Volume(Path("volume")), "demo-funasr")
from worker.device import Device
from worker.engines import funasr_models
funasr_models.load(Path({str(MODEL)!r}), Device("cpu", 1, "float32"))
heavy = {{"torchaudio", "transformers", "sklearn", "modelscope", "umap", "numba"}}
print(hasattr(sys.modules["funasr"], "AutoModel"), sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    # Nor is there a word of what FunASR prints.
    assert done.stdout == "False []\n"
    assert done.stderr == ""


@pytest.mark.parametrize("name", ["model.pt", "am.mvn", "tiny_digits_spectok.bpe.model"])
def test_a_missing_file_is_named(folder, name):
    """FunASR skips what is listed and missing, and answers with random weights."""
    (folder / name).unlink()
    with pytest.raises(ModelNotProvisionedError, match=name):
        funasr_models.load(folder, CPU)


def test_a_missing_weight_is_named(folder):
    """FunASR prints a line and leaves it random."""
    state = torch.load(folder / "model.pt", weights_only=True)
    del state["ctc.ctc_lo.weight"]
    torch.save(state, folder / "model.pt")
    with pytest.raises(ModelNotProvisionedError, match=r"1 weights, ctc\.ctc_lo\.weight"):
        funasr_models.load(folder, CPU)


def test_a_weight_of_another_shape_is_named(folder):
    """FunASR ignores it and leaves the random one."""
    state = torch.load(folder / "model.pt", weights_only=True)
    state["embed.weight"] = state["embed.weight"][:, :5]
    torch.save(state, folder / "model.pt")
    with pytest.raises(ModelNotProvisionedError, match=r"embed\.weight"):
        funasr_models.load(folder, CPU)


def test_weights_that_are_no_weights_are_an_error(folder):
    (folder / "model.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(ModelNotProvisionedError, match=r"model\.pt cannot be read"):
        funasr_models.load(folder, CPU)


def test_a_checkpoint_cannot_run_code(folder):
    class Trap:
        def __reduce__(self):
            return (Path.touch, (folder / "ran",))

    torch.save({"embed.weight": Trap()}, folder / "model.pt")
    with pytest.raises(ModelNotProvisionedError, match=r"model\.pt cannot be read"):
        funasr_models.load(folder, CPU)
    assert not (folder / "ran").exists()


def test_the_older_format_of_torch_is_read(folder):
    state = torch.load(folder / "model.pt", weights_only=True)
    torch.save(state, folder / "model.pt", _use_new_zipfile_serialization=False)
    clip = [waveform("clip04_ked.flac")]
    assert funasr_models.load(folder, CPU)(clip, TIMED) == recogniser()(clip, TIMED)


def test_without_configuration_json_the_usual_names_are_found(folder):
    (folder / "configuration.json").unlink()
    (folder / "tiny_digits_spectok.bpe.model").rename(folder / "bpe.model")
    clip = [waveform("clip04_ked.flac")]
    assert funasr_models.load(folder, CPU)(clip, TIMED) == recogniser()(clip, TIMED)


def test_a_recogniser_is_no_punctuator(folder):
    with pytest.raises(ModelNotProvisionedError, match="the worker has CTTransformer"):
        funasr_models.load_punctuation(folder, CPU)


def test_a_language_that_the_model_does_not_have_is_never_auto():
    """FunASR takes any word for auto."""
    with pytest.raises(KeyError, match="tlh"):
        recogniser()([waveform("clip04_ked.flac")], AsrOptions(language="tlh"))


@pytest.mark.parametrize("tag", ["<|Laughter|>", "<|BGM|>", "<|ja|>", "<|GBG|>", "<|withitn|>"])
def test_a_tag_in_the_text_is_no_text(tag):
    found = recogniser()._recognition(path("▁one", tag, "▁two"), 1.0, TIMED)
    assert found.text == "one two"
    assert [word.text for word in found.words] == ["one", "two"]
    assert (found.language, found.emotion, found.event) == ("en", "neutral", "speech")


def test_unknown_tags_are_none():
    pieces = recogniser()._pieces
    tags = ["<|nospeech|>", "<|EMO_UNKNOWN|>", "<|Event_UNK|>", "<|woitn|>"]
    best = np.array([pieces.piece_to_id(tag) for tag in tags] + [0] * 5)
    found = recogniser()._recognition(best, 1.0, TIMED)
    assert (found.text, found.words) == ("", ())
    assert (found.language, found.emotion, found.event) == (None, None, None)


def test_the_word_the_survives(folder):
    """FunASR's rich_transcription_postprocess deletes the literal `The.`"""
    clean = funasr_module("utils.postprocess_utils").rich_transcription_postprocess
    assert "The." not in clean("<|en|><|NEUTRAL|><|Speech|><|withitn|>That is The.")
    # The digits' vocabulary cannot write it: an unused piece of as many letters is renamed.
    vocabulary = folder / "tiny_digits_spectok.bpe.model"
    vocabulary.write_bytes(vocabulary.read_bytes().replace(b"[u23]", b" The."))
    engine = funasr_models.load(folder, CPU)
    found = engine._recognition(path("▁one", 23), 1.0, TIMED)
    assert found.text == "one The."
    assert [word.text for word in found.words] == ["one", "The."]


class Fixed(torch.nn.Module):
    """Stands for the encoder and the head of FunASR's model: the best path is given."""

    def __init__(self, best: np.ndarray) -> None:
        super().__init__()
        self.scores = torch.full((1, len(best), 25_055), -20.0)
        self.scores[0, torch.arange(len(best)), torch.from_numpy(best)] = 0.0

    def forward(self, speech: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return self.scores, torch.tensor([self.scores.shape[1]])

    def log_softmax(self, scores: torch.Tensor) -> torch.Tensor:
        return scores.log_softmax(-1)


def test_words_keep_their_times_where_their_text_would_be_cut_otherwise():
    """FunASR cuts its text into tokens once more to align it: `t`, `w`, `o` become `two`.

    The times it then finds are those of the `o`; where the new tokens are more than the old ones
    it raises an IndexError (models/sense_voice/model.py:1071).
    """
    best = path("t", "w", "o")
    (word,) = recogniser()._recognition(best, 1.0, TIMED).words
    assert (word.text, word.start, word.end) == ("two", pytest.approx(0.03), pytest.approx(0.33))
    theirs = Reference(MODEL)
    theirs.model.encoder = theirs.model.ctc = Fixed(best)
    found = theirs(waveform("clip04_ked.flac"), output_timestamp=True)
    assert (found["words"], found["timestamp"]) == (["two"], [[270, 330]])


@pytest.mark.parametrize("as_file", [False, True], ids=["address", "file"])
def test_a_hotword_is_neither_fetched_nor_opened(tmp_path, as_file):
    """FunASR fetches a hotword that begins with http and reads one that ends in .txt."""
    engine = funasr_models.load(
        funasr_folders.paraformer(tmp_path / "seaco", "SeacoParaformer"), CPU
    )
    words = tmp_path / "words.txt"
    words.write_text("模型")
    with MediaServer(tmp_path) as server:
        hotword = str(words) if as_file else server.url("/files/words.txt")
        # What the file holds the model could spell.
        with pytest.raises(InvalidInputError, match="is no hotword"):
            engine([waveform("clip04_ked.flac")], AsrOptions(hotwords=(hotword,)))
        assert server.count("/files/words.txt") == 0
