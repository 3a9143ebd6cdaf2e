"""Out of memory: told from other errors, and tried again with less."""

import errno
import logging
import re
from collections.abc import Callable
from typing import TypeVar

from worker.device import Device
from worker.errors import OutOfMemoryError, WorkerError, with_causes

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

MAX_RETRIES = 3
"""The last one works on an eighth of what fits usually."""

_PHRASES = (
    "out of memory",  # CUDA, CTranslate2, torch.OutOfMemoryError
    "allocate memory",  # torch's CPU allocator, ONNX Runtime's arena, MKL, the system's own words
    "bad_alloc",  # C++
    "status_alloc_failed",  # cuBLAS, cuDNN
    "can't start new thread",  # there is no room for its stack
    "failed to map segment",  # nor for a library
)
"""What the libraries say: most raise a plain RuntimeError. All but the GPU's were provoked."""
_REQUEST = re.compile(r"(?:allocate|buffer of size) (\d+(?:\.\d+)?) ?(bytes|[KMGT]iB)?")
_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, of the device or of the process, in whatever library."""
    return any(map(_tells, with_causes(error)))


def _tells(error: BaseException) -> bool:
    if isinstance(error, WorkerError):  # these have classes, and their text may be a caller's
        return False
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
        return True
    text = str(error).casefold()
    return any(phrase in text for phrase in _PHRASES)


def requested_bytes(error: BaseException) -> int:
    """What the allocation that failed asked for; 0 where the library does not tell."""
    for each in with_causes(error):
        if found := _REQUEST.search(str(each)):
            unit = (found[2] or "bytes")[0]
            return round(float(found[1]) * _UNITS.get(unit, 1))
    return 0


def without_frames(error: Exception) -> Exception:
    """Cut an error off its frames, which hold the memory that the next attempt may need."""
    for each in with_causes(error):
        each.__traceback__ = each.__context__ = None
    return error


class Memory:
    """The memory of a device, and what is done when it runs out.

    Parameters
    ----------
    release_idle : unloads the models that no job uses.
    """

    def __init__(self, device: Device, release_idle: Callable[[], None]) -> None:
        self.device = device
        self._release_idle = release_idle

    def attempt(
        self,
        task: str,
        work: Callable[[int], Result],
        needed_bytes: Callable[[int], float] = lambda _: 0.0,
    ) -> Result:
        """Work; where memory runs out, free what is idle and do it in smaller pieces.

        Parameters
        ----------
        task : what it is, for the log and the job's reader
        work : called with 1, then with 2, 4 and 8: what a batch is to be divided by. What cannot
            be divided is tried again as it is, beside fewer models.
        needed_bytes : estimate of what it takes, called with the same number

        Raises
        ------
        OutOfMemoryError
            It does not fit in the smallest pieces either.
        """
        parts = 1
        while True:
            try:
                return work(parts)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                failure = without_frames(error)
            lack = self.lack(task, failure, needed_bytes(parts))
            self._release_idle()
            if parts == 2**MAX_RETRIES:
                raise lack from failure
            logger.warning("%s (%s) Trying again with less at once.", lack, failure)
            parts *= 2

    def lack(self, task: str, error: BaseException, needed_bytes: float = 0.0) -> OutOfMemoryError:
        """Say what was needed and what there is."""
        needed = max(needed_bytes, requested_bytes(error))
        what = f"{needed / 1e6:.0f} MB at once" if needed else "more at once than it gets"
        return OutOfMemoryError(
            f"{task} on {self.device.name} needed {what}, and memory ran out{self._free()}. Send "
            "less audio at a time, lower SPEECH_CONCURRENCY, or give the endpoint more memory."
        )

    def _free(self) -> str:
        """What is free, for a message; nothing where the device does not say."""
        try:
            return f"; {self.device.free_bytes() / 1e6:.0f} MB are free"
        except Exception:  # whatever a broken driver does, the lack itself is to be told
            logger.warning("%s does not say what is free", self.device.name, exc_info=True)
            return ""
