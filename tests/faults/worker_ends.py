"""Workers that are killed, and workers that are told to end, at every stage of a job."""

import json
import time
import uuid
from functools import partial

from tests import s3_server
from tests.faults.worker_scene import DEADLINE_S, FOR_EVER, Trial, comparable
from tests.platform import until

STAGES = ("decode", "vad", "overlap", "embedding", "clustering", "asr")
"""Those that report how far they are."""
GRACE_S = 3
LATE_S = 60


def killed(trial: Trial, stage: str) -> str:
    """Kill a worker in the stage; another does its job."""
    scene = trial.scene
    with scene.worker(stage) as worker:
        job = trial.submit()
        worker.reached()
        worker.kill()
        left = sum(path.is_file() for path in worker.leftovers())
        trial.check(left, "the dead worker leaves no temporary file, and should")
    # The container starts again with the disk that it had.
    trial.expect_taken_over(job, TMPDIR=str(worker.temporary))
    return f"another worker did it; removed {left} files of the dead one"


def killed_in_fetch(trial: Trial) -> str:
    with trial.scene.worker() as worker:
        job = _fetching(trial, LATE_S)
        worker.kill()
    trial.expect_taken_over(job)
    return "another worker did it"


def killed_in_upload(trial: Trial) -> str:
    """Kill a worker that has written one of two files; another writes both, and none beside."""
    scene = trial.scene
    with s3_server.moto() as url, s3_server.Proxy(url) as proxy:
        store = s3_server.client_of(url)
        wanted = scene.job(formats=["json", "srt"], output="s3://bucket/out/")
        keys = {"accessId": "id", "accessSecret": "secret", "endpointUrl": proxy.url}
        proxy.fault(s3_server.drip, "PUT", after=1)
        with scene.worker() as worker:
            job = trial.submit_input(wanted, s3Config=keys)
            until(lambda: [seen.method for seen in proxy.seen].count("PUT") > 1, DEADLINE_S)
            worker.kill()
        with scene.worker() as fresh:
            ended = scene.platform.wait(job, DEADLINE_S)
            trial.expect_clean(fresh)
        written = {
            entry["Key"]: store.get_object(Bucket="bucket", Key=entry["Key"])["Body"].read()
            for entry in store.list_objects_v2(Bucket="bucket")["Contents"]
        }
    files = [f"out/{job}/result.json", f"out/{job}/result.srt"]
    trial.check(ended["status"] == "COMPLETED", f"the job ended as {ended}")
    trial.check(list(written) == files, f"in the bucket lie {', '.join(written)}")
    result = comparable(json.loads(written.get(files[0], b"null")))
    trial.check(result == scene.undisturbed, f"the file holds {result}")
    results = scene.platform.results(job)
    trial.check(len(results) == 1, f"{len(results)} results were posted, not 1")
    return "another worker did it; the bucket holds the job's two files, once"


def killed_in_post(trial: Trial) -> str:
    """Kill a worker whose result is on the way, not yet taken."""
    scene = trial.scene
    scene.platform.misbehave("job-done", FOR_EVER, delay_s=LATE_S)
    with scene.worker() as worker:
        job = _posting(trial)
        worker.kill()
    scene.platform.behave()
    trial.expect_taken_over(job)
    return "another worker did it"


def killed_after_post(trial: Trial) -> str:
    """Kill a worker whose result was taken, before it learns that."""
    scene = trial.scene
    scene.platform.misbehave("job-done", FOR_EVER, do="hang", carry_out=True)
    with scene.worker() as worker:
        job = trial.submit()
        until(lambda: scene.platform.results(job), DEADLINE_S)
        worker.kill()
    scene.platform.behave()
    with scene.worker():
        # Time for a redelivery that shall not come.
        trial.expect(trial.submit())
        time.sleep(2 * GRACE_S)
        trial.expect(job)
    trial.check(len(scene.platform.job(job)["workers"]) == 1, "the job was delivered again")
    return "not delivered again"


def ended_idle(trial: Trial) -> str:
    scene = trial.scene
    with scene.worker() as worker:
        worker.terminate()
        began = time.monotonic()
        trial.expect_exit(worker, 0)
        seconds = time.monotonic() - began
        # It must not be taken by the one that has gone.
        job = trial.submit()
    with scene.worker():
        trial.expect(job)
    return f"exit code 0 after {seconds:.1f} s; the next job is another worker's"


def ended_in_fetch(trial: Trial) -> str:
    with trial.scene.worker() as worker:
        job = _fetching(trial, GRACE_S)
        worker.terminate()
        trial.expect_exit(worker, 0)
        trial.expect_clean(worker)
    trial.expect(job)
    return "posted, exit code 0"


def ended_in_compute(trial: Trial) -> str:
    scene = trial.scene
    with scene.worker("asr") as worker:
        job = trial.submit()
        worker.reached()
        worker.terminate()
        until(lambda: "jobs have" in worker.log(), DEADLINE_S)
        worker.release()
        trial.expect_exit(worker, 0)
        trial.expect_clean(worker)
    trial.expect(job)
    return "posted, exit code 0"


def ended_in_post(trial: Trial) -> str:
    scene = trial.scene
    scene.platform.misbehave("job-done", FOR_EVER, delay_s=GRACE_S)
    with scene.worker() as worker:
        job = _posting(trial)
        worker.terminate()
        trial.expect_exit(worker, 0)
    trial.expect(job)
    return "posted, exit code 0"


def abandoned_in_fetch(trial: Trial) -> str:
    with trial.scene.worker(SPEECH_GRACE_S=str(GRACE_S)) as worker:
        job = _fetching(trial, LATE_S)
        worker.terminate()
        trial.expect_exit(worker, 0)
        trial.expect_clean(worker)
    trial.expect_taken_over(job)
    return "another worker did it; the first one ended with 0 and posted nothing"


def abandoned_in_compute(trial: Trial) -> str:
    """A thread that hears nothing: the process ends all the same."""
    scene = trial.scene
    with scene.worker("asr", SPEECH_GRACE_S=str(GRACE_S)) as worker:
        job = trial.submit()
        worker.reached()
        worker.terminate()
        trial.expect_exit(worker, 0)
    trial.expect_taken_over(job)
    return "another worker did it; the first one ended with 0 and posted nothing"


def abandoned_in_post(trial: Trial) -> str:
    scene = trial.scene
    scene.platform.misbehave("job-done", FOR_EVER, delay_s=LATE_S)
    with scene.worker(SPEECH_GRACE_S=str(GRACE_S)) as worker:
        job = _posting(trial)
        worker.terminate()
        trial.expect_exit(worker, 0)
        trial.expect_kept(job, worker)
    scene.platform.behave()
    trial.expect_taken_over(job)
    return "another worker did it; the first one kept its result on the volume"


def _fetching(trial: Trial, late_s: int) -> str:
    """Send a job whose audio is late, and wait until its worker asks for that."""
    # The media server counts requests by path, for all rows: each has one of its own.
    path = f"/late/1/{late_s}/sample.wav?{uuid.uuid4().hex}"
    job = trial.submit(path)
    until(lambda: trial.scene.media.count(path), DEADLINE_S)
    return job


def _posting(trial: Trial) -> str:
    """Send a job, and wait until its result, no update, is on its way."""
    job = trial.submit()

    def is_on_its_way() -> bool:
        sent = trial.scene.platform.records("job-done")
        own = [record["json"] or {} for record in sent if record["job"] == job]
        return any(posted.get("status") != "IN_PROGRESS" for posted in own)

    until(is_on_its_way, DEADLINE_S)
    return job


ROWS = {
    "kill -9 in fetch": killed_in_fetch,
    **{f"kill -9 in {stage}": partial(killed, stage=stage) for stage in STAGES},
    "kill -9 in the upload to S3": killed_in_upload,
    "kill -9 in post": killed_in_post,
    "kill -9 when the result was taken": killed_after_post,
    "SIGTERM, idle": ended_idle,
    "SIGTERM in fetch, within the grace": ended_in_fetch,
    "SIGTERM in asr, within the grace": ended_in_compute,
    "SIGTERM in post, within the grace": ended_in_post,
    "SIGTERM in fetch, beyond the grace": abandoned_in_fetch,
    "SIGTERM in asr, beyond the grace": abandoned_in_compute,
    "SIGTERM in post, beyond the grace": abandoned_in_post,
}
"""By the name that they have in the table."""
