"""Memory of a GPU, as NVIDIA's driver tells it: a worker that only diarizes imports no torch."""

import ctypes
from functools import cache

from worker.errors import StartupError

LIBRARY = "libcuda.so.1"
"""The driver's own library: it is there wherever a GPU is."""


def free_and_total(index: int) -> tuple[int, int]:
    """Bytes that are free on a GPU, and all that it has; numbered as CUDA numbers them.

    Never run on a GPU.

    Raises
    ------
    StartupError
        The driver does not answer.
    """
    driver, context = _context(index)
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    _check("cuCtxPushCurrent", driver.cuCtxPushCurrent_v2(context))
    try:
        told = driver.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total))
    finally:
        driver.cuCtxPopCurrent_v2(ctypes.byref(ctypes.c_void_p()))
    _check("cuMemGetInfo", told)
    return free.value, total.value


@cache
def _context(index: int) -> tuple[ctypes.CDLL, ctypes.c_void_p]:
    """The GPU's primary context, which all libraries share; it is kept, as theirs are."""
    try:
        driver = ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise StartupError(f"{LIBRARY} of the GPU's driver cannot be loaded: {error}.") from error
    _check("cuInit", driver.cuInit(0))
    device, context = ctypes.c_int(), ctypes.c_void_p()
    _check("cuDeviceGet", driver.cuDeviceGet(ctypes.byref(device), index))
    _check(
        "cuDevicePrimaryCtxRetain", driver.cuDevicePrimaryCtxRetain(ctypes.byref(context), device)
    )
    return driver, context


def _check(call: str, code: int) -> None:
    if code:
        raise StartupError(
            f"{call} of the GPU's driver fails with CUDA error {code}. Check the GPU and its "
            "driver, or set SPEECH_DEVICE=cpu."
        )
