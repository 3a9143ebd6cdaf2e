"""Leases of models: loaded once, kept while used, unloaded for others and in time."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from tests.fake_models import DEADLINE_S, Loader, fake, names, record, use
from tests.platform import until
from volume_bootstrap.layout import dump, read_manifest
from worker.control import JobControl
from worker.errors import CancelledError, ModelNotProvisionedError
from worker.planning import LOADERS
from worker.runpod_app import start_service


def test_a_model_is_loaded_once_however_many_ask(load):
    cache = fake()
    load.goes_on.clear()
    with ThreadPoolExecutor(16) as pool:
        models = [pool.submit(use, cache, "a", load) for _ in range(16)]
        until(lambda: load.loaded == ["a"])
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
        until(lambda: len(load.loaded) == 2)  # the first has not ended
        load.goes_on.set()
        assert [model.result(DEADLINE_S) for model in models] == [["a"], ["b"]]


def test_a_failed_load_is_raised_to_all_who_wait_and_tried_anew_by_the_next(load):
    cache = fake()
    load.goes_on.clear()
    load.error = ModelNotProvisionedError("damaged")
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(use, cache, "a", load) for _ in range(8)]
        until(lambda: sum(entry.leases for entry in cache._entries.values()) == 8)
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
        until(lambda: load.loaded == ["a"])
        waits = pool.submit(use, cache, "a", load, control=control)
        until(lambda: sum(entry.leases for entry in cache._entries.values()) == 2)
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
        until(lambda: bool(load.loaded))
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
        until(lambda: names(cache) == {"held"})
    until(lambda: names(cache) == set())
    until(lambda: threading.active_count() <= before)
    assert use(cache, "idle", load) == ["idle"]
    until(lambda: names(cache) == set())


def test_no_thread_watches_where_nothing_is_unloaded_in_time(load):
    before = threading.active_count()
    cache = fake()
    use(cache, "a", load)
    assert threading.active_count() == before
    assert names(cache) == {"a"}


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
    # What was in use at once, and did not fit, goes with the next one that is loaded.
    with cache.lease(record("g"), load):
        pass
    assert sum(model.num_bytes for model in cache.describe()) <= 20


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
