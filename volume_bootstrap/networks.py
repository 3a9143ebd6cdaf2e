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

from volume_bootstrap.pyannet import PyanNet
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
    network = _convolutional_vad(encoder, shift, scale).eval()

    def original(frames: torch.Tensor) -> torch.Tensor:
        # The composition of FunASR's front end, frame by frame.
        stacked = frames.unfold(1, 5, 1).transpose(2, 3).flatten(2)
        return encoder((stacked + shift) * scale)[:, :, 0]

    inputs = [(torch.randn(1, n + 4, 80) * 4 + 12,) for n in (1, 37, 500, 6_000)]
    axes = {"frames": {1: "num_frames"}, "silence_probability": {1: "num_outputs"}}
    return _export(network, original, inputs, target, axes)


def campplus(weights: Path, target: Path) -> float:
    """CAM++ over tiles: `tiles` [K, T, 80], `windows` [N, M] -> `embedding` [N, 192].

    Tiles are log-mel frames that follow each other, T is even. The network hears each by itself,
    its mean subtracted, and gives a row for two frames; a window is the indices of the rows that
    its statistics are taken of. Where windows overlap, what they share is computed once.
    """
    # Each of the published models names its file otherwise.
    files = sorted(path for suffix in ("pt", "bin") for path in weights.glob(f"*.{suffix}"))
    if len(files) != 1:
        names = ", ".join(path.name for path in files) or "none"
        raise FileNotFoundError(f"{weights} holds as .pt and .bin: {names}; expected one file")
    network = _camplus_network().eval()
    network.load_state_dict(torch.load(files[0], map_location="cpu", weights_only=True))

    def original(tiles: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
        # The published network, for windows that are tiles.
        embedding: torch.Tensor = network(tiles - tiles.mean(1, keepdim=True))
        return embedding

    inputs = [
        (torch.randn(k, t, 80) * 2 - 8, torch.arange(k * t // 2).view(k, t // 2))
        for k, t in ((1, 148), (8, 148), (3, 298), (2, 48))
    ]
    axes = {
        "tiles": {0: "num_tiles", 1: "num_frames"},
        "windows": {0: "num_windows", 1: "num_rows"},
        "embedding": {0: "num_windows"},
    }
    return _export(_Tiled(network).eval(), original, inputs, target, axes)


class _Tiled(torch.nn.Module):  # type: ignore[misc]
    """CAM++ up to its statistics on each tile, from there on for each window."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.head = network.head
        self.rows = network.xvector[:-2]
        self.embedding = network.xvector[-2:]

    def forward(self, tiles: torch.Tensor, windows: torch.Tensor) -> torch.Tensor:
        frames = (tiles - tiles.mean(1, keepdim=True)).transpose(1, 2)
        rows = self.rows(self.head(frames)).transpose(0, 1).flatten(1)  # (512, K * T / 2)
        embedding: torch.Tensor = self.embedding(rows[:, windows].transpose(0, 1))
        return embedding


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


def _convolutional_vad(
    encoder: torch.nn.Module, shift: torch.Tensor, scale: torch.Tensor
) -> torch.nn.Module:
    """The same function as a row of convolutions over time.

    Linear layers are convolutions of one tap, so that nothing is transposed between them and the
    memory blocks. What is linear is joined: normalisation and the first layer, which has five taps
    for the five frames; a memory block and the path around it; the last two layers and, for the
    softmax, the difference of each score from the first.
    """
    from torch.nn import Conv1d, ReLU

    def linear(layer: torch.nn.Module) -> Conv1d:
        return _conv(layer.linear.weight[:, :, None], layer.linear.bias)

    stacked = encoder.in_linear1.linear
    weight, bias = stacked.weight * scale, stacked.bias + stacked.weight @ (shift * scale)
    layers = [_conv(weight.unflatten(1, (5, 80)).transpose(1, 2), bias)]
    layers += [linear(encoder.in_linear2), ReLU()]
    for block in encoder.fsmn:
        memory = block.fsmn_block.conv_left.weight[..., 0].clone()  # (dim, 1, order)
        memory[:, :, -1] += 1  # the frame itself
        layers += [linear(block.linear), _Past(_conv(memory, None, groups=len(memory)))]
        layers += [linear(block.affine), ReLU()]
    first, last = encoder.out_linear1.linear, encoder.out_linear2.linear
    weight, bias = last.weight @ first.weight, last.weight @ first.bias + last.bias
    joined = _conv((weight - weight[:1])[:, :, None], bias - bias[:1])
    return _FirstProbability(torch.nn.Sequential(*layers, joined))


def _conv(weight: torch.Tensor, bias: torch.Tensor | None, groups: int = 1) -> torch.nn.Conv1d:
    """A convolution over time: weight (out, in / groups, taps)."""
    out, inside, taps = weight.shape
    layer = torch.nn.Conv1d(inside * groups, out, taps, groups=groups, bias=bias is not None)
    layer.weight.data = weight.detach().contiguous()
    if bias is not None:
        layer.bias.data = bias.detach()
    return layer


class _Past(torch.nn.Module):  # type: ignore[misc]
    """A convolution that sees a frame and those before it; zeros before the first."""

    def __init__(self, convolution: torch.nn.Conv1d) -> None:
        super().__init__()
        self.pad = torch.nn.ConstantPad1d((convolution.kernel_size[0] - 1, 0), 0.0)
        self.convolution = convolution

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        past: torch.Tensor = self.convolution(self.pad(x))
        return past


class _FirstProbability(torch.nn.Module):  # type: ignore[misc]
    """Frames [1, T + 4, 80] -> what softmax gives the first of all scores [1, T].

    `network` gives by how much each score exceeds the first.
    """

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        excess = self.network(frames.transpose(1, 2))
        probability: torch.Tensor = 1 / excess.exp().sum(1)
        return probability


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
