"""A folder with a model in FunASR's format -> its parts, loaded strictly.

FunASR skips files that are listed and missing, and leaves what the weights do not hold at random
values. Here either is an error.
"""

import itertools
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import yaml

from worker.engines.frontend import Frontend
from worker.errors import ModelNotProvisionedError
from worker.features import FRAME_LENGTH_SAMPLES, FRAME_SHIFT_SAMPLES, NUM_MEL_BINS, read_cmvn

USUAL_NAMES = {
    "init_param": ("model.pt",),
    "tokenizer_conf.bpemodel": ("bpe.model",),
    "tokenizer_conf.token_list": ("tokens.json", "tokens.txt"),
    "tokenizer_conf.seg_dict": ("seg_dict",),
    "frontend_conf.cmvn_file": ("am.mvn",),
    "jieba_usr_dict": ("jieba_usr_dict",),
}
"""What FunASR looks for where configuration.json names no file."""

FRONTEND = {
    "fs": 16_000,
    "n_mels": NUM_MEL_BINS,
    "frame_length": FRAME_LENGTH_SAMPLES // 16,
    "frame_shift": FRAME_SHIFT_SAMPLES // 16,
}
"""What `worker.features` computes, in FunASR's terms: Hz, and ms for the frames."""


class FunasrFolder:
    """The configuration of a model, and where its files lie.

    Raises
    ------
    ModelNotProvisionedError
        config.yaml is missing, or is none.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._named = self._read_json("configuration.json").get("file_path_metas", {})
        config_name = self._named.get("config", "config.yaml")
        if not (path / config_name).is_file():
            raise self.error(f"it has no {config_name}")
        config = yaml.safe_load((path / config_name).read_text(encoding="utf-8"))
        if not isinstance(config, dict) or not isinstance(config.get("model"), str):
            raise self.error(f"{config_name} names no model class")
        self.config: dict[str, Any] = config

    @property
    def model(self) -> str:
        """Name of the model's class."""
        name: str = self.config["model"]
        return name

    def error(self, problem: str) -> ModelNotProvisionedError:
        """Say what is wrong with the folder."""
        return ModelNotProvisionedError(
            f"{self.path.name} is no FunASR model that can be loaded: {problem}. Name all its "
            "files in models.yaml and provision the volume again."
        )

    def find(self, key: str) -> Path | None:
        """Path of an optional file, such as ``tokenizer_conf.seg_dict``.

        Raises
        ------
        ModelNotProvisionedError
            configuration.json names a file that is not there.
        """
        named: Any = self._named
        for part in key.split("."):
            named = named.get(part) if isinstance(named, dict) else None
        if isinstance(named, str):
            if not (self.path / named).is_file():
                raise self.error(f"configuration.json names {named}, which is missing")
            return self.path / named
        usual = (self.path / name for name in USUAL_NAMES[key])
        return next((path for path in usual if path.is_file()), None)

    def file(self, key: str) -> Path:
        """Path of a file that the model cannot do without.

        Raises
        ------
        ModelNotProvisionedError
            It is missing.
        """
        path = self.find(key)
        if path is None:
            names = " or ".join(USUAL_NAMES[key])
            raise self.error(f"it has no {names}, and configuration.json names no {key}")
        return path

    def frontend(self) -> Frontend:
        """Build what makes the model's features.

        Raises
        ------
        ModelNotProvisionedError
            The model wants features that the worker does not compute.
        """
        conf = self.config.get("frontend_conf", {})
        for name, value in FRONTEND.items():
            if conf.get(name, value) != value:
                raise self.error(f"frontend_conf.{name} is {conf[name]}; the worker has {value}")
        window = conf.get("window", "hamming")
        if window not in ("hamming", "povey"):
            raise self.error(f"frontend_conf.window is {window}; the worker has hamming and povey")
        stack, shift = conf.get("lfr_m", 1), conf.get("lfr_n", 1)
        path = self.file("frontend_conf.cmvn_file")
        try:
            offset, scale = read_cmvn(path)
        except ValueError as error:
            raise self.error(str(error)) from error
        if len(offset) != stack * NUM_MEL_BINS:
            raise self.error(
                f"{path.name} has {len(offset)} values; frontend_conf.lfr_m {stack} makes features "
                f"of {stack * NUM_MEL_BINS}"
            )
        return Frontend(window, stack, shift, offset, scale)

    def build(self, model_class: Any, **given: object) -> Any:  # noqa: ANN401 - a torch module
        """Build the model's network and load its weights.

        It is built without memory and its weights are the file's, mapped: nothing is initialised
        at random and nothing stands in memory twice.

        Parameters
        ----------
        given : arguments that the configuration does not hold, or holds for training alone

        Raises
        ------
        ModelNotProvisionedError
            A weight is missing, of another shape, or the file cannot be read.
        """
        import torch

        path = self.file("init_param")
        with torch.device("meta"):
            network = model_class(**{**self.config.get("model_conf", {}), **self.config, **given})
        state = self._weights(path)
        try:
            missing, _ = network.load_state_dict(state, strict=False, assign=True)
        except RuntimeError as error:
            raise self.error(f"{path.name} does not fit config.yaml: {error}") from error
        tensors = itertools.chain(network.named_parameters(), network.named_buffers())
        missing = sorted({*missing, *(name for name, tensor in tensors if tensor.is_meta)})
        if missing:
            raise self.error(
                f"{path.name} lacks {len(missing)} weights, {', '.join(missing[:3])} among them"
            )
        return network.eval().requires_grad_(False)  # noqa: FBT003 - torch's own argument

    def _weights(self, path: Path) -> dict[str, Any]:
        """Tensors by name; checkpoints of a training run wrap them."""
        import torch

        try:
            # The older format of torch cannot be mapped.
            mapped = zipfile.is_zipfile(path)
            state = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
        except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
            raise self.error(f"{path.name} cannot be read: {error}") from error
        for wrapper in ("state_dict", "model_state_dict", "model"):
            state = state.get(wrapper, state)
        weights: dict[str, Any] = state
        return weights

    def _read_json(self, name: str) -> dict[str, Any]:
        path = self.path / name
        if not path.is_file():
            return {}
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise self.error(f"{name} is no JSON: {error}") from error
        return values if isinstance(values, dict) else {}
