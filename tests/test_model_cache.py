"""Leases of models: loaded once, kept while used, unloaded for others and in time."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from volume_bootstrap.layout import ModelFile, ModelRecord, dump, read_manifest
from worker.control import JobControl
from worker.device import Device
from worker.engines import whisper
from worker.engines.session import OnnxSession
from worker.errors import (
    CancelledError,
    ModelNotProvisionedError,
    OutOfMemoryError,
    StartupError,
)
from worker.model_cache import ModelCache
from worker.model_store import ModelStore
from worker.planning import LOADERS
from worker.runpod_app import start_service

DEVICE = Device("cpu", 2, "float32")
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


@pytest.fixture
def load() -> Loader:
    return Loader()


def fake(fraction: float = 1.0, idle_s: float = 0.0) -> ModelCache:
    return ModelCache(Store(), FakeDevice("cpu", 1, "float32"), fraction, idle_s)


def names(cache: ModelCache) -> set[str]:
    return {model.alias for model in cache.describe()}


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def use(
    cache: ModelCache,
    alias: str,
    load: Loader,
    num_bytes: int = 40,
    control: JobControl | None = None,
) -> list[str]:
    with cache.lease(record(alias, num_bytes), load, control) as model:
        return model


def test_a_model_is_loaded_once_however_many_ask(load):
    cache = fake()
    load.goes_on.clear()
    with ThreadPoolExecutor(16) as pool:
        models = [pool.submit(use, cache, "a", load) for _ in range(16)]
        wait_for(lambda: load.loaded == ["a"])
        load.goes_on.set()
        found = [model.result(DEADLINE_S) for model in models]
    assert load.loaded == ["a"]
    assert len({id(model) for model in found}) == 1
    (model,) = cache.describe()
    assert model.leases == 0


def test_different_models_load_side_by_side(load):
    cache = fake()
    load.goes_on.clear()
    with ThreadPoolExecutor(2) as pool:
        models = [pool.submit(use, cache, alias, load) for alias in "ab"]
        wait_for(lambda: len(load.loaded) == 2)  # the first has not ended
        load.goes_on.set()
        assert [model.result(DEADLINE_S) for model in models] == [["a"], ["b"]]


def test_a_failed_load_is_raised_to_all_who_wait_and_tried_anew_by_the_next(load):
    cache = fake()
    load.goes_on.clear()
    load.error = ModelNotProvisionedError("damaged")
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(use, cache, "a", load) for _ in range(8)]
        wait_for(lambda: sum(entry.leases for entry in cache._entries.values()) == 8)
        load.goes_on.set()
        for each in asked:
            with pytest.raises(ModelNotProvisionedError, match="damaged"):
                each.result(DEADLINE_S)
    assert load.loaded == ["a"]
    load.error = None
    assert use(cache, "a", load) == ["a"]


def test_a_job_that_has_to_end_begins_no_load_and_waits_for_none(load):
    cache, control = fake(), JobControl()
    load.goes_on.clear()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(use, cache, "a", load)
        wait_for(lambda: load.loaded == ["a"])
        waits = pool.submit(use, cache, "a", load, control=control)
        wait_for(lambda: sum(entry.leases for entry in cache._entries.values()) == 2)
        control.cancel()
        with pytest.raises(CancelledError):
            waits.result(DEADLINE_S)
        with pytest.raises(CancelledError):
            use(cache, "b", load, control=control)
        assert not first.done()
        load.goes_on.set()
        assert first.result(DEADLINE_S) == ["a"]
    assert load.loaded == ["a"]
    assert [model.leases for model in cache.describe()] == [0]


def test_a_job_out_of_time_does_not_wait_for_a_model(make_settings, own_volume, monkeypatch):
    path = own_volume.manifest("demo")
    manifest = read_manifest(path)
    defaults = {**manifest.defaults, "asr": {**manifest.defaults["asr"], "preload": False}}
    path.write_text(dump(replace(manifest, defaults=defaults)))
    load = Loader()
    load.goes_on.clear()
    load.error = ModelNotProvisionedError("damaged")
    monkeypatch.setitem(LOADERS, "whisper", load)
    service = start_service(make_settings(own_volume), "demo")
    job = {"task": "asr", "audio": "volume://samples/sample.wav"}
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(service.answer, job)
        wait_for(lambda: bool(load.loaded))
        hasty = pool.submit(service.answer, {**job, "timeout_s": 0.1})
        assert hasty.result(DEADLINE_S / 2)["error"].startswith("TIMEOUT: ")
        load.goes_on.set()
        assert first.result(DEADLINE_S)["error"].startswith("MODEL_NOT_PROVISIONED: ")


def test_what_was_used_longest_ago_goes_first(load):
    cache = fake(fraction=0.6)  # 60 bytes: three models of 10, or two and one that is loaded: 40
    for alias in ("a", "b", "c", "a"):
        use(cache, alias, load)
    assert names(cache) == {"a", "b", "c"}
    use(cache, "d", load)
    assert names(cache) == {"a", "c", "d"}


def test_what_is_leased_never_goes(load):
    cache = fake(fraction=0.1)
    with cache.lease(record("pinned"), load) as pinned:
        use(cache, "a", load)
        use(cache, "b", load)
        cache.release_idle()
        assert names(cache) == {"pinned"}
        assert use(cache, "pinned", load) is pinned
    assert load.loaded.count("pinned") == 1


def test_an_idle_model_is_unloaded_in_time_and_its_thread_ends(load):
    cache = fake(idle_s=0.05)
    before = threading.active_count()
    with cache.lease(record("held"), load):
        use(cache, "idle", load)
        wait_for(lambda: names(cache) == {"held"})
    wait_for(lambda: names(cache) == set())
    wait_for(lambda: threading.active_count() <= before)
    assert use(cache, "idle", load) == ["idle"]
    wait_for(lambda: names(cache) == set())


def test_no_thread_watches_where_nothing_is_unloaded_in_time(load):
    before = threading.active_count()
    cache = fake()
    use(cache, "a", load)
    assert threading.active_count() == before
    assert names(cache) == {"a"}


def test_a_model_that_does_not_fit_says_what_it_needs(load):
    cache = fake()
    use(cache, "idle", load)
    load.error = MemoryError()
    with pytest.raises(OutOfMemoryError, match=r"loading a on cpu needed 2000 MB.* MB are free"):
        use(cache, "a", load, num_bytes=2_000_000_000)
    assert names(cache) == set()  # the idle one made room
    load.error = None
    assert use(cache, "a", load) == ["a"]


@pytest.fixture
def counting(monkeypatch) -> type[CountingDevice]:
    """How a test tells the device what to measure."""
    for name in ("used", "calls", "error"):
        monkeypatch.setattr(CountingDevice, name, getattr(CountingDevice, name))
    return CountingDevice


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
    wait_for(lambda: counting.calls > loaded)
    counting.error = None
    use(cache, "b", load)
    wait_for(lambda: names(cache) == set())


def test_many_threads_get_the_model_they_ask_for(load):
    """More models than fit, more threads than models: what is held is never unloaded."""
    cache = fake(fraction=0.2)

    def work(seed: int) -> None:
        for i in range(100):
            alias = "abcdef"[(seed * 7 + i * (seed + 1)) % 6]
            with cache.lease(record(alias), load) as model:
                assert model == [alias]
                held = {each.alias: each.leases for each in cache.describe()}
                assert held[alias] >= 1

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(work, seed) for seed in range(8)]:
            done.result(DEADLINE_S)
    assert all(model.leases == 0 for model in cache.describe())
    assert sum(model.num_bytes for model in cache.describe()) <= 20


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


def test_only_the_models_that_the_project_names_are_loaded_and_pinned(make_settings, own_volume):
    path = own_volume.manifest("demo")
    manifest = read_manifest(path)
    defaults = {**manifest.defaults, "asr": {**manifest.defaults["asr"], "preload": False}}
    path.write_text(dump(replace(manifest, defaults=defaults)))
    service = start_service(make_settings(own_volume), "demo")
    pinned = {"fsmn-vad": 1, "campplus-zh-en": 1, "segmentation-3.0": 1}
    assert {model.alias: model.leases for model in service._cache.describe()} == pinned
    assert "text" in service.answer({"task": "asr", "audio": "volume://samples/sample.wav"})
    used = {model.alias: model.leases for model in service._cache.describe()}
    assert used == {**pinned, "whisper-tiny-en": 0}
    service._cache.release_idle()
    assert names(service._cache) == set(pinned)
