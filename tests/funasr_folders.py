"""Small models with random weights, written to disk in FunASR's published format."""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
import yaml

from tests.digits import MODEL
from worker.engines.funasr_import import funasr_module

HAN = list("欢迎大家来体验达摩院推出的语音识别模型你好中国人民今天气很不错")
TOKENS = ["<blank>", "<s>", "</s>", *HAN, "hel@@", "lo", "world", "a", "b", "<unk>"]
SEG_DICT = {"hello": "hel@@ lo", "world": "world"} | {han: han for han in HAN}

FRONTEND = {"fs": 16000, "window": "hamming", "n_mels": 80, "lfr_m": 7, "lfr_n": 6}
DIM = 32
ENCODER = {
    "output_size": DIM,
    "attention_heads": 2,
    "linear_units": 48,
    "num_blocks": 2,
    "input_layer": "pe",
    "selfattention_layer_type": "sanm",
}
DECODER = {
    "attention_heads": 2,
    "linear_units": 48,
    "num_blocks": 2,
    "att_layer_num": 2,
    "kernel_size": 11,
}
CIF = {"idim": DIM, "l_order": 1, "r_order": 1, "tail_threshold": 0.45}
TIMES = {"upsample_times": 3, "upsample_type": "cnn_blstm", "smooth_factor2": 0.25}
CONFIGS: dict[str, dict[str, Any]] = {
    "Paraformer": {"predictor": "CifPredictorV2", "predictor_conf": CIF | {"smooth_factor": 0.7}},
    "BiCifParaformer": {
        "predictor": "CifPredictorV3",
        "predictor_conf": CIF | TIMES | {"use_cif1_cnn": False},
    },
    "SeacoParaformer": {
        "predictor": "CifPredictorV3",
        "predictor_conf": CIF | TIMES | {"use_cif1_cnn": False},
        "model_conf": {
            "inner_dim": DIM,
            "bias_encoder_type": "lstm",
            "seaco_decoder": "ParaformerSANMDecoder",
            # The sixth layer chooses among more than 50 hotwords.
            "seaco_decoder_conf": DECODER
            | {"num_blocks": 6, "att_layer_num": 6}
            | {"wo_input_layer": True, "use_output_layer": False},
            "NO_BIAS": 3,
        },
    },
}


def paraformer(folder: Path, model: str) -> Path:
    """Write a Paraformer of one of the three classes; returns its folder."""
    config = {
        "model": model,
        "encoder": "SANMEncoder",
        "encoder_conf": ENCODER,
        "decoder": "ParaformerSANMDecoder",
        "decoder_conf": DECODER,
        "tokenizer": "CharTokenizer",
        "tokenizer_conf": {"unk_symbol": "<unk>", "split_with_space": True},
        "frontend": "WavFrontend",
        "frontend_conf": FRONTEND,
        **CONFIGS[model],
    }
    config["model_conf"] = {"ctc_weight": 0.0} | config.get("model_conf", {})
    names = {
        "init_param": "model.pt",
        "config": "config.yaml",
        "tokenizer_conf": {"token_list": "tokens.json", "seg_dict_file": "seg_dict"},
        "frontend_conf": {"cmvn_file": "am.mvn"},
    }
    folder.mkdir()
    shutil.copy(MODEL / "am.mvn", folder)
    lines = "".join(f"{word} {pieces}\n" for word, pieces in SEG_DICT.items())
    (folder / "seg_dict").write_text(lines, encoding="utf-8")
    return _written(folder, config, names, TOKENS, input_size=560)


def punctuation(folder: Path) -> Path:
    """Write a CT-Transformer; returns its folder."""
    config = {
        "model": "CTTransformer",
        "model_conf": {
            "embed_unit": DIM,
            "att_unit": DIM,
            "punc_list": ["<unk>", "_", "，", "。", "？", "、"],
            "sentence_end_id": 3,
        },
        "encoder": "SANMEncoder",
        "encoder_conf": ENCODER | {"input_size": DIM},
        "tokenizer": "CharTokenizer",
        "tokenizer_conf": {"unk_symbol": "<unk>"},
    }
    names = {
        "init_param": "model.pt",
        "config": "config.yaml",
        "tokenizer_conf": {"token_list": "tokens.json"},
    }
    folder.mkdir()
    words = ["yes", "no", "we", "can", "it's", "3"]
    return _written(folder, config, names, [*HAN, *words, "<unk>"])


def _written(
    folder: Path, config: dict[str, Any], names: dict[str, Any], tokens: list[str], **given: Any
) -> Path:
    from tests.funasr_reference import modules

    (folder / "config.yaml").write_text(yaml.safe_dump(config, allow_unicode=True), "utf-8")
    (folder / "configuration.json").write_text(json.dumps({"file_path_metas": names}))
    (folder / "tokens.json").write_text(json.dumps(tokens, ensure_ascii=False), "utf-8")
    for module in modules(config["model"]):
        funasr_module(module)
    model_class = funasr_module("register").tables.model_classes[config["model"]]
    torch.manual_seed(0)
    network = model_class(**config["model_conf"] | config, vocab_size=len(tokens), **given)
    for weights in network.parameters():
        # Larger than at the start of a training, so that the answers differ.
        torch.nn.init.normal_(weights, std=0.3)
    torch.save(network.state_dict(), folder / "model.pt")
    return folder
