"""The temporary folder of a job, and those that dead workers left."""

import fcntl
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

logger = logging.getLogger(__name__)

PREFIX = "speech-job-"


@contextmanager
def workspace() -> Iterator[Path]:
    """Make a folder that is gone when the block ends.

    It is locked by this process, so that another one can tell after its death, however it died,
    that nobody needs the folder any more.
    """
    with tempfile.TemporaryDirectory(prefix=PREFIX) as folder:
        handle = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield Path(folder)
        finally:
            os.close(handle)


def clear() -> None:
    """Remove the folders whose process has died: a container that starts again keeps its disk.

    To be called before this process has any. Folders of others that live are left alone.
    """
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
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
