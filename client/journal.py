"""What was done of a folder of results, so that a second run does nothing twice.

JSON lines in ``.speech-client.jsonl``, each flushed to the disk before the client goes on. Of each
piece of work the last line counts:

==============  ====================================================================
``submitting``  a job is being sent; without a later line it may run or not
``submitted``   the platform has it, under the id in ``job``
``refused``     the platform does not have it
``failed``      it ended without a result
``done``        its results lie complete beside their names, and are renamed now
==============  ====================================================================
"""

import json
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from filelock import FileLock, Timeout

from client.errors import OutputError, UsageError

FILE = ".speech-client.jsonl"
LOCK = ".speech-client.lock"


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of one piece of work.

    Parameters
    ----------
    name : of the recording.
    work : fingerprint of the recording, of what was asked of it, and of whom.
    target : who was asked, as `endpoint:…` or the address of a local server.
    message : of a failure, or what a result lacks.
    formats : of the files that are done; None: a journal of before does not say.
    audio_s, num_speakers : of the result.
    time : when this was written, in seconds since the epoch.
    """

    name: str
    work: str
    state: str
    target: str
    job: str | None = None
    message: str | None = None
    formats: tuple[str, ...] | None = None
    audio_s: float | None = None
    num_speakers: int | None = None
    time: float = 0.0


class Journal:
    """The journal of a folder; ``with Journal(folder) as journal: ...`` holds its lock.

    Raises
    ------
    UsageError
        The folder cannot be written to, or another client works on it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / FILE
        self._guard = threading.Lock()
        self._lock = FileLock(folder / LOCK, timeout=0)
        self._file: int | None = None
        self._entries: dict[str, dict[str, Entry]] = {}

    def __enter__(self) -> Self:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT
            self._file = os.open(self._path, flags, 0o644)
            if self._path.read_bytes()[-1:] not in (b"", b"\n"):
                # A kill may have left half a line, and the next one must not go on with it.
                _write_all(self._file, b"\n")
            for entry in read(self._folder):
                self._note(entry)
        except Timeout:
            raise UsageError(
                f"another client works on {self._folder}; wait for it, or name another --out."
            ) from None
        except OSError as error:
            self._lock.release()
            raise UsageError(f"{self._folder} cannot be written to: {error.strerror}.") from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._guard:
            if self._file is not None:
                os.close(self._file)
            self._file = None
        self._lock.release()

    def find(self, name: str, work: str) -> Entry | None:
        """The last that is known of a piece of work."""
        with self._guard:
            return self._entries.get(name, {}).get(work)

    def open_jobs(self, target: str) -> list[Entry]:
        """What the platform may still work on."""
        with self._guard:
            known = [entry for works in self._entries.values() for entry in works.values()]
        return open_jobs(known, target)

    def write(self, entry: Entry) -> None:
        """Add a line; it is on the disk when this returns.

        Raises
        ------
        OutputError
            The disk does not take it.
        """
        noted = {k: v for k, v in asdict(entry).items() if v is not None}
        line = json.dumps(noted | {"time": round(time.time(), 3)}) + "\n"
        with self._guard:
            if self._file is None:
                raise OutputError("the journal is closed: the client is ending.")
            try:
                _write_all(self._file, line.encode())
                os.fsync(self._file)
            except OSError as error:
                raise OutputError(f"{self._path} cannot be written: {error.strerror}.") from error
            self._note(entry)

    def _note(self, entry: Entry) -> None:
        known = self._entries.setdefault(entry.name, {})
        if entry.state == "done":
            # Other work on the same recording wrote to the same files: they are these ones now.
            done = [(work, other) for work, other in known.items() if other.state == "done"]
            for work, other in done:
                if _share_a_file(other, entry):
                    del known[work]
        known[entry.work] = entry


def read(folder: Path) -> list[Entry]:
    """All lines of a folder's journal, in order, but those that a kill has left incomplete."""
    try:
        lines = (folder / FILE).read_bytes().splitlines()
    except FileNotFoundError:
        return []
    return [entry for line in lines if (entry := _parse(line))]


def open_jobs(entries: Sequence[Entry], target: str) -> list[Entry]:
    """The last lines of work that was sent to a target and has not ended."""
    latest = {(entry.name, entry.work): entry for entry in entries}
    return [e for e in latest.values() if e.state == "submitted" and e.target == target and e.job]


def _parse(line: bytes) -> Entry | None:
    try:
        found: dict[str, Any] = json.loads(line)
        # A newer client may note more.
        entry = Entry(
            **{each.name: found[each.name] for each in fields(Entry) if each.name in found}
        )
    except (ValueError, TypeError):
        return None
    if not all(
        isinstance(text, str) for text in (entry.name, entry.work, entry.state, entry.target)
    ):
        return None
    formats = entry.formats
    return replace(entry, formats=tuple(map(str, formats)) if isinstance(formats, list) else None)


def _share_a_file(one: Entry, other: Entry) -> bool:
    """Whether results of the same recording have a name in common."""
    if one.formats is None or other.formats is None:
        return True
    return not set(one.formats).isdisjoint(other.formats)


def _write_all(file: int, content: bytes) -> None:
    while content:
        content = content[os.write(file, content) :]
