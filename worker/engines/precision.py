"""The precision of torch's networks: weights in fewer bits, where the device gains by it."""

import warnings
from typing import Any

from worker.device import Device
from worker.errors import StartupError

TORCH_TYPES = ("float32", "bfloat16", "float16")


def check(device: Device) -> None:
    """See that FunASR's models can run so.

    Raises
    ------
    StartupError
        int8 on a GPU, for which torch has no such layers.
    """
    if device.precision == "int8" and device.name != "cpu":
        raise StartupError(
            f"SPEECH_PRECISION=int8 on {device.name}: FunASR's models run in int8 on a CPU alone. "
            f"Allowed there: {', '.join(TORCH_TYPES)} and auto."
        )


def quantise(network: Any) -> None:  # noqa: ANN401 - a torch module
    """Replace every linear layer inside `network` by one with weights in int8.

    Each row of the weights has a scale of its own; what goes in is quantised as it comes
    (dynamic quantisation), so that nothing has to be calibrated.
    """
    import torch
    from torch.ao.nn.quantized.dynamic import Linear
    from torch.ao.quantization import per_channel_dynamic_qconfig

    with warnings.catch_warnings():
        # torch 2.13 announces the end of these tensors and has no other int8 layer for a CPU.
        warnings.filterwarnings("ignore", message=".*quantize_per_channel", category=UserWarning)
        for module in list(network.modules()):
            for name, child in list(module.named_children()):
                if type(child) is torch.nn.Linear:
                    child.qconfig = per_channel_dynamic_qconfig
                    setattr(module, name, Linear.from_float(child.float()))


def place(network: Any, device: Device) -> Any:  # noqa: ANN401 - a torch module
    """Put a network on the device in the precision of it."""
    import torch

    if device.precision == "int8":
        network = network.float()
        quantise(network)
        return network
    return network.to(device.name, getattr(torch, device.precision))
