"""The networks as torch modules, exported to ONNX and compared with it.

`volume_bootstrap.export` runs `main` in a process of its own, with torch and
FunASR on the path; it prints ``{"max_difference": ...}``. The networks are
FunASR's own; what is added around them here is what the worker would else do
for every job.
"""

import itertools
import json
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import yaml

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
    network = _StackedVad(encoder, shift, scale).eval()

    def original(frames: torch.Tensor) -> torch.Tensor:
        # The composition of FunASR's front end, frame by frame.
        stacked = frames.unfold(1, 5, 1).transpose(2, 3).flatten(2)
        return encoder((stacked + shift) * scale)[:, :, 0]

    inputs = [torch.randn(1, n + 4, 80) * 4 + 12 for n in (1, 37, 500, 6_000)]
    names = ("frames", "silence_probability")
    return _export(network, original, inputs, target, names, {1: "num_frames"})


def campplus(weights: Path, target: Path) -> float:
    """CAM++: `frames` [N, T, 80], the mean of each window subtracted -> `embedding` [N, 192]."""
    # Each of the published models names its file otherwise.
    files = sorted(path for suffix in ("pt", "bin") for path in weights.glob(f"*.{suffix}"))
    if len(files) != 1:
        names = ", ".join(path.name for path in files) or "none"
        raise FileNotFoundError(f"{weights} holds as .pt and .bin: {names}; expected one file")
    network = _camplus_network().eval()
    network.load_state_dict(torch.load(files[0], map_location="cpu", weights_only=True))
    inputs = [torch.randn(n, t, 80) * 2 for n, t in ((1, 148), (16, 148), (7, 298), (3, 48))]
    axes = {0: "num_windows", 1: "num_frames"}
    return _export(network, network, inputs, target, ("frames", "embedding"), axes)


def _camplus_network() -> torch.nn.Module:
    """Join FunASR's components as its ``CAMPPlus.__init__`` does.

    The class itself lives in a module that imports librosa and a row of packages for reading
    audio; loading the weights strictly proves that the joints are the same.
    """
    from funasr.models.campplus import components as c

    style = "batchnorm-relu"
    growth, channels = 32, 128
    head = c.FCM(feat_dim=80)
    layers: dict[str, torch.nn.Module] = {
        "tdnn": c.TDNNLayer(
            head.out_channels, channels, 5, stride=2, dilation=1, padding=-1, config_str=style
        )
    }
    blocks = ((12, 3, 1), (24, 3, 2), (16, 3, 2))
    for number, (depth, kernel, dilation) in enumerate(blocks, start=1):
        layers[f"block{number}"] = c.CAMDenseTDNNBlock(
            num_layers=depth,
            in_channels=channels,
            out_channels=growth,
            bn_channels=4 * growth,
            kernel_size=kernel,
            dilation=dilation,
            config_str=style,
        )
        channels += depth * growth
        layers[f"transit{number}"] = c.TransitLayer(
            channels, channels // 2, bias=False, config_str=style
        )
        channels //= 2
    layers["out_nonlinear"] = c.get_nonlinear(style, channels)
    layers["stats"] = c.StatsPool()
    layers["dense"] = c.DenseLayer(channels * 2, 192, config_str="batchnorm_")

    class CamPlusPlus(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.head = head
            self.xvector = torch.nn.Sequential()
            for name, layer in layers.items():
                self.xvector.add_module(name, layer)

        def forward(self, frames: torch.Tensor) -> torch.Tensor:
            embedding: torch.Tensor = self.xvector(self.head(frames.permute(0, 2, 1)))
            return embedding

    return CamPlusPlus()


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


class _StackedVad(torch.nn.Module):  # type: ignore[misc]
    """The encoder with its front end's stacking and normalisation before it."""

    def __init__(self, encoder: torch.nn.Module, shift: torch.Tensor, scale: torch.Tensor) -> None:
        super().__init__()
        self.encoder = encoder
        self.register_buffer("shift", shift)
        self.register_buffer("scale", scale)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        # Slices rather than unfold: they export to plain operators.
        shifted = [
            frames[:, 0:-4],
            frames[:, 1:-3],
            frames[:, 2:-2],
            frames[:, 3:-1],
            frames[:, 4:],
        ]
        scores: torch.Tensor = self.encoder((torch.cat(shifted, dim=2) + self.shift) * self.scale)
        return scores[:, :, 0]


def _export(
    network: torch.nn.Module,
    original: Callable[[torch.Tensor], torch.Tensor],
    inputs: Sequence[torch.Tensor],
    target: Path,
    names: tuple[str, str],
    axes: dict[int, str],
) -> float:
    """Write the ONNX file; return the largest difference from `original` on `inputs`."""
    import onnxruntime

    with warnings.catch_warnings():
        # The older exporter takes 6 s for CAM++, the newer 50 s, for graphs that run as fast.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (inputs[1],),
            target,
            input_names=[names[0]],
            output_names=[names[1]],
            dynamic_axes={names[0]: axes},
            opset_version=17,
            dynamo=False,
        )
    session = onnxruntime.InferenceSession(target, providers=["CPUExecutionProvider"])
    differences = []
    for frames in inputs:
        with torch.inference_mode():
            expected = original(frames).numpy()
        (found,) = session.run(None, {names[0]: frames.numpy()})
        if found.shape != expected.shape:
            raise ValueError(f"ONNX gives shape {found.shape}, torch {expected.shape}")
        differences.append(float(np.abs(found - expected).max()))
    return max(differences)


NETWORKS = {"fsmn_vad": fsmn_vad, "campplus": campplus}


def main(network: str, weights: str, target: str) -> None:
    """Export one network and print how far it is from the original."""
    torch.manual_seed(0)
    import_funasr()
    difference = NETWORKS[network](Path(weights), Path(target))
    print(json.dumps({"max_difference": difference}))  # noqa: T201
