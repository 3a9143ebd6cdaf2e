"""Models and devices that a test can tell what to do."""

import threading
from pathlib import Path

from volume_bootstrap.layout import ModelFile, ModelRecord
from worker.control import JobControl
from worker.device import Device
from worker.model_cache import ModelCache

DEADLINE_S = 30.0


class FakeDevice(Device):
    """One whose memory a test can tell."""

    __slots__ = ()
    total = 100

    def total_bytes(self) -> int:
        return FakeDevice.total

    def used_bytes(self) -> int:
        return 0  # no growth is measured: a model counts a fourth of its files

    def release(self) -> None:
        pass


class Store:
    """Models of any name that are there."""

    def verified(self, record: ModelRecord) -> Path:
        return Path(record.alias)


def record(alias: str, num_bytes: int = 40) -> ModelRecord:
    file = ModelFile(alias, num_bytes, alias, 0)
    return ModelRecord(alias, alias, None, "vad", None, "", "", alias, (file,), alias, None, None)


class Loader:
    """Loads a model that is its name; counts, and fails where it is told to."""

    def __init__(self) -> None:
        self.loaded: list[str] = []
        self.goes_on = threading.Event()
        self.goes_on.set()
        self.error: Exception | None = None

    def __call__(self, path: Path, device: Device) -> list[str]:
        self.loaded.append(path.name)
        assert self.goes_on.wait(DEADLINE_S)
        if self.error:
            raise self.error
        return [path.name]


def fake(fraction: float = 1.0, idle_s: float = 0.0) -> ModelCache:
    return ModelCache(Store(), FakeDevice("cpu", 1, "float32"), fraction, idle_s)


def names(cache: ModelCache) -> set[str]:
    return {model.alias for model in cache.describe()}


def use(
    cache: ModelCache,
    alias: str,
    load: Loader,
    num_bytes: int = 40,
    control: JobControl | None = None,
) -> list[str]:
    with cache.lease(record(alias, num_bytes), load, control) as model:
        return model


def counted_tensors() -> type:
    """A class whose `alive` says how many of it there are."""

    class Tensor:
        alive = 0

        def __init__(self) -> None:
            Tensor.alive += 1

        def __del__(self) -> None:
            Tensor.alive -= 1

    return Tensor
