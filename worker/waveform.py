"""The samples of a recording: in memory, or in a file that is read by slices."""

import os
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 16_000
"""Rate of every waveform in the worker, in Hz."""

SAMPLE_BYTES = np.dtype(np.float32).itemsize


class Samples(Protocol):
    """What the stages read of a recording: an array or a `WaveformFile`."""

    def __len__(self) -> int: ...

    def __getitem__(self, key: slice, /) -> NDArray[np.float32]: ...


class WaveformFile:
    """A recording in a file of float32 samples, native byte order, mono, 16 kHz, in [-1, 1].

    Ten hours are 2.3 GB. A slice is read when it is asked for, and several threads may read at
    once. The file is not mapped: pages of a map that were touched count as the process's memory,
    and those of a file that is read do not.

    Parameters
    ----------
    path : stays open until `close`, and may be deleted before.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb", buffering=0)
        self._num_samples = os.fstat(self._file.fileno()).st_size // SAMPLE_BYTES

    def __len__(self) -> int:
        return self._num_samples

    def __getitem__(self, key: slice, /) -> NDArray[np.float32]:
        """Read a stretch, its ends clamped as those of an array's slice are.

        Returns
        -------
        (num_samples,) float32, the caller's own

        Raises
        ------
        TypeError
            `key` is not a slice of consecutive samples.
        EOFError
            The file has become shorter.
        """
        if not isinstance(key, slice) or key.step not in (None, 1):
            raise TypeError(f"a waveform is read as waveform[start:stop], not by {key!r}")
        start, stop, _ = key.indices(self._num_samples)
        samples = np.empty(max(0, stop - start), dtype=np.float32)
        unread = samples.view(np.uint8).data
        while unread:  # one call reads at most 2 GB
            position = stop * SAMPLE_BYTES - len(unread)
            count = os.preadv(self._file.fileno(), [unread], position)
            if not count:
                raise EOFError(f"the samples end at byte {position}, {len(unread)} before {key}")
            unread = unread[count:]
        return samples

    def close(self) -> None:
        """Close the file; a second time there is nothing to do."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
