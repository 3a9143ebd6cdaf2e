"""Checks before the first take, and what the platform is told of a worker that cannot serve."""

import dataclasses
import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.platform import WorkerProcess
from volume_bootstrap.import_bundle import BundleFinder
from volume_bootstrap.layout import Generation, read_generation
from worker.errors import StartupError
from worker.fitness import Fitness


@pytest.fixture
def generation(volume) -> Generation:
    return read_generation(volume.pointer("demo") / "generation.json")


@pytest.fixture
def make_fitness(service, make_settings, generation):
    def make(volume, generation=generation, rehearse=service.rehearse, **variables):
        return Fitness(make_settings(volume, **variables), "demo", generation, rehearse)

    return make


def test_all_is_well(make_fitness, volume):
    fitness = make_fitness(volume)
    fitness.check_volume()
    fitness.check_packages()
    fitness.check_models()
    fitness.check_disk()
    fitness.check_device()


def test_the_rehearsal_runs_both_networks(service, make_fitness, volume):
    replies = []

    def rehearse(job_input):
        replies.append(service.rehearse(job_input))
        return replies[-1]

    make_fitness(volume, rehearse=rehearse).check_device()
    assert [turn["speaker"] for turn in replies[0]["turns"]] == ["SPEAKER_00"]


def test_a_volume_that_is_gone(make_fitness, own_volume):
    fitness = make_fitness(own_volume)
    shutil.rmtree(own_volume.metadata)
    with pytest.raises(StartupError, match=r"Attach the network volume.* cannot be read: "):
        fitness.check_volume()
    with pytest.raises(StartupError, match="python -m volume_bootstrap setup"):
        fitness.check_models()


@pytest.mark.parametrize("name", ["no_such_package", "numpy.no_such_module", "no_such.module"])
def test_a_package_that_is_gone(make_fitness, volume, generation, name):
    lacking = dataclasses.replace(generation, imports=(name,))
    with pytest.raises(StartupError, match=r"deps install --force --project demo .*no_such"):
        make_fitness(volume, lacking).check_packages()


def test_a_package_that_is_gone_and_still_in_the_bundle(make_fitness, volume, generation, tmp_path):
    bundle = BundleFinder(tmp_path, {"greeting": ("greeting.py", 0, 1)}, -1)
    fitness = make_fitness(volume, dataclasses.replace(generation, imports=("greeting",)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "meta_path", [bundle, *sys.meta_path])
        (tmp_path / "greeting.py").touch()
        fitness.check_packages()
        (tmp_path / "greeting.py").unlink()
        with pytest.raises(StartupError, match="no module named 'greeting'"):
            fitness.check_packages()


@pytest.mark.parametrize("damage", ["missing", "shorter"])
def test_a_model_that_is_not_whole(make_fitness, own_volume, damage):
    path = next(own_volume.models.glob("hub/iic/*/model.onnx"))
    if damage == "missing":
        path.unlink()
    else:
        os.truncate(path, 1000)
    with pytest.raises(StartupError, match=r"Repair it with.* 1 of \d+ files .*model\.onnx"):
        make_fitness(own_volume).check_models()


def test_a_disk_without_room(make_fitness, volume):
    fitness = make_fitness(volume, SPEECH_MAX_AUDIO_MB=str(10**9))
    with pytest.raises(StartupError, match=r"lower SPEECH_MAX_AUDIO_MB=10+: .* are free in "):
        fitness.check_disk()


def test_a_device_that_fails(make_fitness, volume):
    fitness = make_fitness(volume, rehearse=lambda _: {"error": "OUT_OF_MEMORY: no room."})
    with pytest.raises(StartupError, match=r"SPEECH_DEVICE=cpu: .* OUT_OF_MEMORY: no room\."):
        fitness.check_device()


def test_a_model_of_another_release(make_fitness, volume):
    answer = {"error": "MODEL_NOT_PROVISIONED: Run setup."}
    with pytest.raises(StartupError, match=r"^MODEL_NOT_PROVISIONED: Run setup\.$"):
        make_fitness(volume, rehearse=lambda _: answer).check_device()


def test_what_to_do_reaches_the_platform_whatever_is_wrong(make_fitness, own_volume, generation):
    """It cuts what it is told, with the name of the error's class, to 256 characters."""
    long = "x" * 300
    lacking = dataclasses.replace(generation, imports=(long,))
    fitness = make_fitness(own_volume, lacking, lambda _: {"error": long})
    for model in own_volume.models.rglob("model.onnx"):
        model.unlink()
    told = []
    for check in (fitness.check_packages, fitness.check_models, fitness.check_device):
        with pytest.raises(StartupError) as caught:
            check()
        told.append(f"StartupError: {caught.value}")
    shutil.rmtree(own_volume.metadata)
    with pytest.raises(StartupError) as caught:
        fitness.check_volume()
    told.append(f"StartupError: {caught.value}")
    setup = f"setup --project demo --volume {own_volume.root}"
    remedies = (f"--project demo --volume {own_volume.root}", setup, "SPEECH_DEVICE=cpu", setup)
    for reason, remedy in zip(told, remedies, strict=True):
        assert remedy in reason[:256]


def reported(platform, worker: WorkerProcess) -> dict[str, str]:
    """What an unhealthy worker tells the platform before it ends."""
    assert worker.wait(60) == 1
    pings = platform.records("ping", worker.id)
    assert [ping["query"]["status"] for ping in pings] == ["unhealthy"]
    assert worker.num_takes() == 0
    assert worker.children() == []
    query: dict[str, str] = pings[0]["query"]
    return query


def test_the_platform_is_told_why_a_worker_cannot_start(platform, tmp_path):
    (tmp_path / "empty").mkdir()
    with WorkerProcess(platform, tmp_path, tmp_path / "empty") as worker:
        told = reported(platform, worker)
        assert told["check"] == "startup"
        assert told["reason"].startswith("StartupError: Fill the volume with: ")
        assert "volume_bootstrap setup" in worker.log()
        assert "Traceback" not in worker.log()


def test_the_platform_is_told_of_a_setting(platform, tmp_path, volume):
    with WorkerProcess(platform, tmp_path, volume.root, SPEECH_THREADS="many") as worker:
        assert "SPEECH_THREADS" in reported(platform, worker)["reason"]


def test_a_worker_with_a_damaged_model_takes_no_job(platform, tmp_path, own_volume):
    os.truncate(next(own_volume.models.glob("hub/iic/*/model.onnx")), 1000)
    id_ = platform.submit({"task": "health"})
    with WorkerProcess(platform, tmp_path, own_volume.root) as worker:
        told = reported(platform, worker)
    assert told["check"] == "check_models"
    assert told["reason"].startswith("StartupError: Repair it with: ")
    assert "model.onnx has 1000 bytes" in worker.log()
    assert platform.job(id_)["status"] == "IN_QUEUE"


def test_a_fit_worker_takes_jobs(platform, tmp_path: Path, volume):
    with WorkerProcess(platform, tmp_path, volume.root) as worker:
        worker.ready()
        id_ = platform.submit({"task": "health"})
        reply = platform.wait(id_)
        assert reply["output"]["jobs"] == {}  # the rehearsal does not count
        assert "Running 5 fitness check(s)" in worker.log(), "the SDK's own call out"
        assert "All fitness checks passed" in worker.log()
