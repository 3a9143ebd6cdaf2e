"""Models that stay loaded on the device between jobs, as many as its memory holds."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from volume_bootstrap.layout import ModelRecord
from worker.control import POLL_S, JobControl
from worker.device import Device
from worker.memory import Memory
from worker.model_store import ModelStore

logger = logging.getLogger(__name__)

Model = TypeVar("Model")
Loader = Callable[[Path, Device], Model]

MOST_TIMES_FILES = 4
"""A loaded model takes at most this many times its files. What was measured beyond it came along:
libraries that were imported for it, or the work of a job beside it."""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model of the cache, for those who ask what is loaded.

    leases : jobs that use it now; one more where it is kept loaded for good.
    idle_s : seconds since a job used it; 0.0 while one does.
    """

    alias: str
    num_bytes: int
    leases: int
    idle_s: float


@dataclass(slots=True, eq=False)
class _Entry:
    """A model that is loaded, or being loaded; whoever asks meanwhile waits for it."""

    alias: str
    num_bytes: int
    leases: int = 0
    used: float = field(default_factory=time.monotonic)
    model: Future[Any] = field(default_factory=Future)


class ModelCache:
    """Loads each model once, however many jobs ask for it; different ones side by side.

    The models that no job uses go, the one that was used longest ago first, when another needs
    their place. One that is leased never goes: who wants a model pinned keeps a lease.

    Parameters
    ----------
    fraction : share of the device's memory that models may take
    idle_s : time after which a model that no job uses is unloaded, in seconds; 0: never
    """

    def __init__(
        self, store: ModelStore, device: Device, fraction: float = 1.0, idle_s: float = 0.0
    ) -> None:
        self._store = store
        self._device = device
        self._budget_bytes = fraction * device.total_bytes()
        self._idle_s = idle_s
        self._lock = threading.Lock()
        self._entries: dict[object, _Entry] = {}
        self._num_loads = 0
        self._loading = 0
        self._unloader: threading.Thread | None = None
        self.memory = Memory(device, self.release_idle)

    @contextmanager
    def lease(
        self, record: ModelRecord, load: Loader[Model], control: JobControl | None = None
    ) -> Iterator[Model]:
        """Use a model, loaded from its exported file or, without one, from its folder.

        It stays loaded at least as long as what runs inside.

        Parameters
        ----------
        control : of the job that asks. One that has to end begins no load and does not wait for
            another's. A load that began goes on: others may wait for it, and the next has it warm.

        Raises
        ------
        ModelNotProvisionedError
            A file on the volume is missing or damaged. All who wait for the model get the error;
            who asks later starts anew.
        OutOfMemoryError
            It does not fit beside the models that are in use.
        CancelledError, JobTimeoutError
            The job has to end.
        """
        control = control or JobControl()
        control.check()
        key = (record.files, load)
        with self._lock:
            entry = self._entries.get(key)
            is_first = entry is None
            if entry is None:
                entry = self._entries[key] = _Entry(record.alias, _files_bytes(record))
            entry.leases += 1
        try:
            if is_first:
                self._load(key, entry, record, load)
            while not wait({entry.model}, POLL_S).done:
                control.check()
            model: Model = entry.model.result()
            yield model
        finally:
            with self._lock:
                entry.leases -= 1
                entry.used = time.monotonic()
                if self._idle_s and self._unloader is None:
                    unloader = threading.Thread(target=self._unload_in_time, daemon=True)
                    unloader.start()
                    self._unloader = unloader

    def release_idle(self) -> None:
        """Unload all models that no job uses."""
        self._unload(lambda *_: True, "memory is needed")

    def describe(self) -> list[LoadedModel]:
        """What is loaded now."""
        with self._lock:
            now = time.monotonic()
            return [
                LoadedModel(e.alias, e.num_bytes, e.leases, 0.0 if e.leases else now - e.used)
                for e in self._entries.values()
                if e.model.done()
            ]

    def _load(self, key: object, entry: _Entry, record: ModelRecord, load: Loader[Model]) -> None:
        """Load the model of a new entry, or tell all who wait for it what failed."""

        def work(_: int) -> Model:
            with self._measured(entry):
                return load(self._store.verified(record), self._device)

        try:
            self._make_room()
            started = time.perf_counter()
            model = self.memory.attempt(f"loading {record.alias}", work, lambda _: entry.num_bytes)
            elapsed = time.perf_counter() - started
            logger.info("loaded %s on %s in %.2f s", record.alias, self._device.name, elapsed)
        except BaseException as error:  # noqa: BLE001 - those who wait get it, and raise it
            with self._lock:
                del self._entries[key]
            entry.model.set_exception(error)
            return
        entry.model.set_result(model)
        self._make_room()  # by its measured size

    @contextmanager
    def _measured(self, entry: _Entry) -> Iterator[None]:
        """Correct a model's size by what is loaded inside, where no other load overlaps it.

        Each try is measured by itself: between two of them, idle models go.
        """
        with self._lock:
            before = self._device.used_bytes()  # first: where the device fails, no load is counted
            self._num_loads += 1
            self._loading += 1
            own, was_alone = self._num_loads, self._loading == 1
        try:
            yield
            with self._lock:
                if was_alone and self._num_loads == own:
                    grown = self._device.used_bytes() - before
                    most = entry.num_bytes * MOST_TIMES_FILES
                    least = entry.num_bytes // MOST_TIMES_FILES
                    entry.num_bytes = max(least, min(grown, most))
        finally:
            with self._lock:
                self._loading -= 1

    def _make_room(self) -> None:
        """Unload what was used longest ago until all fits; what is in use stays, fit or not."""
        self._unload(lambda _, held: held > self._budget_bytes, "another model needs its place")

    def _unload(self, goes: Callable[[_Entry, int], bool], why: str) -> None:
        """Unload idle models, the one used longest ago first, up to the first that may stay.

        Parameters
        ----------
        goes : called with a model and the bytes of all that is loaded or being loaded
        """
        if gone := self._forget(goes):  # its last references went with that call
            self._device.release()
            logger.info("unloaded %s: %s", ", ".join(gone), why)

    def _forget(self, goes: Callable[[_Entry, int], bool]) -> list[str]:
        gone: list[str] = []
        with self._lock:
            idle = [item for item in self._entries.items() if not item[1].leases]
            held_bytes = sum(entry.num_bytes for entry in self._entries.values())
            for key, entry in sorted(idle, key=lambda item: item[1].used):
                if not goes(entry, held_bytes):
                    break
                del self._entries[key]
                held_bytes -= entry.num_bytes
                gone.append(entry.alias)
        return gone

    def _unload_in_time(self) -> None:
        """Sleep until the next model is due, as long as there is one that no job uses."""
        while True:
            with self._lock:
                used = [entry.used for entry in self._entries.values() if not entry.leases]
                if not used:
                    self._unloader = None
                    return
            time.sleep(max(0.0, min(used) + self._idle_s - time.monotonic()))
            try:
                self._unload(
                    lambda entry, _: time.monotonic() - entry.used >= self._idle_s,
                    f"idle for {self._idle_s:g} s",
                )
            except Exception:  # the device's: the models are gone, and others are due later
                logger.exception("idle models left memory behind")


def _files_bytes(record: ModelRecord) -> int:
    """What the worker reads of a model: a first estimate of what it takes."""
    return sum(file.size for file in record.files if record.runtime in {None, file.path})
