"""Networks that stay loaded on the device between jobs."""

import logging
import threading
import time

from volume_bootstrap.layout import ModelRecord
from worker.device import Device
from worker.engines.session import OnnxSession
from worker.model_store import ModelStore

logger = logging.getLogger(__name__)


class ModelCache:
    """Loads each network once, however many jobs ask for it."""

    def __init__(self, store: ModelStore, device: Device) -> None:
        self._store = store
        self._device = device
        self._lock = threading.Lock()
        self._sessions: dict[str, OnnxSession] = {}

    def session(self, record: ModelRecord) -> OnnxSession:
        """Session of a model; a job that asks while it loads waits.

        Raises
        ------
        ModelNotProvisionedError
            The file on the volume is missing or damaged.
        """
        key = record.runtime_file.sha256
        with self._lock:
            if key not in self._sessions:
                started = time.perf_counter()
                path = self._store.verified(record)
                self._sessions[key] = OnnxSession(path, self._device)
                elapsed = time.perf_counter() - started
                logger.info("loaded %s on %s in %.2f s", record.alias, self._device.name, elapsed)
            return self._sessions[key]
