"""Jobs from outside: begun once for each work, followed to their end, stopped."""

import contextlib
import logging
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

from volume_bootstrap import files
from volume_bootstrap.errors import JobError
from volume_bootstrap.jobs import records
from volume_bootstrap.jobs.records import Job, Work
from volume_bootstrap.layout import Volume
from volume_bootstrap.processes import myself, now, started

logger = logging.getLogger(__name__)

POLL_S = 0.2
GRACE_S = 20.0
"""What a job has to end after SIGTERM, in seconds; it ends what it started within a moment."""
READ_BYTES = 1 << 16
TERMINAL = {"FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"}
"""Variables that would have the log decorated, as a terminal wants it."""
SHOWN_LINES = 10


def start(volume: Volume, work: Work, command: Sequence[str]) -> tuple[Job, bool]:
    """Begin a job, unless one does this work already.

    Parameters
    ----------
    command : words after ``python -m volume_bootstrap``, with all that its record leaves out.

    Returns
    -------
    The job, and whether it is a new one.

    Raises
    ------
    JobError
        The volume cannot be written to, or the process ends before it is one.
    """
    try:
        # Before there is a job that a failure here would leave behind.
        _prune(volume)
        job, is_new = _claim(volume, work)
        if not is_new:
            return job, False
        try:
            process = _spawn(volume, job, command)
        except OSError:
            records.record_of(volume, job.id).unlink()  # of a job that there never was
            raise
    except OSError as error:
        raise JobError(
            f"No job can be begun in {records.folder_of(volume)}: {error.strerror}. Mend that "
            "(`clean` makes room), or run the same without --detach."
        ) from error
    while (begun := records.find(volume, job.id)).process == job.process:
        if process.poll() is not None:
            told = "\n  ".join(tail(volume, job.id, SHOWN_LINES)) or "nothing"
            raise JobError(f"Job {job.id} ended before it began. It said:\n  {told}")
        time.sleep(POLL_S / 10)
    return begun, True


def follow(volume: Volume, job: Job, write: Callable[[bytes], object]) -> Job:
    """Hand on what a job said and says, until it has ended.

    Returns
    -------
    The job as it ended.

    Raises
    ------
    JobError
        It has no log.
    """
    # Who was quick enough sees a job that has only its number yet.
    while not records.log_of(volume, job.id).exists() and _is_running(volume, job):
        time.sleep(POLL_S)
    with _open_log(volume, job.id) as log:
        while True:
            # First this: what comes after the look at the state is the last.
            is_running = _is_running(volume, job)
            while block := log.read(READ_BYTES):
                write(block)
            if not is_running:
                return records.find(volume, job.id)
            time.sleep(POLL_S)


def stop(volume: Volume, job: Job, grace_s: float = GRACE_S) -> Job:
    """End a job and all that it started; the volume serves what it served before.

    Returns
    -------
    The job as it ended.

    Raises
    ------
    JobError
        It runs elsewhere, is another user's, or was cleared away before it began.
    """
    if records.state_of(volume, job) != "running":
        return job
    if not job.process.is_here:
        raise JobError(
            f"Job {job.id} runs as {job.process.name}, not here: stop it there, with the same "
            "command. One whose machine is gone counts as died after a minute."
        )
    # One that only has its number yet bears the name of the process that begins it.
    while not job.group:
        time.sleep(POLL_S / 4)
        job = records.find(volume, job.id)
        if records.state_of(volume, job) != "running":
            return job
    try:
        # To the one alone: it ends what it started, and would take their ends for failures.
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            os.kill(job.group, signal.SIGTERM)
        if not _is_gone(job, grace_s):
            logger.warning("%s does not end: it is killed", job.process.name)
        # In any case: what it started may have started more, of which it does not know.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(job.group, signal.SIGKILL)
        _is_gone(job, grace_s)
    except PermissionError as error:
        raise JobError(
            f"Job {job.id}, {job.process.name}, is another user's: stop it as that user."
        ) from error
    return records.find(volume, job.id)


def read_log(volume: Volume, job_id: str) -> str:
    """What a job has said so far.

    Raises
    ------
    JobError
        It has no log.
    """
    with _open_log(volume, job_id) as log:
        return log.read().decode("utf-8", errors="replace")


def tail(volume: Volume, job_id: str, count: int) -> list[str]:
    """Last lines of what a job has said so far."""
    return read_log(volume, job_id).splitlines()[-count:]


def _prune(volume: Volume) -> None:
    """Remove what old jobs left; what cannot be removed is in nobody's way."""
    for path in records.removable(volume, kept=records.KEPT):
        try:
            files.remove(path)
        except OSError as error:
            logger.warning("%s stays: it cannot be removed: %s", path, error.strerror)


def _claim(volume: Volume, work: Work) -> tuple[Job, bool]:
    """Find the job that does this work already, or begin the record of a new one.

    Of several that claim at once one begins it, because all try to give the same next number. The
    new one bears this process's name until its own takes over.
    """
    records.folder_of(volume).mkdir(parents=True, exist_ok=True)
    while True:
        # The number comes first: it is taken if another begins while this one looks.
        numbers = [
            records.number(i) for i in records.ids(volume) if records.work_of(i) == work.name
        ]
        job_id = f"{work.name}-{max(numbers, default=0) + 1}"
        for job in records.all_jobs(volume):
            if job.work == work and records.state_of(volume, job) == "running":
                return job, False
        job = Job(job_id, work, myself(), 0, now())
        if _create(records.record_of(volume, job_id), job):
            return job, True


def _create(path: Path, job: Job) -> bool:
    """Create a record with its content in one step, by a link; false if another was quicker."""
    draft = path.with_name(f"draft.{uuid.uuid4().hex}")
    try:
        draft.write_text(records.dump(job), encoding="utf-8")
        # The link may tell of a failure that was none, and `clean` may have cleared the draft away.
        with contextlib.suppress(FileExistsError, FileNotFoundError):
            os.link(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    try:
        return records.read(path) == job
    except JobError:
        return False


def _spawn(volume: Volume, job: Job, command: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start the job's process, in a session of its own: no terminal that closes is its."""
    module = [sys.executable, "-m", "volume_bootstrap.cli.job_process"]
    with records.log_of(volume, job.id).open("ab") as log:
        return subprocess.Popen(
            [*module, str(volume.root), job.id, *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={name: os.environ[name] for name in os.environ if name not in TERMINAL},
        )


def _is_running(volume: Volume, job: Job) -> bool:
    return records.state_of(volume, records.find(volume, job.id)) == "running"


def _is_gone(job: Job, seconds: float) -> bool:
    """Wait for the end of a process of this machine: its record tells of it a moment earlier."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if started(job.process.pid) != job.process.started:
            return True
        time.sleep(POLL_S / 4)
    return False


def _open_log(volume: Volume, job_id: str) -> BinaryIO:
    path = records.log_of(volume, job_id)
    try:
        return path.open("rb")
    except FileNotFoundError as error:
        raise JobError(f"Job {job_id} has no log: {path} does not exist.") from error
