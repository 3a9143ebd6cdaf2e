"""The encoder of SenseVoiceSmall, run for inference.

SAN-M (https://arxiv.org/abs/2006.01713) is self-attention with a memory: a depthwise convolution
over the values, added to what attention gives. The modules and their weights are FunASR's; the
steps are those of its ``SenseVoiceEncoderSmall.forward`` (funasr 1.4.16,
models/sense_voice/model.py) with torch's fused attention, which never holds the scores of every
frame with every other, and without dropout or masks that mask nothing.
"""

from collections.abc import Sequence
from typing import Any

Tensor = Any


def encode(encoder: Any, frames: Tensor, lengths: Sequence[int]) -> Tensor:  # noqa: ANN401
    """Encode a batch; what lies behind the end of an item changes nothing in it.

    With weights in int8 it may change the last digits: what goes into a layer is then quantised in
    steps that follow from the least and the greatest value of the whole batch, padding included.

    Parameters
    ----------
    encoder : a ``SenseVoiceEncoderSmall``
    frames : (batch, num_frames, input_dim) float32
    lengths : of each item, in frames

    Returns
    -------
    (batch, num_frames, dim) in the precision of the encoder; arbitrary beyond the lengths
    """
    import torch

    num_frames, dim = frames.shape[1:]
    positions = torch.arange(1, num_frames + 1, device=frames.device)[None]
    # In float32: bfloat16 has no name for the 257th position.
    x = frames * encoder.output_size() ** 0.5 + encoder.embed.encode(positions, dim, torch.float32)
    x = x.to(encoder.after_norm.weight.dtype)

    kept = None
    if min(lengths) < num_frames:
        ends = torch.tensor(lengths, device=frames.device)
        # (batch, num_frames)
        kept = torch.arange(num_frames, device=frames.device) < ends[:, None]
    for layer in (*encoder.encoders0, *encoder.encoders):
        x = _layer(layer, x, kept)
    x = _norm(encoder.after_norm, x)
    for layer in encoder.tp_encoders:
        x = _layer(layer, x, kept)
    return _norm(encoder.tp_norm, x)


def _layer(layer: Any, x: Tensor, kept: Tensor | None) -> Tensor:  # noqa: ANN401
    attended = _attention(layer.self_attn, _norm(layer.norm1, x), kept)
    # The first layer changes the width, so that there is nothing to add to.
    x = x + attended if layer.in_size == layer.size else attended
    feed = layer.feed_forward
    return x + feed.w_2(feed.w_1(_norm(layer.norm2, x)).relu_())


def _attention(module: Any, x: Tensor, kept: Tensor | None) -> Tensor:  # noqa: ANN401
    import torch

    batch, num_frames, _ = x.shape
    query, key, value = module.linear_q_k_v(x).chunk(3, dim=-1)
    memory = _memory(module, value, kept)
    # (batch, heads, num_frames, dim / heads) each
    query, key, value = (
        part.view(batch, num_frames, module.h, module.d_k).transpose(1, 2)
        for part in (query, key, value)
    )
    mask = None if kept is None else kept[:, None, None, :]
    attended = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    merged = attended.transpose(1, 2).reshape(batch, num_frames, -1)
    return module.linear_out(merged) + memory


def _memory(module: Any, value: Tensor, kept: Tensor | None) -> Tensor:  # noqa: ANN401
    """Convolve the values of each item over time, as if it were alone: (batch, num_frames, dim)."""
    if kept is not None:
        value = value * kept[:, :, None]
    convolved = module.fsmn_block(module.pad_fn(value.transpose(1, 2)))
    return convolved.transpose(1, 2) + value


def _norm(norm: Any, x: Tensor) -> Tensor:  # noqa: ANN401
    """Normalise as FunASR's ``LayerNorm``, without its copies to float32: torch sums in that."""
    import torch

    return torch.nn.functional.layer_norm(
        x, norm.normalized_shape, norm.weight, norm.bias, norm.eps
    )
