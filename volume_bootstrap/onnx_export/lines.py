"""Convolutions over time as convolutions along the lines of an image.

ONNX Runtime computes images in blocks of eight channels, which keeps a core a quarter busier than
sequences do. An image may have one line, or a line for each sequence.
"""

import torch

BLOCK_CHANNELS = 8


def convolution(
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
) -> torch.nn.Conv2d:
    """Make the convolution (N, in, lines, time) -> (N, out, lines, time) of a sequence's.

    Channels of zeros fill the last block, on either side.

    Parameters
    ----------
    weight : (out, in, taps)
    bias : (out,)
    """
    out, inside, taps = weight.shape
    full_out, full_in = (-(-n // BLOCK_CHANNELS) * BLOCK_CHANNELS for n in (out, inside))
    layer = torch.nn.Conv2d(
        full_in,
        full_out,
        (1, taps),
        stride=(1, stride),
        padding=(0, padding),
        dilation=(1, dilation),
        bias=bias is not None,
    )
    layer.weight.data.zero_()
    layer.weight.data[:out, :inside, 0] = weight.detach()
    if bias is not None:
        layer.bias.data.zero_()
        layer.bias.data[:out] = bias.detach()
    return layer


def of_conv1d(layer: torch.nn.Conv1d) -> torch.nn.Conv2d:
    """Do along lines what `layer` does along a sequence."""
    (stride,), (padding,), (dilation,) = layer.stride, layer.padding, layer.dilation
    return convolution(layer.weight, layer.bias, stride, padding, dilation)


def of_batch_norm1d(layer: torch.nn.BatchNorm1d) -> torch.nn.BatchNorm2d:
    """Do to an image what `layer` does to a sequence."""
    norm = torch.nn.BatchNorm2d(layer.num_features, affine=layer.affine)
    norm.load_state_dict(layer.state_dict())
    return norm
