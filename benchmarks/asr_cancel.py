"""How soon a job answers that it was cancelled: a line of JSON per moment.

python -m benchmarks.asr_cancel COUNT JOB_INPUT

The job runs to its end first; the moments are random within the time that took, the same for every
run.
"""

import json
import os
import random
import sys
import threading
import time
from typing import Any

from worker.activation import activate, choose_project
from worker.settings import Settings

SEED = 0


def main(count: int, job_input: dict[str, Any]) -> None:
    settings = Settings.from_environment(os.environ)
    project = choose_project(settings.layout, settings.project)
    activate(settings.layout, project)

    from worker.control import JobControl
    from worker.runpod_app import start_service

    service = start_service(settings, project)
    started = time.perf_counter()
    if "error" in (reply := service.answer(job_input)):
        sys.exit(reply["error"])
    whole_s = time.perf_counter() - started

    draw = random.Random(SEED)
    for moment_s in sorted(draw.uniform(0, whole_s) for _ in range(count)):
        reports = [("none", 0.0)]
        control = JobControl(lambda *report, reports=reports: reports.append(report))
        timer = threading.Timer(moment_s, control.cancel)
        started = time.perf_counter()
        timer.start()
        reply = service.answer(job_input, control)
        took_s = time.perf_counter() - started
        timer.cancel()
        answer = {
            "moment_s": round(moment_s, 2),
            "stage": reports[-1][0],
            "seconds": round(took_s - moment_s, 3),
            "answer": reply.get("error", "finished before").partition(":")[0],
        }
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), json.loads(sys.argv[2]))
