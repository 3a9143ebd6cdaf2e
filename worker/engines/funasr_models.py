"""Folders in FunASR's format -> engines, by the class that config.yaml names."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from worker.device import Device
from worker.engines import paraformer, precision, punctuation, sensevoice
from worker.engines.base import Punctuator, Recogniser
from worker.engines.funasr_folder import FOREIGN, FunasrFolder

RECOGNISERS: dict[str, Callable[[FunasrFolder, Device], Recogniser]] = {
    "SenseVoiceSmall": sensevoice.load,
    "Paraformer": paraformer.load,
    "BiCifParaformer": paraformer.load,
    "SeacoParaformer": paraformer.load,
}
PUNCTUATORS: dict[str, Callable[[FunasrFolder, Device], Punctuator]] = {
    "CTTransformer": punctuation.load,
}

Model = TypeVar("Model")


def load(folder: Path, device: Device) -> Recogniser:
    """Load a recogniser from a local folder; nothing is fetched and no code of the folder runs.

    Raises
    ------
    ModelNotProvisionedError
        A file or a weight is missing or broken, or the model is of a class, or has a part, that the
        worker has not.
    StartupError
        The device cannot run it in that precision.
    """
    return _load(folder, device, RECOGNISERS)


def load_punctuation(folder: Path, device: Device) -> Punctuator:
    """Load a model that puts punctuation in; raises as `load` does."""
    return _load(folder, device, PUNCTUATORS)


def _load(
    path: Path, device: Device, loaders: dict[str, Callable[[FunasrFolder, Device], Model]]
) -> Model:
    folder = FunasrFolder(path)
    if folder.model not in loaders:
        raise folder.error(
            f"its class is {folder.model}; the worker has {', '.join(loaders)}", FOREIGN
        )
    precision.check(device)
    import torch

    if device.name == "cpu":
        torch.set_num_threads(device.threads)
    return loaders[folder.model](folder, device)
