"""How a recording travels to the worker: by its address, within the call, or by a bucket."""

import base64
import threading
from collections.abc import Callable
from pathlib import Path

from client import sources
from client.errors import SourceError
from client.sources import Recording
from client.storage import Storage

INLINE_BYTES = 7_000_000
"""Of a file that travels in the call: base64 makes 9.34 MB of it, and /run takes 10."""
LOCAL_INLINE_BYTES = 100_000_000
"""A local server has no limit, but holds the call several times in memory."""

Watch = Callable[[str, float | None], None]
"""Called with what happens, such as ``asr``, and the share of it that is done, where known."""


def url_of(recording: Recording, storage: Storage, watch: Watch, *, is_local: bool) -> str:
    """What a job names as its audio; a large file is uploaded for it.

    Raises
    ------
    SourceError, StorageError
        The recording cannot be read, or not be sent.
    """
    if recording.path is None:
        return str(recording.address)
    size = sources.check_sendable(recording.path)
    limit = LOCAL_INLINE_BYTES if is_local else INLINE_BYTES
    if size <= limit:
        content = base64.b64encode(sources.read(recording, recording.path)).decode()
        return f"data:application/octet-stream;base64,{content}"
    if not storage.takes_files:
        raise SourceError(
            f"has {size / 1e6:.1f} MB, and a call takes {limit / 1e6:g} MB. Name a bucket with "
            "--s3 s3://bucket/prefix/, name the file by an https:// or s3:// address, or "
            "compress it, for example to opus or mp3."
        )
    return _upload(recording.path, recording.identity, size, storage, watch)


def _upload(path: Path, identity: str, size: int, storage: Storage, watch: Watch) -> str:
    sent = 0
    lock = threading.Lock()

    def told(num_bytes: int) -> None:  # by several threads of boto3's
        nonlocal sent
        with lock:
            sent += num_bytes
            watch("upload", min(sent / size, 1.0))

    watch("upload", 0.0)
    return storage.upload(path, identity, told)
