"""The temporary folder of a job, and those that dead workers left."""

import fcntl
import hashlib
import logging
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

logger = logging.getLogger(__name__)


@contextmanager
def workspace() -> Iterator[Path]:
    """Make a folder that is gone when the block ends.

    It is locked by this process, so that another one can tell after its death, however it died,
    that nobody needs the folder any more.
    """
    while True:
        with tempfile.TemporaryDirectory(prefix=_prefix()) as folder, _locked(folder) as is_there:
            if is_there:
                yield Path(folder)
                return


@contextmanager
def _locked(folder: str) -> Iterator[bool]:
    """Lock a folder; tell whether it is there: another process may have removed it before."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        handle = None
    if handle is None:
        yield False
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield Path(folder).exists()
    finally:
        os.close(handle)


def _prefix() -> str:
    """How the names of this machine's folders begin: on a network file system locks may not hold
    between machines, so that each looks after its own."""
    return f"speech-job-{hashlib.sha256(socket.gethostname().encode()).hexdigest()[:12]}-"


def clear() -> None:
    """Remove the folders whose process has died: a container that starts again keeps its disk.

    Folders of processes that live, and of other machines, are left alone.
    """
    for folder in Path(tempfile.gettempdir()).glob(f"{_prefix()}*"):
        try:
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError as error:
            logger.info("%s is left alone: %s", folder, error.strerror)
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder)
            logger.info("%s is removed: its worker has died", folder)
        except BlockingIOError:
            continue  # its job is in work
        except OSError as error:
            logger.warning("%s of a worker that has died stays: %s", folder, error.strerror)
        finally:
            os.close(handle)
