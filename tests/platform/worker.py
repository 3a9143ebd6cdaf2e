"""A worker under the platform: a real process group, with the environment RunPod gives it."""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.platform.client import Platform
from tests.platform.waiting import until
from tests.server_process import ROOT

OURS = ("RUNPOD_", "SPEECH_", "MODELSCOPE_", "BUCKET_", "AWS_")
"""Variables that a worker does not inherit from whoever runs the tests."""


class WorkerProcess:
    """``handler.py`` as the platform starts it; ``with WorkerProcess(...) as worker: ...``.

    At the end of the block the whole process group is killed.

    Parameters
    ----------
    platform : where it takes its jobs.
    folder : for its log and its temporary files.
    volume : the provisioned volume.
    program : what Python runs instead, in `home`: ``"-m", "tests.name"``.
    prefix : words before the command, of a program that becomes what they are followed by.
    python : the interpreter; by default that of the tests.
    home : the folder that it runs in, where ``handler.py`` lies.
    variables : more of its environment.
    """

    def __init__(
        self,
        platform: Platform,
        folder: Path,
        volume: Path,
        *program: str,
        prefix: Sequence[str] = (),
        python: Path = Path(sys.executable),
        home: Path = ROOT,
        **variables: str,
    ) -> None:
        self._platform = platform
        self.id = f"pod-{uuid.uuid4().hex[:8]}"
        own = folder / self.id
        own.mkdir(parents=True)
        self.temporary = Path(variables.get("TMPDIR", own / "tmp"))
        self.temporary.mkdir(exist_ok=True)
        self.log_file = own / "log"
        with self.log_file.open("wb") as log:
            self._process = subprocess.Popen(
                [*prefix, str(python), *(program or ("handler.py",))],
                cwd=home,
                env=self._environment(volume) | variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.pid = self._process.pid

    def _environment(self, volume: Path) -> dict[str, str]:
        url = self._platform.url
        kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        return kept | {
            "RUNPOD_WEBHOOK_GET_JOB": f"{url}/job-take/$ID?gpu=x",
            "RUNPOD_WEBHOOK_POST_OUTPUT": f"{url}/job-done/$RUNPOD_POD_ID/$ID?gpu=x",
            "RUNPOD_WEBHOOK_POST_STREAM": f"{url}/job-stream/$RUNPOD_POD_ID/$ID?gpu=x",
            "RUNPOD_WEBHOOK_PING": f"{url}/ping/$RUNPOD_POD_ID?gpu=x",
            "RUNPOD_POD_ID": self.id,
            "RUNPOD_AI_API_KEY": "loopback-key",  # without one there are no pings
            "RUNPOD_PING_INTERVAL": "1000",
            "SPEECH_VOLUME": str(volume),
            "SPEECH_PROJECT": "demo",
            "SPEECH_DEVICE": "cpu",
            "SPEECH_ALLOWED_NETWORKS": "127.0.0.1/32",
            "TMPDIR": str(self.temporary),
            "NO_PROXY": "127.0.0.1",
        }

    def __enter__(self) -> "WorkerProcess":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill()

    def ready(self, timeout: float = 60.0) -> None:
        """Wait until the worker asks for its first job.

        Raises
        ------
        RuntimeError
            It has ended instead.
        TimeoutError
            It has not asked in `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        while not self.num_takes():
            if (code := self._process.poll()) is not None:
                raise RuntimeError(f"the worker ended with {code}:\n{self.log()[-4000:]}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"no job-take in {timeout:g} s:\n{self.log()[-4000:]}")
            time.sleep(0.05)

    def num_takes(self) -> int:
        """How often it has asked for jobs."""
        calls = ("job-take", "job-take-batch")
        return sum(len(self._platform.records(call, self.id)) for call in calls)

    def kill(self) -> None:
        """End the worker and all that it started, at once, as a lost machine does."""
        if self._process.returncode is None or self.children():
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        until(lambda: not self.children())

    def terminate(self) -> None:
        """Send SIGTERM to the main process, as the platform does."""
        self._process.terminate()

    def wait(self, timeout: float = 60.0) -> int:
        """Wait for the end of the main process; its exit code, negative for a signal.

        Raises
        ------
        subprocess.TimeoutExpired
            It has not ended in `timeout` seconds.
        """
        return self._process.wait(timeout)

    def has_ended(self) -> bool:
        """Whether the main process has ended."""
        return self._process.poll() is not None

    def log(self) -> str:
        """What it has written so far."""
        return self.log_file.read_text(encoding="utf-8", errors="replace")

    def log_lines(self) -> list[dict[str, Any]]:
        """The lines of its log that are JSON objects; the SDK's own lines are not."""
        lines = [line for line in self.log().splitlines() if line.startswith("{")]
        return [json.loads(line) for line in lines if line.endswith("}")]

    def leftovers(self) -> Sequence[Path]:
        """What lies in its temporary folder."""
        return sorted(self.temporary.rglob("*"))

    def rss_bytes(self) -> int:
        """Resident memory of the main process."""
        pages = int(self._proc("statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def threads(self) -> int:
        """Number of threads of the main process."""
        return len(list(self._proc("task").iterdir()))

    def descriptors(self) -> list[str]:
        """What the open file descriptors of the main process stand for."""
        return sorted(str(link.readlink()) for link in self._proc("fd").iterdir())

    def children(self) -> list[int]:
        """Processes of the group besides the main one, like the SDK's ping process."""
        return [pid for pid in _group(self.pid) if pid != self.pid]

    def _proc(self, name: str) -> Path:
        return Path("/proc", str(self.pid), name)


def _group(leader: int) -> list[int]:
    """Ids of the living processes of a process group."""
    members = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            # After the name, which is in brackets: state, parent, group.
            state, _, group = path.read_text(encoding="utf-8").rpartition(")")[2].split()[:3]
        except (FileNotFoundError, ProcessLookupError):
            continue  # has ended meanwhile
        if int(group) == leader and state != "Z":
            members.append(int(path.parent.name))
    return members
