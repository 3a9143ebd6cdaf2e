"""How CTranslate2, which runs Whisper, is told to use a device."""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from worker.device import Device
from worker.errors import StartupError

MAX_CPU_RUNS = 4
"""Runs of the model side by side, each with its share of the threads: threads of one run wait for
each other after every operator. More runs would read all the weights too many times."""

CUBLAS_FOLDER = Path("nvidia", "cublas", "lib")
CUBLAS = ("libcublasLt.so.12", "libcublas.so.12")
"""The second needs the first."""


def place(device: Device) -> dict[str, str | int]:
    """Return what `WhisperModel` is told of the device, its precision and its threads.

    Raises
    ------
    StartupError
        CTranslate2 cannot use the device in that precision.
    RuntimeError, ValueError
        It cannot use the device at all: see `refused`.
    """
    kind, _, index = device.name.partition(":")
    told: dict[str, str | int] = {"device": kind, "compute_type": _compute_type(device)}
    if kind == "cpu":
        runs, threads = cpu_runs(device.threads)
        return {**told, "num_workers": runs, "cpu_threads": threads}
    return {**told, "device_index": int(index or 0)}


def cpu_runs(threads: int) -> tuple[int, int]:
    """Return how many runs of the model go on side by side, and the threads of each.

    No thread is left idle: where they cannot be shared out evenly, some runs have one too many.
    """
    fewest = min(threads, 2)
    most = min(threads, MAX_CPU_RUNS)
    runs = min(range(most, fewest - 1, -1), key=lambda n: -threads % n)
    return runs, -(-threads // runs)


def _compute_type(device: Device) -> str:
    import ctranslate2

    kind, _, index = device.name.partition(":")
    wanted: str = device.precision
    if wanted == "int8":
        wanted = "int8_float32" if kind == "cpu" else "int8_float16"
    allowed = ctranslate2.get_supported_compute_types(kind, int(index or 0))
    if wanted not in allowed:
        raise StartupError(
            f"Whisper cannot run in {device.precision} on {device.name}: CTranslate2 "
            f"{ctranslate2.__version__} has {', '.join(sorted(allowed))} there. Set "
            "SPEECH_PRECISION to float32, bfloat16, float16 or int8, as far as they are among "
            "these, or to auto."
        )
    return wanted


@contextmanager
def refused(device: Device) -> Iterator[None]:
    """Turn what CTranslate2 raises on a GPU into an error that names the remedy.

    Its errors are plain ones, for a missing library, driver or device and for lack of memory alike.
    On a CPU they are not about the device, and stay what they are.

    Raises
    ------
    StartupError
        Something within failed on the GPU.
    """
    try:
        yield
    except (RuntimeError, ValueError, OSError) as error:
        if device.name == "cpu":
            raise
        import ctranslate2

        raise StartupError(
            f"CTranslate2 {ctranslate2.__version__} cannot use {device.name}: {error}. Check the "
            "GPU's driver and free memory, and that the volume was provisioned for CUDA, with "
            "nvidia-cublas-cu12; or set SPEECH_DEVICE=cpu."
        ) from error


def load_cublas() -> list[str]:
    """Load cuBLAS from its wheel on the volume, before CTranslate2 asks for it by its bare name.

    The volume is on no library path; a library that is loaded already is found by that name. Where
    there is no wheel, the system's loader looks. Never run on a GPU.

    Returns
    -------
    The paths of the libraries that were loaded.

    Raises
    ------
    OSError
        A library is there and cannot be loaded.
    """
    folders = [Path(entry) / CUBLAS_FOLDER for entry in sys.path]
    folder = next((each for each in folders if (each / CUBLAS[-1]).is_file()), None)
    if folder is None:
        return []
    paths = [str(folder / name) for name in CUBLAS]
    for path in paths:
        ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
    return paths
