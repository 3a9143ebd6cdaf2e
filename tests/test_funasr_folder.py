"""Folders that are broken or foreign: the error names the file, what is wrong and what to do."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from tests import funasr_folders
from tests.digits import CPU, MODEL
from worker.engines import funasr_models
from worker.errors import ModelNotProvisionedError

TOKENS = funasr_folders.TOKENS
REMEDIES = "models.yaml"


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {
        "SenseVoiceSmall": MODEL,
        "SeacoParaformer": funasr_folders.paraformer(root / "seaco", "SeacoParaformer"),
        "CTTransformer": funasr_folders.punctuation(root / "ct-punc"),
    }


@pytest.fixture
def error(folders, tmp_path):
    """Loads a copy of a model with changes; gives what the error says."""

    def load(model: str, config: dict[str, Any], **files: bytes) -> str:
        folder = Path(shutil.copytree(folders[model], tmp_path / "model"))
        path = folder / "config.yaml"
        changed = yaml.safe_load(path.read_text(encoding="utf-8")) | config
        path.write_text(yaml.safe_dump(changed, allow_unicode=True), encoding="utf-8")
        for name, content in files.items():
            (folder / name).write_bytes(content)
        loads = model == "CTTransformer"
        with pytest.raises(ModelNotProvisionedError) as found:
            (funasr_models.load_punctuation if loads else funasr_models.load)(folder, CPU)
        assert REMEDIES in str(found.value)
        return str(found.value)

    return load


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model": "FunASRNano"}, "SenseVoiceSmall, Paraformer"),
        ({"model": None}, "names no model class"),
        ({"frontend": "WhisperFrontend"}, "frontend is WhisperFrontend"),
        ({"frontend_conf": None}, "am.mvn has 560 values"),
        ({"frontend_conf": [7, 6]}, "frontend_conf of the configuration is [7, 6], no mapping"),
        ({"frontend_conf": {"n_mels": 40}}, "n_mels is 40; the worker has 80"),
        ({"frontend_conf": {"window": "hann"}}, "window is hann"),
        ({"frontend_conf": {"lfr_m": 5}}, "am.mvn has 560 values"),
        ({"frontend_conf": {"lfr_m": "7"}}, "lfr_m is '7'; it is a whole number"),
        ({"frontend_conf": {"lfr_m": 7, "lfr_n": 0}}, "lfr_n is 0; it is a whole number"),
        ({"frontend_conf": {"snip_edges": False}}, "snip_edges is False; the worker has True"),
        ({"frontend_conf": {"upsacle_samples": False}}, "upsacle_samples is False"),
        ({"encoder": "Nope"}, "encoder is Nope; the worker has SenseVoiceEncoderSmall"),
        ({"encoder": "SANMEncoder"}, "encoder is SANMEncoder"),
        ({"encoder_conf": None}, "configuration is none of a SenseVoiceSmall"),
        ({"encoder_conf": {"attention_heads": 3}}, "none of a SenseVoiceSmall: AssertionError()"),
        ({"model_conf": [1]}, "model_conf of the configuration is [1]"),
        ({"normalize": "utterance_mvn", "normalize_conf": {}}, "normalize is utterance_mvn"),
    ],
)
def test_a_configuration_that_is_not_the_models_says_why(error, change, said):
    assert said in error("SenseVoiceSmall", change)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"predictor": None}, "predictor is None; the worker has CifPredictor"),
        ({"decoder": "Nope"}, "decoder is Nope"),
        ({"predictor_conf": {"depth": 3}}, "configuration is none of a SeacoParaformer"),
        ({"tokenizer_conf": "space"}, "tokenizer_conf of the configuration is 'space'"),
    ],
)
def test_a_paraformer_of_other_parts_says_why(error, change, said):
    assert said in error("SeacoParaformer", change)


def test_marks_without_names_are_an_error(error):
    conf = {"embed_unit": funasr_folders.DIM, "att_unit": funasr_folders.DIM}
    assert "none of a CTTransformer" in error("CTTransformer", {"model_conf": conf})


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("config.yaml", b"a: [1", "config.yaml is no YAML"),
        ("config.yaml", b"\xff\xfe", "config.yaml is no YAML"),
        ("configuration.json", b"\xff", "configuration.json is no JSON"),
        ("configuration.json", b'{"file_path_metas": []}', "file_path_metas of configuration.json"),
        ("tiny_digits_spectok.bpe.model", b"xx", "bpe.model is no SentencePiece model"),
        ("am.mvn", b"<AddShift> [ a ] <Rescale> [ b ]", "am.mvn cannot be read"),
        ("model.pt", b"", "model.pt cannot be read"),
        ("model.pt", (MODEL / "model.pt").read_bytes()[:5000], "model.pt cannot be read"),
    ],
)
def test_a_broken_file_is_named(error, name, content, said):
    assert said in error("SenseVoiceSmall", {}, **{name: content})


def test_weights_without_names_are_an_error(error, tmp_path):
    torch.save([1, 2], tmp_path / "list.pt")
    said = error("SenseVoiceSmall", {}, **{"model.pt": (tmp_path / "list.pt").read_bytes()})
    assert "model.pt holds no weights by name" in said


@pytest.mark.parametrize(
    ("tokens", "said"),
    [
        ("[", "Expecting value"),
        (json.dumps([TOKENS[3], *TOKENS]), "is duplicated"),
        (json.dumps([*TOKENS[:-1], "u"]), "'<unk>' doesn't exist"),
        (json.dumps({token: i for i, token in enumerate(TOKENS)}), "not all are strings"),
        (json.dumps([*range(len(TOKENS) - 1), "<unk>"]), "not all are strings"),
    ],
)
@pytest.mark.parametrize("model", ["SeacoParaformer", "CTTransformer"])
def test_tokens_that_are_none_are_an_error(error, model, tokens, said):
    found = error(model, {}, **{"tokens.json": tokens.encode()})
    assert "tokens.json is no list of tokens" in found
    assert said in found


@pytest.mark.parametrize(
    ("content", "said"), [(b"a b\n\n", "has an empty line"), (b"\xff b\n", "is no UTF-8")]
)
def test_a_broken_seg_dict_is_an_error(error, content, said):
    assert f"seg_dict {said}" in error("SeacoParaformer", {}, seg_dict=content)


@pytest.mark.parametrize("named", [True, False])
def test_seaco_needs_its_seg_dict(folders, tmp_path, named):
    """FunASR would take every hotword for an unknown one."""
    folder = Path(shutil.copytree(folders["SeacoParaformer"], tmp_path / "model"))
    (folder / "seg_dict").unlink()
    if not named:
        (folder / "configuration.json").unlink()
    said = "names seg_dict, which is missing" if named else "it has no seg_dict"
    with pytest.raises(ModelNotProvisionedError, match=said):
        funasr_models.load(folder, CPU)


def test_a_seg_dict_of_another_name_is_an_error(folders, tmp_path):
    folder = Path(shutil.copytree(folders["SeacoParaformer"], tmp_path / "model"))
    (folder / "seg_dict").rename(folder / "dict.txt")
    path = folder / "configuration.json"
    path.write_text(path.read_text().replace('"seg_dict"', '"dict.txt"'))
    with pytest.raises(ModelNotProvisionedError, match=r"looks for seg_dict beside am\.mvn"):
        funasr_models.load(folder, CPU)


def test_the_remedy_fits_the_fault(error):
    assert "Name another model" in error("SenseVoiceSmall", {"model": "FunASRNano"})
