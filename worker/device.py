"""Which device the models run on: decided once, and never a quiet fall-back."""

import contextlib
import ctypes
import gc
import io
import logging
import resource
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from worker import gpu_memory
from worker.errors import StartupError

logger = logging.getLogger(__name__)

CUDA_PROVIDER = "CUDAExecutionProvider"
CPU_PROVIDER = "CPUExecutionProvider"


Precision = Literal["float32", "bfloat16", "float16", "int8"]
CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Device:
    """A device, the CPU threads that the models may use beside it, and the precision of ASR.

    int8 is that of the weights: where it is no faster, the rest stays float32 (CPU) or float16.
    """

    name: str
    threads: int
    precision: Precision

    @property
    def provider(self) -> str:
        """ONNX Runtime's name for what runs a network on the device."""
        return CPU_PROVIDER if self.name == "cpu" else CUDA_PROVIDER

    @property
    def provider_options(self) -> dict[str, str]:
        if self.name == "cpu":
            return {}
        return {
            "device_id": self.name.removeprefix("cuda:"),
            # The default tries all algorithms of each convolution for each new shape, and nearly
            # every recording has some: its end is as long as it is.
            "cudnn_conv_algo_search": "HEURISTIC",
        }

    def free_bytes(self) -> int:
        """Memory that a batch may take: what is free on the GPU, or left to the container."""
        if self.name != "cpu":
            return gpu_memory.free_and_total(self._index)[0] + self._spare_bytes()
        return min(_meminfo("MemAvailable"), _cgroup_bytes())

    def total_bytes(self) -> int:
        """Memory of the GPU, or of the container."""
        if self.name != "cpu":
            return gpu_memory.free_and_total(self._index)[1]
        return min(_meminfo("MemTotal"), _cgroup_limit())

    def used_bytes(self) -> int:
        """What is taken on the GPU, or by this process."""
        if self.name != "cpu":
            return self.total_bytes() - self.free_bytes()
        return resident_bytes()

    def release(self) -> None:
        """Give back what the libraries hold of models that are gone."""
        gc.collect()
        if self.name == "cpu":
            # The C library keeps what was freed: 120 MB after nine small models came and went.
            ctypes.CDLL(None).malloc_trim(0)
        elif cuda := _torch_cuda():
            cuda.empty_cache()

    @property
    def _index(self) -> int:
        return int(self.name.removeprefix("cuda:"))

    def _spare_bytes(self) -> int:
        """What torch, where it is loaded, holds of the GPU and does not use."""
        cuda = _torch_cuda()
        if cuda is None:
            return 0
        return int(cuda.memory_reserved(self.name) - cuda.memory_allocated(self.name))


def resident_bytes() -> int:
    """Memory that this process takes."""
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * resource.getpagesize()


def _torch_cuda() -> Any:  # noqa: ANN401 - its package is heavy
    """Return torch's part for GPUs, or None where torch is not loaded, or not yet to that part."""
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    return cuda if hasattr(cuda, "memory_reserved") else None


def _meminfo(name: str) -> int:
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return sys.maxsize


def _cgroup_limit() -> int:
    """What the container may use in all; of control groups, only version 2 is asked."""
    try:
        limit = (CGROUP / "memory.max").read_text(encoding="ascii").strip()
    except FileNotFoundError:  # no control group of version 2 is mounted here
        return sys.maxsize
    return sys.maxsize if limit == "max" else int(limit)


def _cgroup_bytes() -> int:
    """What the container's limit leaves; page cache that can be given up counts as free."""
    limit = _cgroup_limit()
    if limit == sys.maxsize:
        return limit
    used = int((CGROUP / "memory.current").read_text(encoding="ascii"))
    stat = (CGROUP / "memory.stat").read_text(encoding="ascii").split()
    return limit - used + int(stat[stat.index("inactive_file") + 1])


def choose(name: str, threads: int, precision: Precision | None = None) -> Device:
    """Turn SPEECH_DEVICE and SPEECH_PRECISION into a device.

    ``auto`` is the first GPU where there is one and this ONNX Runtime can use it, else the CPU.
    Without a precision it is float16 on a GPU and float32 on a CPU.

    Raises
    ------
    StartupError
        CUDA was asked for and ONNX Runtime cannot use it.
    """
    import onnxruntime

    has_cuda = CUDA_PROVIDER in onnxruntime.get_available_providers()
    has_gpu = any(Path("/dev").glob("nvidia[0-9]*"))
    if name == "cpu" or (name == "auto" and not (has_cuda and has_gpu)):
        return Device("cpu", threads, precision or "float32")
    if not has_cuda:
        raise StartupError(
            f"SPEECH_DEVICE={name}, but the volume's ONNX Runtime {onnxruntime.__version__} has no "
            "CUDA. Provision the volume with a project that holds onnxruntime-gpu, or set "
            "SPEECH_DEVICE=cpu."
        )
    _load_cuda()
    gpu = name if name.startswith("cuda:") else "cuda:0"
    return Device(gpu, threads, precision or "float16")


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
