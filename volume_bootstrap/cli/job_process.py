"""``python -m volume_bootstrap.cli.job_process VOLUME ID COMMAND...``: a job, as its own process.

It has no terminal, tells the volume that it lives, and how it ended.
"""

import contextlib
import io
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from volume_bootstrap import files
from volume_bootstrap.jobs import records
from volume_bootstrap.jobs.records import Job
from volume_bootstrap.layout import Volume
from volume_bootstrap.processes import HEARTBEAT_S, myself, now

logger = logging.getLogger(__name__)

SPARE_BYTES = 256
"""What a record may grow by when its job ends."""


class LogFile(io.TextIOBase):
    """A stream whose lines get the time, in UTC, and that outlives a full volume.

    What finds no room is left out, which is told as soon as there is some: a job may be the one
    that makes room, or needs none.
    """

    encoding = "utf-8"

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()
        self._rest = ""
        self._lost_lines = 0

    def fileno(self) -> int:
        return self._descriptor

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        with self._lock:
            *lines, self._rest = (self._rest + text).split("\n")
            for line in lines:
                self._write_line(line)
        return len(text)

    def end(self) -> None:
        """Write what was begun as a line and not ended."""
        if self._rest:
            self.write("\n")

    def _write_line(self, line: str) -> None:
        told = ""
        if self._lost_lines:
            told = f"{now()} {self._lost_lines} lines are missing: the volume was full\n"
        content = f"{told}{now()} {line}\n".encode("utf-8", "backslashreplace")
        try:
            while content:
                content = content[os.write(self._descriptor, content) :]
            self._lost_lines = 0
        except OSError as error:
            if error.errno not in files.FULL:
                raise
            self._lost_lines += 1


def main() -> None:
    """Run the command line as a job, and end with its exit code."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    # Already while modules are imported; the command line does the same.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    root, job_id, *command = sys.argv[1:]
    volume = Volume(Path(root))
    record = records.record_of(volume, job_id)
    job = replace(records.read(record), process=myself(), group=os.getpid())
    try:
        # First the room: who waits for the record to tell of this process hears of what fails here.
        draft = _reserve(record, job)
        records.write(record, job)
    except OSError as error:
        sys.exit(
            f"error: {record} cannot be written: {error.strerror}. Mend that (`clean` makes room), "
            "or run the same without --detach."
        )
    log = LogFile(sys.stderr.fileno())
    sys.stdout = sys.stderr = log
    exit_code = 0
    try:
        with _beating(record):
            _run(command)
    except SystemExit as end:
        exit_code = end.code if isinstance(end.code, int) else 0
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    log.end()
    _note_end(draft, record, replace(job, ended=now(), exit_code=exit_code))
    sys.exit(exit_code)


def _run(command: list[str]) -> None:
    from volume_bootstrap.cli import app

    # `jobs show` tells the stage by these lines, whatever else is told.
    logging.getLogger("volume_bootstrap.stages").setLevel(logging.DEBUG)
    sys.argv[1:] = command
    app.main()


def _reserve(record: Path, job: Job) -> Path:
    """Take the room for the record's end: a job that ends because the volume is full tells so."""
    draft = record.with_suffix(".end")
    draft.write_bytes(b" " * (len(records.dump(job).encode()) + SPARE_BYTES))
    return draft


def _note_end(draft: Path, record: Path, job: Job) -> None:
    with draft.open("r+b") as file:
        file.write(records.dump(job).encode().ljust(draft.stat().st_size))
    files.move_file(draft, record)


@contextlib.contextmanager
def _beating(record: Path) -> Iterator[None]:
    """Touch the record now and then, for those who look from other machines."""
    done = threading.Event()

    def beat() -> None:
        while not done.wait(HEARTBEAT_S):
            try:
                os.utime(record)
            except OSError as error:
                logger.warning("%s cannot be touched: %s", record, error)

    heart = threading.Thread(target=beat, daemon=True)
    heart.start()
    try:
        yield
    finally:
        done.set()
        heart.join()


if __name__ == "__main__":
    main()
