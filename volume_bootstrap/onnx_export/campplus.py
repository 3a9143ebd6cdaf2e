"""CAM++ (Wang et al. 2023, arXiv:2303.00332) as torch modules: as published, and over tiles."""

from copy import deepcopy

import torch

from volume_bootstrap.onnx_export.lines import of_batch_norm1d, of_conv1d

MAX_TILE_FRAMES = 200
"""What a frame's context is: the mean of its stretch of 200 frames, and that of all frames. Up to
here the two are one."""


def published() -> torch.nn.Module:
    """Join FunASR's components as its ``CAMPPlus.__init__`` does: [N, T, 80] -> [N, 192].

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


class Tiled(torch.nn.Module):  # type: ignore[misc]
    """CAM++ up to its statistics on each tile, from there on for each window.

    `tiles` [K, T, 80] of at most MAX_TILE_FRAMES, `windows` [N, M] -> `embedding` [N, 192]. Until
    the statistics the tiles are the lines of one image.
    """

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.head = network.head
        self.rows = _in_lines(deepcopy(network.xvector[:-2]))
        self.embedding = network.xvector[-2:]

    def forward(self, tiles: torch.Tensor, windows: torch.Tensor) -> torch.Tensor:
        frames = (tiles - tiles.mean(1, keepdim=True)).transpose(1, 2)
        image = self.head(frames).transpose(0, 1).unsqueeze(0)  # (1, 320, K, T)
        rows = self.rows(image)[0].flatten(1)  # (512, K * T / 2)
        embedding: torch.Tensor = self.embedding(rows[:, windows].transpose(0, 1))
        return embedding


def _in_lines(module: torch.nn.Module) -> torch.nn.Module:
    """The layers that do for the lines of an image what those of `module` do for a sequence."""
    if isinstance(module, torch.nn.Conv1d):
        return of_conv1d(module)
    if isinstance(module, torch.nn.BatchNorm1d):
        return of_batch_norm1d(module)
    if hasattr(module, "seg_pooling"):
        return _ContextMask(module)
    for name, child in module.named_children():
        setattr(module, name, _in_lines(child))
    return module


class _ContextMask(torch.nn.Module):  # type: ignore[misc]
    """FunASR's ``CAMLayer`` for lines of at most MAX_TILE_FRAMES."""

    def __init__(self, layer: torch.nn.Module) -> None:
        super().__init__()
        self.local = of_conv1d(layer.linear_local)
        self.linear1, self.linear2 = of_conv1d(layer.linear1), of_conv1d(layer.linear2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean = x.mean(-1, keepdim=True)
        context = mean + mean  # of all frames, and of the stretch
        mask = torch.sigmoid(self.linear2(torch.relu(self.linear1(context))))
        masked: torch.Tensor = self.local(x) * mask
        return masked
