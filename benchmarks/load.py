"""Jobs per second under load: our loop beside plain use of the SDK, on the loopback platform.

python -m benchmarks.load [NUM_JOBS]

Each job computes for 0.3 s on a device that one job can have at a time; the computing is a sleep
under a lock, so that only the loop is measured. All jobs are in the queue when the first is taken.
A worker is a real process, started by tests.platform; it takes, runs and posts over HTTP:

ours         this worker's handler and loop (worker.scaler), SPEECH_CONCURRENCY 2, around a service
             that does nothing but compute
sdk sync     the SDK alone with a plain function as its handler, at concurrency 1
sdk async    the SDK alone with an async handler that computes in a thread, at concurrency 2

The ideal is a device that never waits: 1 / 0.3 jobs a second. Written to results/load.json.
"""

import asyncio
import json
import os
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from handler import SDK_SETTINGS, import_sdk
from volume_bootstrap.layout import Volume
from worker.activation import activate

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "load.json"
NUM_JOBS = 200
COMPUTE_S = 0.3
SIDES = ("ours", "sdk sync", "sdk async")

Job = dict[str, Any]


class Device:
    """What computes, one job at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def compute(self) -> Job:
        with self._lock:
            time.sleep(COMPUTE_S)
        return {"computed_s": COMPUTE_S}

    def answer(self, *_: object) -> Job:
        """As `worker.service.Service` does."""
        return self.compute()


def work(side: str) -> None:
    """Be the worker of a side."""
    os.environ.update(SDK_SETTINGS)
    import_sdk()
    device = Device()
    if side == "ours":
        activate(Volume(ROOT / "volume"), "demo")

        from worker import scaler
        from worker.runpod_app import make_config
        from worker.settings import Settings

        scaler.start(make_config(device, Settings.from_environment(os.environ)))
        return

    import runpod.serverless

    def sync_handler(_: Job) -> Job:
        return device.compute()

    async def async_handler(_: Job) -> Job:
        return await asyncio.to_thread(device.compute)

    config: Job = {"handler": sync_handler}
    if side == "sdk async":
        config = {"handler": async_handler, "concurrency_modifier": lambda _: 2}
    runpod.serverless.start(config)


def measure(side: str, num_jobs: int) -> Job:
    """Run the jobs on a fresh worker; time from the first take to the last result."""
    from tests.platform import Platform, WorkerProcess

    with tempfile.TemporaryDirectory() as name, Platform() as platform:
        jobs = [platform.submit({"number": number}) for number in range(num_jobs)]
        program = ("-m", "benchmarks.load", "--worker", side)
        with WorkerProcess(
            platform, Path(name), ROOT / "volume", *program, SPEECH_CONCURRENCY="2"
        ) as worker:
            worker.ready()
            for job in jobs:
                if (status := platform.wait(job, timeout=600)["status"]) != "COMPLETED":
                    raise RuntimeError(f"{side}: job {job} ended as {status}:\n{worker.log()}")
            takes = platform.records("job-take") + platform.records("job-take-batch")
            began = min(record["time"] for record in takes)
            results = [result for job in jobs for result in platform.results(job)]
            ended = max(result["time"] for result in results)
    seconds = ended - began
    return {
        "side": side,
        "jobs": num_jobs,
        "results": len(results),
        "seconds": round(seconds, 2),
        "jobs_per_s": round(num_jobs / seconds, 3),
        "share_of_ideal": round(num_jobs * COMPUTE_S / seconds, 4),
    }


def main(num_jobs: int) -> None:
    sides = []
    for side in SIDES:
        sides.append(measure(side, num_jobs))
        print(
            "{side:10} {jobs_per_s:6.2f} jobs/s  {share_of_ideal:6.1%} of ideal".format(**sides[-1])
        )
    date = datetime.now(UTC).strftime("%Y-%m-%d")
    report = {"date": date, "compute_s": COMPUTE_S, "ideal_jobs_per_s": 1 / COMPUTE_S}
    RESULTS.write_text(json.dumps(report | {"sides": sides}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        work(sys.argv[2])
    else:
        main(int(sys.argv[1]) if sys.argv[1:] else NUM_JOBS)
