"""What models take: measured, estimated, and what is said where it is not there."""

import threading
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fake_models import FakeDevice, Store, fake, names, record, use
from tests.platform import until
from worker.device import Device
from worker.engines import whisper
from worker.engines.session import OnnxSession
from worker.errors import OutOfMemoryError, StartupError
from worker.model_cache import ModelCache
from worker.model_store import ModelStore

DEVICE = Device("cpu", 2, "float32")


class CountingDevice(FakeDevice):
    """One that measures what a test says is used, and fails where it is told to."""

    __slots__ = ()
    used = 0
    calls = 0
    error: Exception | None = None

    def used_bytes(self) -> int:
        self.release()
        return CountingDevice.used

    def release(self) -> None:
        error = CountingDevice.error
        CountingDevice.calls += 1
        if error:
            raise error


@pytest.fixture
def counting(monkeypatch) -> type[CountingDevice]:
    """How a test tells the device what to measure."""
    for name in ("used", "calls", "error"):
        monkeypatch.setattr(CountingDevice, name, getattr(CountingDevice, name))
    return CountingDevice


def test_a_model_that_does_not_fit_says_what_it_needs(load):
    cache = fake()
    use(cache, "idle", load)
    load.error = MemoryError()
    with pytest.raises(OutOfMemoryError, match=r"loading a on cpu needed 2000 MB.* MB are free"):
        use(cache, "a", load, num_bytes=2_000_000_000)
    assert names(cache) == set()  # the idle one made room
    load.error = None
    assert use(cache, "a", load) == ["a"]


def test_a_model_that_needed_a_second_try_is_measured_by_that_alone(counting):
    cache = ModelCache(Store(), counting("cpu", 1, "float32"))
    tries = []

    def load(path: Path, _: Device) -> Path:
        tries.append(path)
        if len(tries) == 1:
            counting.used -= 25  # what was idle went
            raise MemoryError
        counting.used += 50
        return path

    with cache.lease(record("a"), load):
        assert [model.num_bytes for model in cache.describe()] == [50]


def test_a_device_that_failed_once_measures_the_next_model(counting, load):
    cache = ModelCache(Store(), counting("cpu", 1, "float32"))
    counting.error = StartupError("the driver fails")
    with pytest.raises(StartupError):
        use(cache, "a", load)
    counting.error = None

    def grow(path: Path, _: Device) -> Path:
        counting.used += 50
        return path

    with cache.lease(record("a"), grow):
        assert [model.num_bytes for model in cache.describe()] == [50]


def test_models_are_unloaded_in_time_after_the_device_failed_once(counting, load):
    cache = ModelCache(Store(), counting("cpu", 1, "float32"), idle_s=0.05)
    use(cache, "a", load)
    loaded, counting.error = counting.calls, StartupError("the driver fails")
    until(lambda: counting.calls > loaded)
    counting.error = None
    use(cache, "b", load)
    until(lambda: names(cache) == set())


def test_real_models_are_measured_and_their_memory_and_threads_are_given_back(volume):
    store = ModelStore(volume, "demo")
    cache = ModelCache(store, DEVICE)
    wanted = store.manifest().model("whisper-tiny-en")

    def load_and_unload() -> tuple[int, int]:
        with cache.lease(wanted, whisper.load):
            (model,) = cache.describe()
            loaded = DEVICE.used_bytes()
        cache.release_idle()
        return model.num_bytes, loaded

    load_and_unload()  # the libraries come and stay
    before, threads = DEVICE.used_bytes(), threading.active_count()
    num_bytes, loaded = load_and_unload()
    files = sum(file.size for file in wanted.files)
    assert 0.5 * files < num_bytes < 4 * files
    assert loaded - before > 0.5 * files
    assert DEVICE.used_bytes() - before < 0.4 * (loaded - before)
    assert threading.active_count() <= threads


def test_the_estimate_is_what_the_worker_reads(volume):
    store = ModelStore(volume, "demo")
    wanted = store.manifest().model("campplus-zh-en")
    cache = ModelCache(store, DEVICE)
    other = replace(wanted, files=(*wanted.files, wanted.files[0]))
    with ExitStack() as held:
        held.enter_context(cache.lease(wanted, OnnxSession))
        held.enter_context(cache.lease(other, OnnxSession))  # a record of its own: a second model
        assert len(cache.describe()) == 2
        runtime = next(file.size for file in wanted.files if file.path == "model.onnx")
        for model in cache.describe():
            assert runtime / 4 <= model.num_bytes <= runtime * 4
