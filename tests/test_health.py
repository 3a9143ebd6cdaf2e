"""How the worker is, what is counted, and what a job leaves in the log."""

import json
import logging
import threading
import tomllib
from pathlib import Path

import pytest

from tests.platform import WorkerProcess
from worker import __version__
from worker.runpod_app import start_service
from worker.telemetry import Tally

ROOT = Path(__file__).resolve().parent.parent
HEALTH = {"task": "health"}
JOB = {"task": "diarization", "audio": "volume://samples/sample.wav"}


@pytest.fixture(scope="module")
def own_service(make_settings):
    """One that no other test has given a job."""
    return start_service(make_settings(), "demo")


def test_health_tells_what_the_worker_is(own_service):
    import onnxruntime

    health = own_service.answer(HEALTH)
    assert json.loads(json.dumps(health)) == health
    assert health["version"] == __version__
    assert health["project"] == "demo"
    assert health["generation"] == Path(onnxruntime.__file__).parent.parent.name
    assert health["device"]["name"] == "cpu"
    memory = health["memory"]
    assert 0 < memory["resident_bytes"] < memory["total_bytes"]
    assert 0 < memory["free_bytes"] <= memory["total_bytes"]
    loaded = {model["alias"]: model for model in health["loaded"]}
    assert loaded.keys() == {
        "fsmn-vad",
        "campplus-zh-en",
        "segmentation-3.0",
        "whisper-tiny-en",
    }
    assert all(model["bytes"] > 0 for model in loaded.values())
    assert {model["alias"] for model in health["models"]} == loaded.keys()
    assert min(health["disk"].values()) > 0
    assert health["in_progress"] == 0


def test_jobs_are_counted_by_outcome_and_stage(own_service):
    before = own_service.answer(HEALTH)
    own_service.answer(JOB)
    own_service.answer(JOB | {"audio": [JOB["audio"], "volume://none"]})
    own_service.answer({"task": "nonsense"})
    own_service.answer(JOB | {"audio": "volume://none"})
    health = own_service.answer(HEALTH)
    grown = {name: n - before["jobs"].get(name, 0) for name, n in health["jobs"].items()}
    assert grown == {"COMPLETED": 2, "INVALID_INPUT": 1, "FETCH_FAILED": 1}
    assert health["seconds"]["embedding"] > 0
    assert not health["seconds"].keys() & {"total", "rtf"}
    assert health["uptime_s"] > before["uptime_s"]


def test_health_waits_for_no_device(own_service):
    with own_service._occupied:
        answered: list[dict] = []
        asking = threading.Thread(target=lambda: answered.append(own_service.answer(HEALTH)))
        asking.start()
        asking.join(20)
        assert answered


def test_a_job_in_work_is_in_progress(own_service):
    with own_service._occupied:
        job = threading.Thread(target=own_service.answer, args=(JOB,))
        job.start()
        assert own_service.answer(HEALTH)["in_progress"] == 1
    job.join(60)
    assert own_service.answer(HEALTH)["in_progress"] == 0


def test_health_without_models(make_settings, own_volume):
    service = start_service(make_settings(own_volume), "demo")
    for path in (own_volume.manifest("demo"), own_volume.manifest_copy("demo")):
        path.unlink()
    assert service.answer(HEALTH)["models"]["error"].startswith("MODEL_NOT_PROVISIONED: ")


def test_health_takes_nothing_else(own_service):
    reply = own_service.answer(HEALTH | {"audio": "x", "stream": True})
    assert reply == {
        "error": "INVALID_INPUT: audio, stream: of no use to task 'health'; leave it out. "
        "Allowed: task."
    }


def test_health_names_five_fields_too_many(own_service):
    error = own_service.answer(HEALTH | {f"field{n}": n for n in range(9)})["error"]
    assert "field4, and 4 more: of no use" in error
    error = own_service.answer(HEALTH | {str(n): n for n in range(1_000)})["error"]
    assert error.startswith("INVALID_INPUT: input: has 1,001 fields")


def test_what_fails_unseen_counts_as_internal():
    tally = Tally()
    with pytest.raises(KeyError), tally.job():
        raise KeyError
    assert tally.describe()["jobs"] == {"INTERNAL": 1}
    assert tally.describe()["in_progress"] == 0


def test_the_version_is_that_of_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert __version__ == project["version"]


def test_the_log_has_a_line_for_each_job(platform, tmp_path, volume):
    with WorkerProcess(platform, tmp_path, volume.root) as worker:
        worker.ready()
        good = platform.submit(JOB)
        bad = platform.submit(
            {"task": "diarization", "audio": "https://x:secret@127.0.0.1/a?sig=hidden"}
        )
        sent = platform.wait(good)["output"]
        platform.wait(bad)
        health = platform.wait(platform.submit(HEALTH))["output"]
        lines = {line["job"]: line for line in worker.log_lines() if "outcome" in line}
        log = worker.log()
    assert lines.keys() == {good, bad}
    assert lines[good]["outcome"] == "COMPLETED"
    assert lines[good]["seconds"]["vad"] == sent["timings"]["vad"]
    assert lines[good]["bytes"] == len(json.dumps(sent, ensure_ascii=False))
    assert lines[bad]["outcome"] == "FORBIDDEN_URL"
    assert lines[bad]["level"] == logging.getLevelName(logging.INFO)
    assert "secret" not in log
    assert "hidden" not in log
    assert health["jobs"] == {"COMPLETED": 1, "FORBIDDEN_URL": 1}
