"""Jobs: commands that run without a terminal, and what the volume tells of them.

A job is a process in a session of its own. Its record, ``.metadata/jobs/<id>.json``, is written
whole: when somebody claims the number, when the process has begun, when it has ended. Meanwhile the
process touches it, so that one that was killed is recognised, as the writer of the lock is. Beside
it lies what the job said, ``<id>.log``.
"""

import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from volume_bootstrap import files
from volume_bootstrap.errors import JobError
from volume_bootstrap.layout import Volume
from volume_bootstrap.processes import Process, has_died, server_time_or_ours

logger = logging.getLogger(__name__)

State = Literal["running", "done", "failed", "stopped", "died"]

KEPT = 20
"""Jobs that have ended and are still told of; `clean` removes these, too."""
TERMINATED = 143
"""Exit code of a command that got a SIGTERM."""
ID = re.compile(r"[a-z][a-z-]*-[1-9][0-9]*")
WRITTEN = re.compile(rf"(?P<id>{ID.pattern})\.(json|json\.partial|log|end)|draft\.[0-9a-f]+")
"""Names of files that jobs write; a draft is of a record whose number is not settled yet."""
STAGE = re.compile(r"^(?P<since>\S+) stage: (?P<name>\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Work:
    """A command: its name, such as ``setup``, and the options that decide what it does.

    Two are the same work if all of it is equal; `cache` is MODELSCOPE_CACHE, where set.
    """

    name: str
    options: tuple[str, ...]
    python: str
    cache: str | None


@dataclass(frozen=True, slots=True)
class Job:
    """One job, as its record tells of it.

    Until it has begun, `process` is the one that claimed it, and `group` is 0; then `group` is its
    process group, as the system that it runs on counts. `began` and `ended` are times in UTC, as
    ISO 8601.
    """

    id: str
    work: Work
    process: Process
    group: int
    began: str
    ended: str | None = None
    exit_code: int | None = None


_RECORD = TypeAdapter(Job)


def folder_of(volume: Volume) -> Path:
    """Folder of records and logs."""
    return volume.metadata / "jobs"


def record_of(volume: Volume, job_id: str) -> Path:
    """Path of a job's record."""
    return folder_of(volume) / f"{job_id}.json"


def log_of(volume: Volume, job_id: str) -> Path:
    """Path of what a job said."""
    return folder_of(volume) / f"{job_id}.log"


def find(volume: Volume, job_id: str) -> Job:
    """Read one job's record.

    Raises
    ------
    JobError
        There is no such job, or its record cannot be read.
    """
    if job_id not in (known := ids(volume)):
        names = ", ".join(known[-KEPT:]) or "none"
        raise JobError(f"{volume.root} has no job {job_id!r}; it has: {names}.")
    return read(record_of(volume, job_id))


def all_jobs(volume: Volume) -> list[Job]:
    """Jobs whose record can be read, the oldest first; the others are warned of."""
    found = []
    for job_id in ids(volume):
        try:
            found.append(read(record_of(volume, job_id)))
        except JobError as error:
            logger.warning("%s", error)
    return sorted(found, key=lambda job: (job.began, number(job.id)))


def state_of(volume: Volume, job: Job) -> State:
    """Say what became of a job; `died` is one that ended without a word, as by kill -9."""
    if job.exit_code is None:
        record = record_of(volume, job.id)
        if not has_died(job.process, record, lambda _: _time(volume)):
            return "running"
        # It may have noted its end after this record was read, and before its process was missed.
        now = read(record) if record.exists() else job
        return "died" if now.exit_code is None else state_of(volume, now)
    if job.exit_code == TERMINATED:
        return "stopped"
    return "failed" if job.exit_code else "done"


def last_stage(log: str) -> tuple[str, str] | None:
    """Name of the stage that a log tells of last, and since when."""
    found = None
    for found in STAGE.finditer(log):  # noqa: B007 - the last one
        pass
    return (found["name"], found["since"]) if found else None


def removable(volume: Volume, *, kept: int = 0) -> list[Path]:
    """Return the files of jobs that have ended, but for the newest `kept` of these.

    The records come last: a job's number is free for another when its record is gone. What bears
    other names stays, as the file that NFS keeps of a log which somebody still reads.
    """
    if not folder_of(volume).is_dir():
        return []
    # First the names: a job that begins while this one looks has files that are not among them.
    names = [WRITTEN.fullmatch(path.name) for path in folder_of(volume).iterdir()]
    jobs = all_jobs(volume)
    stay = {job.id for job in jobs if state_of(volume, job) == "running"}
    ended = [job.id for job in jobs if job.id not in stay]
    stay |= {job_id for job_id in set(ids(volume)) - {job.id for job in jobs}
             if not _is_silent(volume, job_id)}  # fmt: skip
    stay |= set(ended[-kept:] if kept else [])
    gone = [name.string for name in names if name and name["id"] not in stay]
    gone.sort(key=lambda name: (name.endswith(".json"), name))
    return [folder_of(volume) / name for name in gone]


def write(path: Path, job: Job) -> None:
    """Write a record whole."""
    files.write_text(path, dump(job))


def dump(job: Job) -> str:
    """The record as it stands on the volume."""
    return _RECORD.dump_json(job, indent=2).decode() + "\n"


def ids(volume: Volume) -> list[str]:
    """Return the id of each job that has a record, readable or not."""
    found = [path.stem for path in folder_of(volume).glob("*.json")]
    return sorted(filter(ID.fullmatch, found), key=lambda job_id: (work_of(job_id), number(job_id)))


def work_of(job_id: str) -> str:
    """What an id begins with: the name of its work."""
    return job_id.rpartition("-")[0]


def number(job_id: str) -> int:
    """What an id ends with."""
    return int(job_id.rpartition("-")[2])


def read(path: Path) -> Job:
    """Read a record.

    Raises
    ------
    JobError
        It is missing or damaged.
    """
    try:
        return _RECORD.validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise JobError(f"{path} does not exist: the job was cleared away.") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "record"
        raise JobError(f"{path} is damaged: {where}: {first['msg']}.") from error


def _is_silent(volume: Volume, job_id: str) -> bool:
    """Whether nobody touches a record any more that does not tell whose it is."""
    return has_died(Process(), record_of(volume, job_id), lambda _: _time(volume))


def _time(volume: Volume) -> float:
    """Time as the file server has it; the probe is one of the lock's, which clears it away."""
    return server_time_or_ours(volume.metadata)
