"""A folder with a model in FunASR's format -> its parts, loaded strictly.

FunASR skips files that are listed and missing, and leaves what the weights do not hold at random
values. Here either is an error.
"""

import itertools
import json
import pickle
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from worker.engines.frontend import Frontend
from worker.engines.funasr_import import funasr_module
from worker.errors import ModelNotProvisionedError
from worker.features import FRAME_LENGTH_SAMPLES, FRAME_SHIFT_SAMPLES, NUM_MEL_BINS, read_cmvn

USUAL_NAMES = {
    "init_param": ("model.pt",),
    "tokenizer_conf.bpemodel": ("bpe.model",),
    "tokenizer_conf.token_list": ("tokens.json", "tokens.txt"),
    "tokenizer_conf.seg_dict_file": ("seg_dict",),
    "frontend_conf.cmvn_file": ("am.mvn",),
    "jieba_usr_dict": ("jieba_usr_dict",),
}
"""What FunASR looks for where configuration.json names no file."""

FRONTEND = {
    "fs": 16_000,
    "n_mels": NUM_MEL_BINS,
    "frame_length": FRAME_LENGTH_SAMPLES // 16,
    "frame_shift": FRAME_SHIFT_SAMPLES // 16,
    "snip_edges": True,
    "upsacle_samples": True,
}
"""What `worker.features` computes, in FunASR's terms and spelling: Hz, and ms for the frames."""

INCOMPLETE = "Name all its files in models.yaml and provision the volume again."
DAMAGED = (
    "Its files are broken or do not belong together: correct its source in models.yaml and "
    "provision the volume again."
)
FOREIGN = "Name another model in models.yaml; docs/asr.md lists those that the worker can load."

BUILD_ERRORS = (
    AssertionError,
    AttributeError,
    IndexError,
    KeyError,
    RuntimeError,
    TypeError,
    ValueError,
    ZeroDivisionError,
)
"""What FunASR's classes raise for a configuration that is not theirs: they check nothing."""


class FunasrFolder:
    """The configuration of a model, and where its files lie.

    Raises
    ------
    ModelNotProvisionedError
        config.yaml or configuration.json is broken, or config.yaml is missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._named = self._read_json("configuration.json").get("file_path_metas", {})
        if not isinstance(self._named, dict):
            raise self.error("file_path_metas of configuration.json is no mapping", DAMAGED)
        config_name = self._named.get("config", "config.yaml")
        if not (path / config_name).is_file():
            raise self.error(f"it has no {config_name}")
        try:
            config = yaml.safe_load((path / config_name).read_text(encoding="utf-8"))
        except (UnicodeDecodeError, yaml.YAMLError) as error:
            raise self.error(f"{config_name} is no YAML: {error}", DAMAGED) from error
        if not isinstance(config, dict) or not isinstance(config.get("model"), str):
            raise self.error(f"{config_name} names no model class", DAMAGED)
        self.config: dict[str, Any] = config

    @property
    def model(self) -> str:
        """Name of the model's class."""
        name: str = self.config["model"]
        return name

    def error(self, problem: str, remedy: str = INCOMPLETE) -> ModelNotProvisionedError:
        """Say what is wrong with the folder, and what to do."""
        return ModelNotProvisionedError(
            f"{self.path.name} is no FunASR model that can be loaded: {problem}. {remedy}"
        )

    def section(self, name: str) -> dict[str, Any]:
        """Part of the configuration, such as ``model_conf``; empty where it says nothing of it.

        Raises
        ------
        ModelNotProvisionedError
            It is no mapping.
        """
        values = self.config.get(name)
        if values is None:
            return {}
        if not isinstance(values, dict):
            raise self.error(f"{name} of the configuration is {values!r}, no mapping", DAMAGED)
        return values

    def check(self, part: str, classes: Sequence[str]) -> None:
        """See that a part of the model, such as ``encoder``, is of one of these classes.

        Raises
        ------
        ModelNotProvisionedError
            The configuration names none, or another one.
        """
        name = self.config.get(part)
        if name not in classes:
            raise self.error(f"its {part} is {name}; the worker has {', '.join(classes)}", FOREIGN)

    def find(self, key: str) -> Path | None:
        """Path of an optional file, such as ``tokenizer_conf.seg_dict_file``.

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
        if "frontend" in self.config:
            self.check("frontend", ("WavFrontend",))
        conf = self.section("frontend_conf")
        for name, value in FRONTEND.items():
            if conf.get(name, value) != value:
                raise self.error(
                    f"frontend_conf.{name} is {conf[name]}; the worker has {value}", FOREIGN
                )
        window = conf.get("window", "hamming")
        if window not in ("hamming", "povey"):
            raise self.error(
                f"frontend_conf.window is {window}; the worker has hamming and povey", FOREIGN
            )
        stack, shift = (conf.get(name, 1) for name in ("lfr_m", "lfr_n"))
        for name, value in (("lfr_m", stack), ("lfr_n", shift)):
            if type(value) is not int or value < 1:
                raise self.error(
                    f"frontend_conf.{name} is {value!r}; it is a whole number from 1 on", DAMAGED
                )
        path = self.file("frontend_conf.cmvn_file")
        try:
            offset, scale = read_cmvn(path)
        except ValueError as error:
            raise self.error(f"{path.name} cannot be read: {error}", DAMAGED) from error
        if len(offset) != stack * NUM_MEL_BINS:
            raise self.error(
                f"{path.name} has {len(offset)} values; frontend_conf.lfr_m {stack} makes features "
                f"of {stack * NUM_MEL_BINS}",
                DAMAGED,
            )
        return Frontend(window, stack, shift, offset, scale)

    def tokenizer(self) -> Any:  # noqa: ANN401 - a CharTokenizer
        """Build what turns tokens to numbers and back.

        Raises
        ------
        ModelNotProvisionedError
            The list of tokens is missing, or is none.
        """
        path = self.file("tokenizer_conf.token_list")
        conf = self.section("tokenizer_conf") | {"token_list": str(path)}
        try:
            tokenizer = funasr_module("tokenizer.char_tokenizer").CharTokenizer(**conf)
        except (OSError, RuntimeError, TypeError, ValueError) as error:
            raise self.error(f"{path.name} is no list of tokens: {error}", DAMAGED) from error
        tokens = tokenizer.token_list
        if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
            raise self.error(f"{path.name} is no list of tokens: not all are strings", DAMAGED)
        return tokenizer

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
            The configuration is not one of this class, a weight is missing or of another shape, or
            the file cannot be read.
        """
        import torch

        if self.config.get("normalize") is not None:
            raise self.error(
                f"its normalize is {self.config['normalize']}; the worker normalises features by "
                "frontend_conf.cmvn_file alone",
                FOREIGN,
            )
        path = self.file("init_param")
        try:
            with torch.device("meta"):
                network = model_class(**self.section("model_conf") | self.config | given)
        except BUILD_ERRORS as error:
            raise self.error(
                f"its configuration is none of a {self.model}: {error!r}", DAMAGED
            ) from error
        state = self._weights(path)
        try:
            missing, _ = network.load_state_dict(state, strict=False, assign=True)
        except RuntimeError as error:
            raise self.error(f"{path.name} does not fit config.yaml: {error}", DAMAGED) from error
        tensors = itertools.chain(network.named_parameters(), network.named_buffers())
        missing = sorted({*missing, *(name for name, tensor in tensors if tensor.is_meta)})
        if missing:
            raise self.error(
                f"{path.name} lacks {len(missing)} weights, {', '.join(missing[:3])} among them",
                DAMAGED,
            )
        return network.eval().requires_grad_(False)  # noqa: FBT003 - torch's own argument

    def _weights(self, path: Path) -> dict[str, Any]:
        """Tensors by name; checkpoints of a training run wrap them."""
        import torch

        try:
            # The older format of torch cannot be mapped.
            mapped = zipfile.is_zipfile(path)
            state = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
        except (RuntimeError, EOFError, OSError, ValueError, pickle.UnpicklingError) as error:
            raise self.error(f"{path.name} cannot be read: {error}", DAMAGED) from error
        for wrapper in ("state_dict", "model_state_dict", "model"):
            if isinstance(state, dict):
                state = state.get(wrapper, state)
        if not isinstance(state, dict):
            raise self.error(f"{path.name} holds no weights by name: {type(state)}", DAMAGED)
        return state

    def _read_json(self, name: str) -> dict[str, Any]:
        path = self.path / name
        if not path.is_file():
            return {}
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise self.error(f"{name} is no JSON: {error}", DAMAGED) from error
        return values if isinstance(values, dict) else {}
