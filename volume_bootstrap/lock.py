"""One writer on a volume at a time, wherever it runs.

The lock is a file that only one process can create. Its holder touches it
every few seconds; a holder that died is recognised by its process, on the same
machine, or by the silence. No flock: not every network file system has it.
"""

import contextlib
import json
import logging
import os
import signal
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from volume_bootstrap import files
from volume_bootstrap.errors import VolumeError
from volume_bootstrap.layout import Volume
from volume_bootstrap.processes import (
    DEAD_AFTER_S,
    HEARTBEAT_S,
    Process,
    has_died,
    myself,
    server_time,
    server_time_or_ours,
)

logger = logging.getLogger(__name__)

POLL_S = 0.5


@dataclass(frozen=True, slots=True)
class _Owner(Process):
    """Who holds the lock. Of one that could not write its name only the token is known."""

    token: str = ""


@contextlib.contextmanager
def writing(volume: Volume) -> Iterator[None]:
    """Hold the volume's lock; wait for a holder that lives, take over from one that died.

    A run that loses the lock all the same, because it was silent for long, gets a SIGTERM.

    Raises
    ------
    VolumeError
        The volume cannot be written to.
    """
    path = volume.metadata / "lock"
    try:
        owner = _acquire(volume, path)
    except OSError as error:
        advice = "Mount it so that this user may write."
        if error.errno in files.FULL:
            advice = "Remove files from it, or give it more room."
        raise VolumeError(
            f"{volume.root} cannot be written to: {error.strerror} ({path.parent}). {advice}"
        ) from error

    done = threading.Event()
    heart = threading.Thread(target=_beat, args=(path, owner, done), daemon=True)
    heart.start()
    try:
        _remove_drafts(path)
        yield
    finally:
        done.set()
        heart.join()
        _remove(path, owner)


def holder(volume: Volume) -> str | None:
    """Name who is writing to the volume, if anyone who lives holds its lock."""
    path = volume.metadata / "lock"
    found = _read(path)
    if found is None:
        return None
    return None if has_died(found, path, server_time_or_ours) else found.name


def _acquire(volume: Volume, path: Path) -> _Owner:
    path.parent.mkdir(parents=True, exist_ok=True)
    me = _Owner(**asdict(myself()), token=uuid.uuid4().hex)
    waiting_for = None
    while (owner := _create(path, me)) is None:
        holder = _read(path)
        if holder is not None and has_died(holder, path, server_time):
            logger.warning("taking over from %s, which died", holder.name)
            _remove(path, holder)
            continue
        if holder is not None and holder != waiting_for:
            logger.warning("waiting for %s, which is writing to %s", holder.name, volume.root)
            waiting_for = holder
        time.sleep(POLL_S)
    return owner


def _create(path: Path, me: _Owner) -> _Owner | None:
    """Create the lock with its content in one step, by a link; none if another holds it.

    Returns
    -------
    The owner as the lock names it: on a full volume, where it is empty, by its inode.
    """
    draft = path.with_name(f"lock.{me.token}")
    try:
        try:
            draft.write_text(json.dumps(asdict(me)), encoding="utf-8")
        except OSError as error:
            # An empty lock takes no room, and lets `clean` make some.
            if error.errno not in files.FULL or not draft.exists():
                raise
        owner = _read(draft)
        # The draft is missing where this process slept for so long that it was cleared away.
        with contextlib.suppress(FileExistsError, FileNotFoundError):
            os.link(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    # The link itself may tell of a failure that was none, when a file server answers twice.
    return owner if _read(path) == owner else None


def _read(path: Path) -> _Owner | None:
    try:
        with path.open("rb") as file:
            inode = os.fstat(file.fileno()).st_ino
            content = file.read()
    except FileNotFoundError:
        return None
    try:
        return _Owner(**json.loads(content))
    except (ValueError, TypeError):
        return _Owner(token=f"inode {inode}")


def _remove(path: Path, holder: _Owner) -> None:
    """Remove the lock if it is still this holder's: of two that take over, one succeeds."""
    if _read(path) != holder:
        return
    aside = path.with_name(f"lock.{uuid.uuid4().hex}")
    try:
        path.rename(aside)
    except FileNotFoundError:
        return
    try:
        if _read(aside) not in (holder, None):
            # Another was quicker and holds the lock already: give it back.
            with contextlib.suppress(FileExistsError):
                os.link(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def _remove_drafts(path: Path) -> None:
    """Remove what processes left that were killed; the lock is new and shows the server's time."""
    now = path.stat().st_mtime
    # No shorter pattern: a project may be called lock.something.
    for draft in path.parent.glob("lock." + 32 * "[0-9a-f]"):
        with contextlib.suppress(FileNotFoundError):
            if now - draft.stat().st_mtime > DEAD_AFTER_S:
                draft.unlink()


def _beat(path: Path, owner: _Owner, done: threading.Event) -> None:
    while not done.wait(HEARTBEAT_S):
        try:
            if _read(path) == owner:
                os.utime(path)
            # One that takes over looks whose lock it has in its hand, and gives it back.
            elif not done.wait(POLL_S) and (found := _read(path)) != owner:
                name = found.name if found else "nobody"
                logger.error("%s was lost: %s holds it now. This run stops.", path, name)
                os.kill(os.getpid(), signal.SIGTERM)
                return
        except OSError as error:
            logger.warning("%s cannot be touched: %s", path, error)
