"""The worker, whose first job stops in a stage: ``python -m tests.faults.worker_held``.

All is the worker's own but for one thing: where the job reports the stage HELD_STAGE, its thread
makes the file HELD_FOLDER/reached and blocks in the system, with all it holds, until somebody
opens the FIFO HELD_FOLDER/gate for writing.
"""

import os
from pathlib import Path

from handler import prepare
from worker.control import JobControl
from worker.replies import Reply
from worker.runpod_app import Answers
from worker.service import Envelope

WEDGED_S = 15.0
"""The worker's own patience is minutes."""


class Held:
    """Stands before the service and stops what reports the stage, once."""

    def __init__(self, service: Answers, stage: str, folder: Path) -> None:
        self._service = service
        self._stage = stage
        self._reached = folder / "reached"
        self._gate = folder / "gate"

    def answer(self, job_input: object, control: JobControl, envelope: Envelope) -> Reply:
        report = control._report

        def report_and_stop(stage: str, share: float) -> None:
            report(stage, share)
            if stage == self._stage and not self._reached.exists():
                self._reached.touch()
                self._gate.open("rb").close()

        control._report = report_and_stop
        return self._service.answer(job_input, control, envelope)


def main() -> None:
    config = prepare()
    runner, environment = config["runner"], os.environ
    runner._service = Held(
        runner._service, environment["HELD_STAGE"], Path(environment["HELD_FOLDER"])
    )
    runner._wedged_s = WEDGED_S

    from worker import scaler

    scaler.start(config)


# The SDK's ping process begins by importing this file again.
if __name__ == "__main__":
    main()
