"""FunASR's own inference, one item at a time, from the same folders: what ours is compared with.

Built as FunASR's ``AutoModel.build_model`` does, which the slim import leaves out.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from worker.engines.funasr_import import funasr_module


class Reference:
    """A model of FunASR with its own front end and tokenizer."""

    def __init__(self, folder: Path) -> None:
        config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
        named = json.loads((folder / "configuration.json").read_text(encoding="utf-8"))
        named = named["file_path_metas"]
        tables = funasr_module("register").tables
        for module in modules(config["model"]):
            funasr_module(module)
        files = {k: str(folder / v) for k, v in named.get("tokenizer_conf", {}).items()}
        tokenizer_class = tables.tokenizer_classes[config["tokenizer"]]
        self.tokenizer = tokenizer_class(**config.get("tokenizer_conf", {}) | files)
        self.frontend = None
        if "frontend_conf" in config:
            cmvn = {"cmvn_file": str(folder / "am.mvn"), "dither": 0.0}
            self.frontend = tables.frontend_classes["WavFrontend"](**config["frontend_conf"] | cmvn)
            config["input_size"] = self.frontend.output_size()
        config["vocab_size"] = (
            self.tokenizer.get_vocab_size()
            if hasattr(self.tokenizer, "get_vocab_size")
            else len(self.tokenizer.token_list)
        )
        config = config.get("model_conf", {}) | config | {"specaug": None}
        self.model = tables.model_classes[config["model"]](**config)
        state = torch.load(folder / named["init_param"], weights_only=True)
        self.model.load_state_dict(state, strict=True)
        self.model.eval()

    def __call__(self, item: np.ndarray | str, **options: Any) -> dict[str, Any]:
        """Run the model's ``inference`` on a waveform or a text."""
        data = torch.from_numpy(item) if isinstance(item, np.ndarray) else item
        with torch.no_grad():
            results = self.model.inference(
                [data],
                key=["item"],
                tokenizer=self.tokenizer,
                frontend=self.frontend,
                device="cpu",
                **options,
            )
        return results[0][0]


def modules(model: str) -> list[str]:
    if model == "SenseVoiceSmall":
        return [
            "models.sense_voice.model",
            "tokenizer.sentencepiece_tokenizer",
            "frontends.wav_frontend",
        ]
    name = {
        "Paraformer": "paraformer",
        "BiCifParaformer": "bicif_paraformer",
        "SeacoParaformer": "seaco_paraformer",
        "CTTransformer": "ct_transformer",
    }[model]
    return [
        f"models.{name}.model",
        "models.sanm.encoder",
        "models.paraformer.decoder",
        "models.paraformer.cif_predictor",
        "models.bicif_paraformer.cif_predictor",
        "tokenizer.char_tokenizer",
        "frontends.wav_frontend",
    ]
