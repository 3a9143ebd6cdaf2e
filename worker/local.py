"""Recordings worked on without a platform: named, answered, written as files."""

import json
import os
import re
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from worker import keep
from worker.control import JobControl
from worker.errors import InvalidInputError
from worker.naming import name_of, shorten

Reply = dict[str, Any]

MAX_NAME_BYTES = 200
"""Of a file's 255, which its ending counts to."""


@dataclass(frozen=True, slots=True)
class LocalJob:
    """A job on one recording.

    name : of its files, without their endings.
    fields : its ``input``.
    """

    name: str
    fields: dict[str, Any]


class Answers(Protocol):
    """What does the work: `worker.service.Service`."""

    def answer(self, job_input: object, control: JobControl) -> Reply:
        """Run one job in the caller's thread; never raises."""


class Tells(Protocol):
    """What is told of progress, from the threads that work."""

    def __call__(self, name: str, stage: str, share: float) -> None:
        """The job called `name` has done `share`, in [0, 1], of a stage."""


def jobs_of(sources: Sequence[str], fields: Mapping[str, Any]) -> list[LocalJob]:
    """Make a job of each source, a path of this machine or an address that any job may name.

    Raises
    ------
    InvalidInputError
        A path names no file, or the results of two recordings would have one name.
    """
    named = [(file_name(name_of(address)), address) for address in map(_address, sources)]
    times = Counter(name for name, _ in named)
    if twice := [address for name, address in named if times[name] > 1]:
        raise InvalidInputError(
            f"{' and '.join(map(_shown, twice[:2]))} would write the same files. Run them apart, "
            "each with an --out of its own."
        )
    return [LocalJob(name, {**fields, "audio": address}) for name, address in named]


def _address(source: str) -> str:
    """The source as a job names it."""
    if re.match(r"(https?|s3|volume)://|data:", source, re.IGNORECASE):
        return source
    path = Path(source)
    if path.is_dir():
        raise InvalidInputError(
            f"{_shown(source)} is a folder. Name its recordings, such as {path}/*.wav."
        )
    if not path.is_file():
        raise InvalidInputError(f"{_shown(source)} is not a file, or does not exist.")
    try:
        os.fsencode(path).decode()
    except UnicodeDecodeError:
        raise InvalidInputError(
            f"{_shown(source)}: the name is not valid UTF-8. Rename the file."
        ) from None
    return f"file://{path.absolute()}"


def _shown(source: str) -> str:
    return shorten(source.removeprefix("file://"), 200)


def file_name(name: str) -> str:
    """A recording's name or id as the name of a file, whatever it holds."""
    plain = re.sub(r"[^\w.-]+", "_", name).encode()[:MAX_NAME_BYTES].decode(errors="ignore")
    return plain.strip(".") or "audio"


def answers(
    service: Answers, jobs: Sequence[LocalJob], num_at_once: int, tell: Tells
) -> Generator[tuple[LocalJob, Reply]]:
    """Yield each job with its reply, in order; while one computes, the next are read.

    Closing this, or an interruption while it waits, ends the jobs that run and starts no more.
    """

    def report(name: str) -> JobControl:
        return JobControl(lambda stage, share: tell(name, stage, share))

    controls = [report(job.name) for job in jobs]
    with ThreadPoolExecutor(num_at_once, thread_name_prefix="job") as pool:
        replies = [
            pool.submit(service.answer, job.fields, control)
            for job, control in zip(jobs, controls, strict=True)
        ]
        try:
            for job, reply in zip(jobs, replies, strict=True):
                yield job, reply.result()
        finally:
            for control in controls:
                control.cancel()


def write(reply: Reply, formats: Sequence[str], folder: Path, name: str) -> list[Path]:
    """Write a reply and its files into a folder, which is made; each is whole or not there.

    Raises
    ------
    OSError
        The folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    texts = dict(reply.get("files", {}))
    if "json" in formats:
        whole = {key: value for key, value in reply.items() if key != "files"}
        texts = {"json": json.dumps(whole, indent=2, ensure_ascii=False) + "\n"} | texts
    paths = []
    for suffix, text in texts.items():
        path = folder / f"{name}.{suffix}"
        keep.write(path, text.encode())
        paths.append(path)
    return paths
