"""Real worker processes of the plain SDK under the loopback platform."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.platform import Platform, WorkerProcess, until

SDK_WORKER = ("-m", "tests.platform.sdk_worker")


@pytest.fixture(scope="module")
def sdk(tmp_path_factory, volume) -> Iterator[tuple[Platform, WorkerProcess]]:
    """A platform and a worker that takes two jobs at a time."""
    folder = tmp_path_factory.mktemp("sdk")
    with (
        Platform(poll_s=0.5, redeliver_after_s=1) as platform,
        WorkerProcess(platform, folder, volume.root, *SDK_WORKER, SDK_CONCURRENCY="2") as worker,
    ):
        worker.ready()
        yield platform, worker


@pytest.fixture(autouse=True)
def _behaving(sdk) -> Iterator[None]:
    """No test finds what the one before it asked of the platform."""
    yield
    sdk[0].behave()


def misbehave_to_polls(platform: Platform, worker: WorkerProcess, **how: object) -> None:
    """Returns when the worker has met with it: no poll from before can get a job any more."""
    for call in ("job-take", "job-take-batch"):
        platform.misbehave(call, worker=worker.id, **how)
    known = worker.num_takes()
    until(lambda: worker.num_takes() > known)


def test_the_sdk_takes_and_posts(sdk):
    platform, worker = sdk
    id_ = platform.submit({"a": 1}, sync=True)
    job = platform.wait(id_)
    assert (job["status"], job["output"]) == ("COMPLETED", {"asked": {"a": 1}, "text": ""})
    posted = [record for record in platform.records("job-done") if record["job"] == id_]
    assert [record["headers"]["X-Request-ID"] for record in posted] == [id_]
    assert platform.records("job-take-batch", worker.id)[0]["query"]["batch_size"] == "2"


def test_the_sdk_posts_updates_parts_and_errors(sdk):
    platform, _ = sdk
    id_ = platform.submit({"progress": [1, 2], "parts": ["a", "b"], "error": "NO: no"})
    assert platform.wait(id_)["error"] == "NO: no"
    job = platform.job(id_)
    assert [update["body"]["output"] for update in job["progress"]] == [1, 2]
    assert job["parts"] == ["a", "b"]


def test_the_sdk_stops_a_cancelled_job_and_posts_nothing(sdk):
    platform, worker = sdk
    id_ = platform.submit({"sleep_s": 60})
    until(lambda: f"{id_} | Started." in worker.log())
    platform.cancel(id_)
    until(lambda: f"{id_} | Job stopped." in worker.log())
    assert platform.wait(id_)["status"] == "CANCELLED"
    assert platform.results(id_) == []


def test_the_sdk_pings_with_its_jobs_and_keeps_them(sdk):
    platform, worker = sdk
    id_ = platform.submit({"sleep_s": 2.5})
    platform.wait(id_)
    named = [p for p in platform.records("ping", worker.id) if id_ in p["query"].get("job_id", "")]
    assert named


@pytest.mark.parametrize(
    "how",
    [
        {"status": 500},
        {"status": 400},
        {"status": 204},
        {"status": 200, "body": "no {JSON"},
        {"do": "drop"},
    ],
)
def test_the_sdk_comes_back_after_misbehaviour(sdk, how):
    platform, worker = sdk
    misbehave_to_polls(platform, worker, **how)
    assert platform.wait(platform.submit({}))["status"] == "COMPLETED"
    platform.behave()


def test_the_sdk_comes_back_after_an_outage(sdk):
    platform, _ = sdk
    id_ = platform.submit({"sleep_s": 0.5})
    until(lambda: platform.job(id_)["status"] == "IN_PROGRESS")
    platform.down(0.3)
    assert platform.job(id_)["results"] == []
    platform.wait(id_)
    assert len(platform.results(id_)) == 1


def test_a_large_result_is_lost_without_a_word(sdk):
    platform, _ = sdk
    job = platform.wait(platform.submit({"size": 10_000_000}))
    assert (job["status"], job.get("output")) == ("COMPLETED", None)


def test_a_job_of_a_killed_worker_is_done_by_another(sdk, tmp_path, volume):
    platform, second = sdk
    misbehave_to_polls(platform, second, times=1000, status=204, delay_s=0.1)
    with WorkerProcess(platform, tmp_path, volume.root, *SDK_WORKER) as first:
        id_ = platform.submit({"sleep_s": 1})
        until(lambda: f"{id_} | Started." in first.log())
        assert first.children()
        first.kill()
        assert first.children() == []
        assert first.wait() == -signal.SIGKILL
    platform.behave()
    assert platform.wait(id_)["status"] == "COMPLETED"
    assert platform.job(id_)["workers"] == [first.id, second.id]
    assert [result["worker"] for result in platform.results(id_)] == [second.id]


def test_a_worker_can_be_watched(sdk):
    _, worker = sdk
    assert 10_000_000 < worker.rss_bytes() < 1_000_000_000
    assert worker.threads() >= 1
    assert any(name.startswith("socket:") for name in worker.descriptors())
    assert len(worker.children()) == 1  # the ping process
    assert worker.leftovers() == []
    (worker.temporary / "left").touch()
    assert [path.name for path in worker.leftovers()] == ["left"]


def test_the_environment_is_that_of_a_worker(platform, tmp_path, volume, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of the one who tests")
    program = "import json, os, tempfile; open(tempfile.gettempdir() + '/x', 'w').close(); "
    program += "print(json.dumps(dict(os.environ))); print('{broken')"
    with WorkerProcess(
        platform, tmp_path, volume.root, "-c", program, SPEECH_THREADS="1"
    ) as worker:
        assert worker.wait() == 0
        (environment,) = worker.log_lines()
    assert environment["RUNPOD_POD_ID"] == worker.id
    assert environment["SPEECH_VOLUME"] == str(volume.root)
    assert environment["SPEECH_THREADS"] == "1"
    assert "AWS_SECRET_ACCESS_KEY" not in environment
    assert [Path(path).name for path in worker.leftovers()] == ["x"]


def test_a_worker_that_ends_is_not_waited_for(platform, tmp_path, volume):
    program = "raise SystemExit('no volume')"
    with (
        WorkerProcess(platform, tmp_path, volume.root, "-c", program) as worker,
        pytest.raises(RuntimeError, match="ended with 1:\nno volume"),
    ):
        worker.ready()


def test_sigterm_reaches_the_main_process_only(sdk):
    platform, worker = sdk
    id_ = platform.submit({"sleep_s": 1})
    until(lambda: f"{id_} | Started." in worker.log())
    worker.terminate()
    assert worker.wait() == 0
    assert platform.wait(id_)["status"] == "COMPLETED"
