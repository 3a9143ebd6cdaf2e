"""One writer on a volume at a time, wherever it runs.

The lock is a file that only one process can create. Its holder touches it
every few seconds; a holder that died is recognised by its process, on the same
machine, or by the silence. No flock: not every network file system has it.
"""

import contextlib
import json
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from volume_bootstrap.layout import Volume

logger = logging.getLogger(__name__)

HEARTBEAT_S = 5.0
DEAD_AFTER_S = 60.0
"""Silence after which a holder is taken for dead: many heartbeats, for slow network volumes."""
POLL_S = 0.5


@contextlib.contextmanager
def writing(volume: Volume) -> Iterator[None]:
    """Hold the volume's lock; wait for a holder that lives, take over from one that died."""
    path = volume.metadata / "lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    owner = {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "started": _started(os.getpid()),
        "token": uuid.uuid4().hex,
    }
    waiting_for = ""
    while not _create(path, owner):
        holder = _read(path)
        if holder is not None and _is_dead(path, holder):
            logger.warning("taking over from %s, which died", _name(holder))
            _remove(path, holder)
            continue
        if holder is not None and waiting_for != (waiting_for := holder["token"]):
            logger.info("waiting for %s, which is writing to %s", _name(holder), volume.root)
        time.sleep(POLL_S)

    done = threading.Event()
    heart = threading.Thread(target=_beat, args=(path, done), daemon=True)
    heart.start()
    try:
        yield
    finally:
        done.set()
        heart.join()
        _remove(path, owner)


def holder(volume: Volume) -> str | None:
    """Name who is writing to the volume, if anyone holds its lock."""
    found = _read(volume.metadata / "lock")
    return None if found is None else _name(found)


def _create(path: Path, owner: dict[str, Any]) -> bool:
    """Create the lock with its content in one step: a link to a whole file."""
    draft = path.with_name(f"lock.{owner['token']}")
    draft.write_text(json.dumps(owner), encoding="utf-8")
    try:
        os.link(draft, path)
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    return True


def _read(path: Path) -> dict[str, Any] | None:
    try:
        holder: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError:
        # Nobody writes such a lock; it goes by its silence.
        return {"host": "an unknown machine", "pid": 0, "started": None, "token": "damaged"}
    return holder


def _started(pid: int) -> str | None:
    """When a process of this machine started, in ticks; none if there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name, in parentheses, may hold anything; the start is the twentieth field after it.
    return stat.rpartition(")")[2].split()[19]


def _is_dead(path: Path, holder: dict[str, Any]) -> bool:
    if holder["host"] == socket.gethostname():
        return bool(_started(holder["pid"]) != holder["started"])
    # Both times are the file server's: clocks of two machines need not agree.
    probe = path.with_name(f"lock.{uuid.uuid4().hex}")
    probe.touch()
    try:
        return probe.stat().st_mtime - path.stat().st_mtime > DEAD_AFTER_S
    except FileNotFoundError:
        return False
    finally:
        probe.unlink()


def _remove(path: Path, holder: dict[str, Any]) -> None:
    """Remove the lock if it is still this holder's: of two that take over, one succeeds."""
    aside = path.with_name(f"lock.{uuid.uuid4().hex}")
    try:
        path.rename(aside)
    except FileNotFoundError:
        return
    if _read(aside) != holder:
        # Another was quicker and holds the lock already: give it back.
        with contextlib.suppress(FileExistsError):
            os.link(aside, path)
    aside.unlink()


def _beat(path: Path, done: threading.Event) -> None:
    while not done.wait(HEARTBEAT_S):
        try:
            os.utime(path)
        except FileNotFoundError:
            logger.exception("the lock %s was taken away while this process was writing", path)
            return


def _name(holder: dict[str, Any]) -> str:
    return f"process {holder['pid']} on {holder['host']}"
