"""The client as a library: ``with Client(endpoint=…) as client: client.transcribe("a.wav")``."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from client import addresses, replies, result, sources
from client.errors import GoneError, UsageError, WaitError
from client.links import Links
from client.platform import RUNNING, Platform
from client.request import Request
from client.result import Result
from client.sources import Recording
from client.storage import Storage
from client.uploads import Watch, url_of

FIRST_POLL_S = 0.5
LONGEST_POLL_S = 5.0
GONE_PAUSES_S = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Between the questions for a job that the platform does not know: it may not be known everywhere
at once, and who believes it too soon pays for it twice."""


def _ignore(_stage: str, _share: float | None) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Job:
    """A job that the platform has.

    Parameters
    ----------
    output : the field of the job, where it has one: its bucket may be linked to.
    """

    id: str
    output: object = None


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
        self._links = Links(self.storage, self.platform)

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
        url = url_of(recording, self.storage, watch, is_local=self.platform.is_local)
        payload = {"input": request.input({"url": url, "id": recording.id})}
        if self._send_keys and (url.startswith("s3://") or request.output):
            payload["s3Config"] = self.storage.keys_for_job()
        return payload

    def send(self, payload: dict[str, Any]) -> Job:
        """Send a call that `payload` made."""
        return Job(self.platform.submit(payload), payload["input"].get("output"))

    def fetch(
        self, job: Job, *, timeout: float | None = None, watch: Watch = _ignore
    ) -> dict[str, Any]:
        """Wait for a job's reply, and bring what it only links to."""
        return self._links.bring(self._wait(job, timeout, watch), job.output)

    def _wait(self, job: Job, timeout: float | None, watch: Watch) -> dict[str, Any]:
        deadline = None if timeout is None else time.monotonic() + timeout
        pause_s, gone = FIRST_POLL_S, 0
        if self.platform.is_local:
            watch("working", None)
        while True:
            try:
                status = self.platform.status(job.id)
            except GoneError:
                if gone == len(GONE_PAUSES_S) or self.platform.is_local:
                    raise
                next_s = GONE_PAUSES_S[gone]
                gone += 1
            else:
                if status.status not in RUNNING:
                    return replies.outcome(status)
                watch(*replies.progress(status))
                gone, next_s = 0, pause_s
                pause_s = min(pause_s * 1.5, LONGEST_POLL_S)
            left_s = next_s if deadline is None else deadline - time.monotonic()
            if left_s <= 0 and gone:
                raise WaitError(
                    f"the platform does not know the job {job.id}, asked for {timeout:g} s. Wait "
                    f"for over {sum(GONE_PAUSES_S):g} s to be sure that it is gone."
                )
            if left_s <= 0:
                raise WaitError(
                    f"the job {job.id} has not ended in {timeout:g} s. It goes on; run the same "
                    "again to wait for it."
                )
            self.platform.pause(min(next_s, left_s))
