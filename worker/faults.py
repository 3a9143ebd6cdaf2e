"""Errors after which nothing works in this process, and what follows from them."""

import threading
from collections.abc import Iterable

from worker.errors import WorkerError, with_causes

MAX_FAULTS = 2
"""Jobs in a row that end so before the platform is asked for another worker: one alone may have
been the job's own doing, and the next one tells."""

_PHRASES = (
    "device-side assert",
    "illegal memory access",
    "illegal instruction",
    "misaligned address",
    "unspecified launch failure",
    "launch timed out",
    "uncorrectable ecc error",
    "status_execution_failed",  # cuBLAS, cuDNN
    "of the gpu's driver fails",  # gpu_memory.py: a driver that answered at start and does no more
    "values that are not finite",  # worker/engines/session.py
    "could not create a primitive",  # oneDNN on a CPU, for good where memory ran out in it once
)
"""What CUDA and its libraries say, through torch, ONNX Runtime and CTranslate2 alike. Only the last
two were provoked. The others are NVIDIA's wording from memory: none was seen on a GPU."""


def is_device_fault(error: BaseException) -> bool:
    """Whether the device failed in a way that only a new process gets over.

    CUDA's context is lost after such an error.
    """
    for each in with_causes(error):
        # What has a class is what that says; the text of what it was raised from, the name of a
        # file or an endpoint's answer, is a caller's.
        if isinstance(each, WorkerError):
            return False
        text = str(each).casefold()
        if any(phrase in text for phrase in _PHRASES):
            return True
    return False


class FaultWatch:
    """Counts the jobs in a row that the device failed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._in_a_row = 0

    def is_lost(self, outcomes: Iterable[object]) -> bool:
        """Look at what came of a job; whether the device has failed for good.

        Parameters
        ----------
        outcomes : of its recordings; those that failed are exceptions. A job that failed of
            something else says nothing of the device.
        """
        failed = worked = False
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                failed = failed or is_device_fault(outcome)
            else:
                worked = True
        with self._lock:
            if failed:
                self._in_a_row += 1
            elif worked:
                self._in_a_row = 0
            return failed and self._in_a_row >= MAX_FAULTS
