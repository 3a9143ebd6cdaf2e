"""Files that are whole or not there at all; results that could not be delivered."""

import hashlib
import os
import re
import uuid
from pathlib import Path

PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,150}")


def keep(folder: Path, name: str, body: bytes) -> Path:
    """Write a result below the volume's folder of those that could not be delivered.

    Parameters
    ----------
    folder : made where it is missing.
    name : of the job; one that is no plain name of a file is hashed.

    Raises
    ------
    OSError
    """
    if not PLAIN_NAME.fullmatch(name):
        name = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
    path = folder / f"{name}.json"
    folder.mkdir(exist_ok=True)
    write(path, body)
    return path


def write(path: Path, body: bytes) -> None:
    """Write a file that is whole or not there at all, on the disk when this returns.

    Raises
    ------
    OSError
        What was at `path` before is still there.
    """
    draft = path.parent / f".{uuid.uuid4().hex}.partial"
    try:
        with draft.open("wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    handle = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
