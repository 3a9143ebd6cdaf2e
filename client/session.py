"""The client as a library: ``with Client(endpoint=…) as client: client.transcribe("a.wav")``."""

import base64
import logging
import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from client import addresses, replies, result, sources
from client.errors import (
    GoneError,
    SourceError,
    StorageError,
    UsageError,
    WaitError,
)
from client.platform import RUNNING, Platform
from client.request import Request
from client.result import Result
from client.sources import Recording
from client.storage import Storage

logger = logging.getLogger(__name__)

INLINE_BYTES = 7_000_000
"""Of a file that travels in the call: base64 makes 9.34 MB of it, and /run takes 10."""
LOCAL_INLINE_BYTES = 100_000_000
"""A local server has no limit, but holds the call several times in memory."""
FIRST_POLL_S = 0.5
LONGEST_POLL_S = 5.0
GONE_TRIES = 3
"""A job that was just taken may not be known everywhere at once."""
LINK = re.compile(r"(?:https?|s3)://\S+")
"""In place of a file's text, which ends with a line break or is empty."""
LINK_S = 60.0

Watch = Callable[[str, float | None], None]
"""Called with what happens, such as ``asr``, and the share of it that is done, where known."""


def _ignore(_stage: str, _share: float | None) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Job:
    """A job that the platform has."""

    id: str


class Client:
    """A way to one endpoint or one local server; several threads may share it.

    Parameters
    ----------
    endpoint : id of a RunPod endpoint.
    url : instead, of ``handler.py --rp_serve_api``, such as ``http://localhost:8000``.
    api_key : by default RUNPOD_API_KEY.
    s3 : ``s3://bucket/prefix/`` for files over 7 MB.
    send_keys : let the job carry the S3 keys; by default the endpoint has keys of its own.
    stop : set it to have every call that waits raise StoppedError.

    Raises
    ------
    UsageError
        What is given does not make a client.
    """

    def __init__(
        self,
        *,
        endpoint: str | None = None,
        url: str | None = None,
        api_key: str | None = None,
        s3: str | None = None,
        send_keys: bool = False,
        stop: threading.Event | None = None,
    ) -> None:
        stop = stop or threading.Event()
        self.storage = Storage(s3)
        if send_keys and (url is not None or not self.storage.takes_files):
            raise UsageError("--send-keys goes with --endpoint and --s3: there is nothing to send.")
        self.platform: Platform
        if endpoint is not None and url is None:
            self.platform = addresses.of_endpoint(endpoint, api_key, stop)
            self.target = f"endpoint:{endpoint}"
        elif url is not None and endpoint is None:
            self.platform = addresses.of_url(url, stop)
            self.target = url.rstrip("/")
        else:
            given = "neither" if url is None else "both"
            raise UsageError(f"exactly one of --endpoint and --url is needed, not {given}.")
        self._send_keys = send_keys
        # Without the platform's key, which is no business of who keeps a result.
        self._links = httpx.Client(timeout=LINK_S, follow_redirects=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self.platform.close()
        self._links.close()

    def transcribe(
        self,
        source: str | Path,
        *,
        task: str = "transcript",
        formats: Sequence[str] = ("json",),
        timeout: float | None = None,
        watch: Watch = _ignore,
        **fields: Any,  # noqa: ANN401 - the worker checks them
    ) -> Result:
        """Send a recording and wait for what it holds.

        Parameters
        ----------
        source : a path, or an address that the worker can fetch.
        timeout : seconds to wait for it at most; None: as long as the platform keeps it.
        fields : more of docs/job-api.md, such as ``language="en"``.

        Raises
        ------
        JobFailed
            It ended without a result.
        ClientError
            Any other of client/errors.py.
        """
        job = self.submit(source, task=task, formats=formats, **fields)
        return self.wait(job, timeout=timeout, watch=watch)

    def submit(
        self,
        source: str | Path,
        *,
        task: str = "transcript",
        formats: Sequence[str] = ("json",),
        **fields: Any,  # noqa: ANN401
    ) -> Job:
        """Send a recording; the job goes on by itself, but with a local server, which waits.

        Raises
        ------
        ClientError
            See `transcribe`.
        """
        request = Request(task, tuple(formats), fields)
        is_address = isinstance(source, str) and "://" in source
        recording = sources.of_address(str(source)) if is_address else sources.of_file(Path(source))
        return self.send(self.payload(recording, request))

    def wait(self, job: Job, *, timeout: float | None = None, watch: Watch = _ignore) -> Result:
        """Wait for a job's result; the same errors as `transcribe`."""
        return result.parse(self.fetch(job, timeout=timeout, watch=watch))

    def cancel(self, job: Job) -> None:
        """Have a job ended, whether it waits or runs."""
        self.platform.cancel(job.id)

    def health(self, *, timeout: float | None = None) -> dict[str, Any]:
        """Ask a worker how it is; RunPod starts one where there is none."""
        job = self.send({"input": {"task": "health"}})
        return self._wait(job, timeout, _ignore)

    # What the command line does in steps

    def payload(
        self, recording: Recording, request: Request, watch: Watch = _ignore
    ) -> dict[str, Any]:
        """The call for a recording; a large file is uploaded.

        Raises
        ------
        SourceError, StorageError
            The recording cannot be read, or not be sent.
        """
        in_bucket = False
        if recording.path is None:
            url = str(recording.address)
        else:
            size = sources.check_sendable(recording.path)
            in_bucket = size > (LOCAL_INLINE_BYTES if self.platform.is_local else INLINE_BYTES)
            url = (
                self._upload(recording, recording.path, size, watch)
                if in_bucket
                else _inline(sources.read(recording, recording.path))
            )
        payload = {"input": request.input({"url": url, "id": recording.id})}
        if self._send_keys and url.startswith("s3://"):
            payload["s3Config"] = self.storage.keys_for_job()
        return payload

    def send(self, payload: dict[str, Any]) -> Job:
        """Send a call that `payload` made."""
        return Job(self.platform.submit(payload))

    def fetch(
        self, job: Job, *, timeout: float | None = None, watch: Watch = _ignore
    ) -> dict[str, Any]:
        """Wait for a job's reply, and bring what it only links to."""
        reply = self._wait(job, timeout, watch)
        files = reply.get("files")
        if not isinstance(files, dict):
            return reply
        texts = {
            kind: self._follow(text) if LINK.fullmatch(str(text)) else str(text)
            for kind, text in files.items()
        }
        if whole := texts.pop("json", None):  # only ever a link: the answer was a summary
            reply = {**reply, **result.read_json(whole)}
        return {**reply, "files": texts}

    def _upload(self, recording: Recording, path: Path, size: int, watch: Watch) -> str:
        if not self.storage.takes_files:
            limit = LOCAL_INLINE_BYTES if self.platform.is_local else INLINE_BYTES
            raise SourceError(
                f"has {size / 1e6:.1f} MB, and a call takes {limit / 1e6:g} MB. Name a bucket with "
                "--s3 s3://bucket/prefix/, name the file by an https:// or s3:// address, or "
                "compress it, for example to opus or mp3."
            )
        sent = 0
        lock = threading.Lock()

        def told(num_bytes: int) -> None:  # by several threads of boto3's
            nonlocal sent
            with lock:
                sent += num_bytes
                watch("upload", min(sent / size, 1.0))

        watch("upload", 0.0)
        return self.storage.upload(path, recording.identity, told)

    def _wait(self, job: Job, timeout: float | None, watch: Watch) -> dict[str, Any]:
        deadline = None if timeout is None else time.monotonic() + timeout
        pause_s, gone = FIRST_POLL_S, 0
        if self.platform.is_local:
            watch("working", None)
        while True:
            try:
                status = self.platform.status(job.id)
                gone = 0
            except GoneError:
                gone += 1
                if gone >= GONE_TRIES or self.platform.is_local:
                    raise
            else:
                if status.status not in RUNNING:
                    return replies.outcome(status)
                watch(*replies.progress(status))
            left_s = pause_s if deadline is None else deadline - time.monotonic()
            if left_s <= 0:
                raise WaitError(
                    f"the job {job.id} has not ended in {timeout:g} s. It goes on; run the same "
                    "again to wait for it."
                )
            self.platform.pause(min(pause_s, left_s))
            pause_s = min(pause_s * 1.5, LONGEST_POLL_S)

    def _follow(self, link: str) -> str:
        """The text that a link leads to."""
        where = link.partition("?")[0]
        if link.startswith("s3://"):
            return self.storage.read(link).decode("utf-8", "replace")
        try:
            response = self._links.get(link)
        except httpx.HTTPError as error:
            raise StorageError(
                f"{where} cannot be read: {error or type(error).__name__}."
            ) from error
        if response.status_code != httpx.codes.OK:
            raise StorageError(f"{where} cannot be read: HTTP {response.status_code}.")
        return response.content.decode("utf-8", "replace")


def _inline(content: bytes) -> str:
    return f"data:application/octet-stream;base64,{base64.b64encode(content).decode()}"
