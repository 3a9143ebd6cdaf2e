"""A service in a process that runs out of memory in the middle of a job, and then has it again.

Arguments: project; stage at which memory ends; bytes that are left then, for Python's own needs and
for what oneDNN compiles; the job's input as JSON. Prints both replies. The job has to need more
than one of eight seconds, whose memory the libraries keep.
"""

import json
import resource
import sys
from contextlib import suppress
from pathlib import Path

from tests.conftest import VOLUME
from worker.activation import activate
from worker.control import JobControl
from worker.settings import Settings
from worker.telemetry import set_up_logging


def address_space() -> int:
    """Bytes that the process has mapped."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def main(project: str, stage: str, left_bytes: str, job_input: str) -> None:
    """Ask twice."""
    activate(VOLUME, project)
    from worker.runpod_app import start_service

    set_up_logging("WARNING")
    settings = Settings.from_environment(
        {"SPEECH_VOLUME": str(VOLUME.root), "SPEECH_DEVICE": "cpu", "SPEECH_THREADS": "2"}
    )
    service = start_service(settings, project)
    # As in a worker that has worked: without memory for its first buffer, OpenBLAS ends the
    # process, and a thread of a pool ends before it begins.
    audio = {"url": "volume://samples/sample.wav", "offset": 6, "duration": 8}
    service.answer({"task": json.loads(job_input)["task"], "audio": audio})
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    taken: list[bytearray] = []

    def end_memory(reached: str, _: float) -> None:
        if reached == stage and not taken:
            resource.setrlimit(resource.RLIMIT_AS, (address_space(), hard))
            with suppress(MemoryError):
                while True:  # what was freed is still mapped, and would serve
                    taken.append(bytearray(int(left_bytes)))
            resource.setrlimit(resource.RLIMIT_AS, (address_space() + int(left_bytes), hard))

    replies = []
    for control in (JobControl(end_memory), JobControl()):
        try:
            replies.append(service.answer(json.loads(job_input), control))
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
            taken.clear()
    json.dump(replies, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
