"""Tells the provisioner which generation this worker runs on, so that it stays. Standard library.

A file on the volume, touched while the worker lives: a provisioner on another
machine sees neither this process nor its open files.
"""

import atexit
import json
import logging
import os
import socket
import threading
import uuid
from pathlib import Path

from volume_bootstrap.layout import WORKER_BEAT_S, Volume

logger = logging.getLogger(__name__)


def start(volume: Volume, generation: str) -> Path | None:
    """Write this worker's file and keep touching it; none on a volume that cannot be written to."""
    path = volume.workers / f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}.json"
    content = json.dumps({"generation": generation})
    try:
        _write(path, content)
    except OSError as error:
        # No reason to serve nobody: generations go only after two newer ones were built.
        logger.warning(
            "%s cannot be written: %s. A provisioner will not see this worker.", path, error
        )
        return None
    ended = threading.Event()
    beat = threading.Thread(
        target=_beat, args=(path, content, ended), name="heartbeat", daemon=True
    )
    beat.start()
    atexit.register(_end, path, beat, ended, os.getpid())
    return path


def _write(path: Path, content: str) -> None:
    draft = path.with_suffix(".partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    draft.write_text(content, encoding="utf-8")
    draft.replace(path)


def _beat(path: Path, content: str, ended: threading.Event) -> None:
    while not ended.wait(WORKER_BEAT_S):
        try:
            if path.exists():
                os.utime(path)
            else:
                # Somebody took this worker for gone, because it was frozen for long.
                _write(path, content)
        except OSError as error:
            logger.warning("%s cannot be touched: %s", path, error)


def _end(path: Path, beat: threading.Thread, ended: threading.Event, pid: int) -> None:
    # A process that was forked from this one ends too, and is not the worker.
    if os.getpid() == pid:
        ended.set()
        beat.join()  # or it might write the file once more
        path.unlink(missing_ok=True)
