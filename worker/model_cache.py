"""Models that stay loaded on the device between jobs."""

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from volume_bootstrap.layout import ModelRecord
from worker.device import Device
from worker.model_store import ModelStore

logger = logging.getLogger(__name__)

Model = TypeVar("Model")


class _Entry:
    """A model that is loaded once; whoever asks meanwhile waits."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.model: Any = None


class ModelCache:
    """Loads each model once, however many jobs ask for it; different ones side by side."""

    def __init__(self, store: ModelStore, device: Device) -> None:
        self._store = store
        self._device = device
        self._lock = threading.Lock()
        self._entries: dict[object, _Entry] = {}

    def get(self, record: ModelRecord, load: Callable[[Path, Device], Model]) -> Model:
        """Return a model, loaded from its exported file or, without one, from its folder.

        Raises
        ------
        ModelNotProvisionedError
            A file on the volume is missing or damaged.
        """
        with self._lock:
            entry = self._entries.setdefault((record.files, load), _Entry())
        with entry.lock:
            if entry.model is None:
                started = time.perf_counter()
                entry.model = load(self._store.verified(record), self._device)
                elapsed = time.perf_counter() - started
                logger.info("loaded %s on %s in %.2f s", record.alias, self._device.name, elapsed)
            model: Model = entry.model
        return model
