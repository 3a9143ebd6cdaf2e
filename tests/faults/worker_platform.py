"""A platform that is away, slow, or answers what it should not."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from tests.faults.worker_scene import (
    DEADLINE_S,
    FOR_EVER,
    TAKES,
    Trial,
    comparable,
)
from tests.platform import until

OUTAGE_S = 60
CALLS = (*TAKES, "job-stop", "ping")
TIMES = 3
NUM_JOBS = 3


def down_while_busy(trial: Trial) -> str:
    """The platform goes while a job computes, which ends meanwhile."""
    scene = trial.scene
    with scene.worker("asr") as worker:
        job = trial.submit()
        worker.reached()
        scene.platform.down(OUTAGE_S)
        worker.release()
        began = time.monotonic()
        trial.expect(job)
        posted_s = time.monotonic() - began - OUTAGE_S
        trial.expect(trial.submit())
        trial.expect_clean(worker)
    return f"posted {posted_s:.1f} s after the platform was back; the worker serves on"


def down_while_idle(trial: Trial) -> str:
    scene = trial.scene
    with scene.worker() as worker:
        before = worker.num_takes()
        scene.platform.down(OUTAGE_S)
        began = time.monotonic()
        until(lambda: worker.num_takes() > before, 2 * DEADLINE_S)
        back_s = time.monotonic() - began - OUTAGE_S
        trial.expect(trial.submit())
        tried = worker.log().count("no job could be taken")
    trial.check(tried < 2 * OUTAGE_S, f"it asked {tried} times")
    return f"asked {tried} times meanwhile, again {back_s:.1f} s after its return"


def misbehaves(trial: Trial, calls: tuple[str, ...], **how: Any) -> str:
    """Some calls are answered wrongly a few times each."""
    scene = trial.scene
    with scene.worker() as worker:
        for call in calls:
            scene.platform.misbehave(call, TIMES, **how)
        jobs = [trial.submit() for _ in range(NUM_JOBS)]
        for job in jobs:
            trial.expect(job)
        trial.expect_clean(worker)
    return f"{TIMES} times for each call; all jobs right, once"


def slow(trial: Trial) -> str:
    scene = trial.scene
    with scene.worker() as worker:
        for call in (*CALLS, "job-done"):
            scene.platform.misbehave(call, FOR_EVER, delay_s=5)
        jobs = [trial.submit() for _ in range(NUM_JOBS)]
        for job in jobs:
            trial.expect(job)
        trial.expect_clean(worker)
    return "all jobs right, once"


def loses_answers(trial: Trial) -> str:
    """It takes a result and answers 500: whoever posts cannot know, and posts again."""
    scene = trial.scene
    with scene.worker("asr") as worker:
        job = trial.submit()
        worker.reached()
        scene.platform.misbehave("job-done", FOR_EVER, status=500, carry_out=True)
        worker.release()
        until(lambda: len(scene.platform.results(job)) > 1, DEADLINE_S)
        scene.platform.behave()
        trial.expect(trial.submit())
    ended = scene.platform.status(job)
    trial.check(ended["status"] == "COMPLETED", f"the job ended as {ended}")
    bodies = [result["body"] for result in scene.platform.results(job)]
    trial.check(all(body == bodies[0] for body in bodies), "the results differ")
    return f"posted {len(bodies)} times, each time the same"


def duplicate(trial: Trial) -> str:
    scene = trial.scene
    with scene.worker("asr") as worker:
        job = trial.submit()
        worker.reached()
        scene.platform.redeliver(job)
        until(lambda: "came again" in worker.log(), DEADLINE_S)
        worker.release()
        trial.expect(job)
        trial.expect(trial.submit())
    return "run and posted once"


def cancelled_and_again(trial: Trial) -> str:
    """A job that is delivered anew before its thread hears that it has to end."""
    scene = trial.scene
    with scene.worker("asr") as worker:
        job = trial.submit()
        worker.reached()
        scene.platform.cancel(job)
        until(lambda: "is stopped" in worker.log(), DEADLINE_S)
        scene.platform.redeliver(job)
        until(lambda: "came again while it is being stopped" in worker.log(), DEADLINE_S)
        trial.check(not scene.platform.results(job), "the cancelled run was posted")
        worker.release()
        until(lambda: scene.platform.results(job), DEADLINE_S)
        trial.expect(trial.submit())
        trial.expect_clean(worker)
    outputs = [comparable(r["body"].get("output")) for r in scene.platform.results(job)]
    trial.check(outputs == [scene.undisturbed], f"posted were {outputs}")
    return "run again when the first run had ended, posted once"


def malformed(trial: Trial) -> str:
    scene = trial.scene
    with scene.worker():
        for payload in ({"input": scene.job()}, {}, [], "job", None, 7, {"id": 7, "input": {}}):
            scene.platform.submit_raw(payload)
        trial.submit_raw({"id": "without-input"})
        trial.expect("without-input", "INVALID_INPUT")
        trial.expect(trial.submit())
    return "without input: INVALID_INPUT; without id: logged; the next job is right"


def refuses(trial: Trial, status: int) -> str:
    """The result is never taken."""
    scene = trial.scene
    with scene.worker() as worker:
        scene.platform.misbehave("job-done", FOR_EVER, status=status)
        began = time.monotonic()
        job = trial.submit()
        trial.expect_kept(job, worker)
        seconds = time.monotonic() - began
        trial.expect_clean(worker)
    return f"kept as results/<job id>.json after {seconds:.0f} s, and the log says so"


def _calls(fault: str, calls: tuple[str, ...], **how: Any) -> dict[str, Callable[..., str]]:
    return {fault: partial(misbehaves, calls=calls, **how)}


GARBAGE: dict[str, Any] = {"status": 200, "body": "<html>no {JSON", "content_type": "text/html"}

ROWS: dict[str, Callable[[Trial], str]] = {
    f"the platform is down for {OUTAGE_S} s, a job computes": down_while_busy,
    f"the platform is down for {OUTAGE_S} s, the worker idle": down_while_idle,
    "the platform takes 5 s for each call": slow,
    **_calls("the platform answers 500", (*CALLS, "job-done"), status=500),
    **_calls("the platform answers 429", (*CALLS, "job-done"), status=429),
    **_calls("the platform answers 204", CALLS, status=204),
    **_calls("the platform answers garbage", CALLS, **GARBAGE),
    **_calls("the platform drops connections", (*CALLS, "job-done"), do="drop"),
    **_calls(
        "job-done takes the result, answers garbage", ("job-done",), carry_out=True, **GARBAGE
    ),
    "job-done takes the result, answers 500": loses_answers,
    "a job comes again while it is in work": duplicate,
    "a job comes again while its cancelled run ends": cancelled_and_again,
    "jobs without id, without input, and no jobs at all": malformed,
    "job-done answers 400 for good": partial(refuses, status=400),
    "job-done answers 500 for good": partial(refuses, status=500),
}
"""By the name that they have in the table."""
