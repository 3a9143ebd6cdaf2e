"""Which device the models run on: decided once, and never a quiet fall-back."""

import contextlib
import io
import logging
from dataclasses import dataclass
from pathlib import Path

from worker.errors import StartupError

logger = logging.getLogger(__name__)

CUDA_PROVIDER = "CUDAExecutionProvider"
CPU_PROVIDER = "CPUExecutionProvider"


@dataclass(frozen=True, slots=True)
class Device:
    """A device and the CPU threads that the models may use beside it."""

    name: str
    threads: int

    @property
    def provider(self) -> str:
        """ONNX Runtime's name for what runs a network on the device."""
        return CPU_PROVIDER if self.name == "cpu" else CUDA_PROVIDER

    @property
    def provider_options(self) -> dict[str, str]:
        return {} if self.name == "cpu" else {"device_id": self.name.removeprefix("cuda:")}


def choose(name: str, threads: int) -> Device:
    """Turn SPEECH_DEVICE into a device.

    ``auto`` is the first GPU where there is one and this ONNX Runtime can use it, else the CPU.

    Raises
    ------
    StartupError
        CUDA was asked for and ONNX Runtime cannot use it.
    """
    import onnxruntime

    has_cuda = CUDA_PROVIDER in onnxruntime.get_available_providers()
    has_gpu = any(Path("/dev").glob("nvidia[0-9]*"))
    if name == "cpu" or (name == "auto" and not (has_cuda and has_gpu)):
        return Device("cpu", threads)
    if not has_cuda:
        raise StartupError(
            f"SPEECH_DEVICE={name}, but the volume's ONNX Runtime {onnxruntime.__version__} has no "
            "CUDA. Provision the volume with a project that holds onnxruntime-gpu, or set "
            "SPEECH_DEVICE=cpu."
        )
    _load_cuda()
    return Device(name if name.startswith("cuda:") else "cuda:0", threads)


def _load_cuda() -> None:
    """Load NVIDIA's libraries from their wheels on the volume, before the first session needs them.

    The image has none, and the volume is on no library path. What cannot be loaded is logged here;
    the first session then refuses to run elsewhere.
    """
    import onnxruntime

    with contextlib.redirect_stdout(io.StringIO()) as said:
        onnxruntime.preload_dlls()
    for line in said.getvalue().splitlines():
        logger.warning("%s", line)
