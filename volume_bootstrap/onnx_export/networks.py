"""The networks as torch modules, exported to ONNX and compared with it.

`volume_bootstrap.onnx_export.exporter` runs `main` in a process of its own, with torch and
FunASR on the path; it prints ``{"max_difference": ...}``. FSMN-VAD and CAM++
are FunASR's own, laid out for ONNX Runtime (fsmn.py, campplus.py); PyanNet is
pyannote's, written anew (pyannet.py). What is added around them is what the
worker would else do for every job.
"""

import itertools
import json
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import yaml

from volume_bootstrap.onnx_export.campplus import MAX_TILE_FRAMES, Tiled, published
from volume_bootstrap.onnx_export.fsmn import SilenceProbability
from volume_bootstrap.onnx_export.pyannet import PyanNet
from volume_bootstrap.slim_funasr import import_funasr


def fsmn_vad(weights: Path, target: Path) -> float:
    """FSMN-VAD: `frames` [1, T + 4, 80] -> `silence_probability` [1, T].

    Takes log-mel frames with two more on each side; stacks five frames onto each (FunASR's
    low frame rate, lfr_m 5, lfr_n 1) and normalises them (am.mvn) inside the graph.
    """
    from funasr.models.fsmn_vad_streaming.encoder import FSMN

    config = yaml.safe_load((weights / "config.yaml").read_text(encoding="utf-8"))
    encoder = FSMN(**config["encoder_conf"])
    state = torch.load(weights / "model.pt", map_location="cpu", weights_only=True)
    encoder.load_state_dict({k.removeprefix("encoder."): v for k, v in state.items()})
    shift, scale = read_cmvn(weights / "am.mvn")
    network = SilenceProbability(encoder, shift, scale).eval()

    def original(frames: torch.Tensor) -> torch.Tensor:
        # The composition of FunASR's front end, frame by frame.
        stacked = frames.unfold(1, 5, 1).transpose(2, 3).flatten(2)
        return encoder((stacked + shift) * scale)[:, :, 0]

    inputs = [(torch.randn(1, n + 4, 80) * 4 + 12,) for n in (1, 37, 500, 6_000)]
    axes = {"frames": {1: "num_frames"}, "silence_probability": {1: "num_outputs"}}
    return _export(network, original, inputs, target, axes)


def campplus(weights: Path, target: Path) -> float:
    """CAM++ over tiles: `tiles` [K, T, 80], `windows` [N, M] -> `embedding` [N, 192].

    Tiles are log-mel frames, T is even and at most MAX_TILE_FRAMES. The network hears each by
    itself, its mean subtracted, and gives a row for two frames; a window is the indices of the rows
    that its statistics are taken of. Where windows overlap, what they share is computed once.
    """
    # Each of the published models names its file otherwise.
    files = sorted(path for suffix in ("pt", "bin") for path in weights.glob(f"*.{suffix}"))
    if len(files) != 1:
        names = ", ".join(path.name for path in files) or "none"
        raise FileNotFoundError(f"{weights} holds as .pt and .bin: {names}; expected one file")
    network = published().eval()
    network.load_state_dict(torch.load(files[0], map_location="cpu", weights_only=True))

    def original(tiles: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
        # The published network, for windows that are tiles.
        embedding: torch.Tensor = network(tiles - tiles.mean(1, keepdim=True))
        return embedding

    inputs = [
        (torch.randn(k, t, 80) * 2 - 8, torch.arange(k * t // 2).view(k, t // 2))
        for k, t in ((1, 148), (8, 148), (3, MAX_TILE_FRAMES), (2, 48))
    ]
    axes = {
        "tiles": {0: "num_tiles", 1: "num_frames"},
        "windows": {0: "num_windows", 1: "num_rows"},
        "embedding": {0: "num_windows"},
    }
    return _export(Tiled(network).eval(), original, inputs, target, axes)


def pyannet(weights: Path, target: Path) -> float:
    """PyanNet: `waveform` [N, S] -> `probability` [N, T, 7]."""
    (file,) = weights.glob("*.pt")
    checkpoint = torch.load(file, map_location="cpu", weights_only=True)
    network = PyanNet(checkpoint["state_dict"]).eval()
    inputs = [(torch.randn(n, s) * 0.1,) for n, s in ((1, 1_261), (2, 159_751), (4, 40_000))]
    axes = {
        "waveform": {0: "num_windows", 1: "num_samples"},
        "probability": {0: "num_windows", 1: "num_frames"},
    }
    return _export(network, network, inputs, target, axes)


def read_cmvn(path: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Shift and scale of a Kaldi ``am.mvn``: (400,) each."""
    rows = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
    values = [
        torch.tensor([float(v) for v in after[3:-1]])
        for before, after in itertools.pairwise(rows)
        if before[:1] in (["<AddShift>"], ["<Rescale>"])
    ]
    shift, scale = values
    return shift, scale


def _export(
    network: torch.nn.Module,
    original: Callable[..., torch.Tensor],
    inputs: Sequence[tuple[torch.Tensor, ...]],
    target: Path,
    axes: dict[str, dict[int, str]],
) -> float:
    """Write the ONNX file; return the largest difference from `original` on `inputs`.

    Parameters
    ----------
    axes : by the name of each input, in order, and of the output: its dynamic axes.
    """
    import onnxruntime

    *names, output = axes
    with warnings.catch_warnings():
        # The older exporter takes 6 s for CAM++, the newer 50 s, for graphs that run as fast.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            inputs[1],
            target,
            input_names=names,
            output_names=[output],
            dynamic_axes=axes,
            opset_version=17,
            dynamo=False,
        )
    session = onnxruntime.InferenceSession(target, providers=["CPUExecutionProvider"])
    differences = []
    for arrays in inputs:
        with torch.inference_mode():
            expected = original(*arrays).numpy()
        fed = {name: array.numpy() for name, array in zip(names, arrays, strict=True)}
        (found,) = session.run(None, fed)
        if found.shape != expected.shape:
            raise ValueError(f"ONNX gives shape {found.shape}, torch {expected.shape}")
        differences.append(float(np.abs(found - expected).max()))
    return max(differences)


NETWORKS = {"fsmn_vad": fsmn_vad, "campplus": campplus, "pyannet": pyannet}


def main(network: str, weights: str, target: str) -> None:
    """Export one network and print how far it is from the original."""
    torch.manual_seed(0)
    import_funasr()
    difference = NETWORKS[network](Path(weights), Path(target))
    print(json.dumps({"max_difference": difference}))  # noqa: T201
