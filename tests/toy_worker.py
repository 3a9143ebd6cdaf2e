"""A worker whose jobs do what their input says: ``python -m tests.toy_worker``.

All but the service is the worker's own: its handler, its loop, its outbox. Fields of the input:

==============  ==================================================================================
`sleep_s`       work for so long, looking at the control
`device_s`      hold the device for so long, as a model does: the control is not looked at
`wedge`         hold the device for ever
`parts`         publish these
`size`          characters of the answer
`refresh`       ask for a fresh worker
`nan`           answer with what does not serialise
==============  ==================================================================================
"""

import os
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from handler import SDK_SETTINGS, import_sdk
from volume_bootstrap.layout import Volume
from worker.activation import activate
from worker.control import Exclusive, JobControl
from worker.errors import WorkerError
from worker.settings import Settings
from worker.telemetry import set_up_logging

ROOT = Path(__file__).resolve().parent.parent


class Toy:
    """Stands for `worker.service.Service`."""

    def __init__(self) -> None:
        self._device = threading.Lock()

    def answer(self, job_input: object, control: JobControl, envelope: object) -> dict[str, Any]:
        asked = job_input if isinstance(job_input, dict) else {}
        try:
            with tempfile.TemporaryDirectory(prefix="toy-"):
                self._work(asked, control)
        except WorkerError as error:
            return {"error": error.reply}
        reply: dict[str, Any] = {"asked": asked, "text": "x" * asked.get("size", 0)}
        if asked.get("nan"):
            reply["score"] = float("nan")
        return reply | ({"refresh_worker": True} if asked.get("refresh") else {})

    def _work(self, asked: dict[str, Any], control: JobControl) -> None:
        for part in asked.get("parts", []):
            control.publish(part)
        end = time.monotonic() + asked.get("sleep_s", 0)
        while (left_s := end - time.monotonic()) > 0:
            control.update("asr", 1 - left_s / asked["sleep_s"])
            control.wait(0.05)
        if asked.get("device_s") or asked.get("wedge"):
            with Exclusive(self._device, control):
                time.sleep(asked.get("device_s", 0))
                while asked.get("wedge"):
                    time.sleep(1)


def main() -> None:
    settings = Settings.from_environment(os.environ)
    set_up_logging(settings.log_level)
    activate(Volume(ROOT / "volume"), "demo")
    os.environ.update(SDK_SETTINGS)
    import_sdk()

    from worker import scaler
    from worker.runpod_app import make_config

    scaler.start(make_config(Toy(), settings, wedged_s=1.0))


if __name__ == "__main__":
    main()
