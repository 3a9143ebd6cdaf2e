"""FSMN-VAD's encoder as convolutions."""

import torch
from torch.nn import Conv2d, ReLU

from volume_bootstrap.onnx_export.lines import convolution


class SilenceProbability(torch.nn.Module):  # type: ignore[misc]
    """`frames` [1, T + 4, 80] -> `silence_probability` [1, T]; the same function, joined.

    Linear layers are convolutions of one tap, so that nothing is transposed between them and the
    memory blocks. What is linear is joined: normalisation and the first layer, which has five taps
    for the five frames; a memory block and the path around it; the last two layers and, for the
    softmax, the difference of each score from the first, which is that of silence.

    Parameters
    ----------
    encoder : FunASR's ``FSMN``
    shift, scale : (400,) each, of the five frames that it sees at a time.
    """

    def __init__(self, encoder: torch.nn.Module, shift: torch.Tensor, scale: torch.Tensor) -> None:
        super().__init__()
        stacked = encoder.in_linear1.linear
        weight, bias = stacked.weight * scale, stacked.bias + stacked.weight @ (shift * scale)
        layers = [convolution(weight.unflatten(1, (5, 80)).transpose(1, 2), bias)]
        layers += [_of_linear(encoder.in_linear2.linear), ReLU()]
        for block in encoder.fsmn:
            memory = block.fsmn_block.conv_left.weight[..., 0].clone()  # (dim, 1, order)
            memory[:, :, -1] += 1  # the frame itself
            layers += [_of_linear(block.linear.linear), *_past(memory)]
            layers += [_of_linear(block.affine.linear), ReLU()]
        first, last = encoder.out_linear1.linear, encoder.out_linear2.linear
        weight, bias = last.weight @ first.weight, last.weight @ first.bias + last.bias
        self.num_scores = len(weight)
        layers.append(convolution((weight - weight[:1])[:, :, None], bias - bias[:1]))
        self.layers = torch.nn.Sequential(*layers)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        line = frames.transpose(1, 2).unsqueeze(2)
        excess = self.layers(line).squeeze(2)[:, : self.num_scores]
        probability: torch.Tensor = 1 / excess.exp().sum(1)
        return probability


def _of_linear(layer: torch.nn.Linear) -> Conv2d:
    return convolution(layer.weight[:, :, None], layer.bias)


def _past(weight: torch.Tensor) -> tuple[torch.nn.Module, Conv2d]:
    """A convolution of each channel that sees a frame and those before it; zeros before the first.

    Parameters
    ----------
    weight : (channels, 1, taps)
    """
    channels, _, taps = weight.shape
    layer = Conv2d(channels, channels, (1, taps), groups=channels, bias=False)
    layer.weight.data = weight.unsqueeze(2).detach()
    return torch.nn.ConstantPad2d((taps - 1, 0, 0, 0), 0.0), layer
