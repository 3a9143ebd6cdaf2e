"""ONNX Runtime sessions: one input, one output, on the device that was asked for."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.device import Device
from worker.errors import StartupError


class OnnxSession:
    """A network on the device; safe to run from several threads.

    Raises
    ------
    StartupError
        ONNX Runtime runs the network elsewhere than on the device that was asked for.
    """

    def __init__(self, path: Path, device: Device) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = device.threads
        options.log_severity_level = 3
        self._session: Any = onnxruntime.InferenceSession(
            path, options, providers=[(device.provider, device.provider_options)]
        )
        if (used := self._session.get_providers()[0]) != device.provider:
            raise StartupError(
                f"ONNX Runtime uses {used} where {device.provider} was asked for ({device.name}). "
                "Check the GPU's driver and the CUDA libraries on the volume, or set "
                "SPEECH_DEVICE=cpu."
            )
        self._input: str = self._session.get_inputs()[0].name

    def run(self, array: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run the network on one input."""
        output: NDArray[np.float32] = self._session.run(None, {self._input: array})[0]
        return output
