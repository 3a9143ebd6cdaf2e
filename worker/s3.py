"""Objects of a bucket: read, written, linked to, on any endpoint that speaks S3.

Whatever the peer does, a call ends with its job and within its time: it runs in a thread, and
whoever waits for it ends its connections.
"""

import io
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager
from contextvars import copy_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from worker.backoff import pause_s
from worker.control import POLL_S, JobControl
from worker.errors import WorkerError
from worker.guard import Guard
from worker.naming import shorten
from worker.net import too_large
from worker.s3_account import Account, Client, make_client
from worker.s3_errors import UnexpectedAnswerError, code_of, explain, is_passing
from worker.settings import Settings

if TYPE_CHECKING:
    from worker.s3_session import Session

Result = TypeVar("Result")

CONNECTIONS = 4
PART_BYTES = 16 * 2**20
"""Objects above it go in parts, `CONNECTIONS` at a time; S3 takes 10,000 of them."""
MAX_TRIES = 6
PAUSE_S, MAX_PAUSE_S = 0.5, 8.0
"""Between two tries: the first pause, and the longest."""
END_S = 2.0
"""What a broken-off upload has to tell the endpoint so."""
LEAVE_S = 20.0
"""After it, a call that does not end is left to itself: its connection is being made, its name
resolved."""
LINK_S = 7 * 24 * 3600
"""How long a presigned link works; signatures do not last longer."""


class _EndedError(Exception):
    """Nobody waits for this request any more."""


class Bucket:
    """One bucket, for one job, until it is closed; made by `connect`."""

    def __init__(
        self,
        client: Client,
        session: "Session",
        name: str,
        account: Account,
        watch: Callable[[], None],
        failure: type[WorkerError],
    ) -> None:
        self._client = client
        self._session = session
        self._name = name
        self._account = account
        self._watch = watch
        self._failure = failure
        self._ended = threading.Event()
        self._size: int | None = None
        """Of the object that is read, once it is known."""
        events = client.meta.events
        events.register("before-send.s3", lambda request, **_: session.send(request))
        events.register("request-created.s3", self._before_request)
        events.register("before-parse.s3.GetObject", self._check_size)
        events.register("needs-retry.s3", self._pause)
        # To a redirect, botocore asks for the bucket's region; where that is redirected, too, it
        # asks until its stack is full.
        events.register(
            "before-call.s3",
            lambda context, **_: context.setdefault("s3_redirect", {}).update(redirected=True),
        )

    def download(self, key: str, target: Path, max_bytes: int) -> int:
        """Write an object to `target`, which is not there after an error.

        Returns
        -------
        Its size in bytes; where that is 0 there is no file.

        Raises
        ------
        AudioTooLargeError
            It holds more than `max_bytes`; nothing of it was read.
        WorkerError
            It could not be read: of the class that `connect` was given.
        """
        return self._run(key, lambda: self._download(key, target, max_bytes))

    def upload(self, key: str, content: bytes, content_type: str) -> None:
        """Write an object; one that is there is replaced, and one that fails leaves nothing.

        Raises
        ------
        WorkerError
            Of the class that `connect` was given.
        """
        self._run(key, lambda: self._upload(key, content, content_type))

    def check(self, key: str) -> None:
        """Find out whether an object may be written, and leave nothing.

        Raises
        ------
        WorkerError
            Of the class that `connect` was given.
        """
        self._run(key, lambda: self._check(key))

    def link(self, key: str) -> str:
        """Address of an object: a link that works for `LINK_S`, else ``s3://bucket/key``."""
        if not self._account.links:
            return f"s3://{self._name}/{key}"
        link: str = self._client.generate_presigned_url(
            "get_object", Params={"Bucket": self._name, "Key": key}, ExpiresIn=LINK_S
        )
        return link

    def _download(self, key: str, target: Path, max_bytes: int) -> int:
        import botocore.exceptions

        self._size = None
        # Not HEAD: its answers have no body, so that they do not say what is wrong.
        try:
            first = self._client.get_object(Bucket=self._name, Key=key, Range="bytes=0-0")
        except botocore.exceptions.ClientError as error:
            if code_of(error) == "InvalidRange":  # an empty object has no first byte
                return 0
            raise
        first["Body"].close()
        total = first.get("ContentRange", "").rpartition("/")[2] or str(first["ContentLength"])
        if not total.isdecimal():
            raise UnexpectedAnswerError
        self._size = size = int(total)
        if size > max_bytes:
            raise too_large(f"s3://{self._name}/{key}", max_bytes)
        if size:
            with self._transfers() as transfers:
                expected = _expectation(size, first.get("ETag"))
                transfers.download(self._name, key, str(target), subscribers=[expected]).result()
            if target.stat().st_size != size:
                target.unlink()
                raise UnexpectedAnswerError
        return size

    def _upload(self, key: str, content: bytes, content_type: str) -> None:
        with self._transfers() as transfers:
            kind = {"ContentType": content_type}
            transfers.upload(io.BytesIO(content), self._name, key, extra_args=kind).result()

    def _check(self, key: str) -> None:
        where = {"Bucket": self._name, "Key": key}
        begun = self._client.create_multipart_upload(**where)
        self._client.abort_multipart_upload(**where, UploadId=begun["UploadId"])

    def _transfers(self) -> Any:  # noqa: ANN401 - no types
        from boto3.s3.transfer import TransferConfig
        from s3transfer.manager import TransferManager

        config = TransferConfig(
            multipart_threshold=PART_BYTES,
            multipart_chunksize=PART_BYTES,
            max_concurrency=CONNECTIONS,
        )
        return TransferManager(self._client, config)

    def _run(self, key: str, work: Callable[[], Result]) -> Result:
        """Do `work` in a thread, and end it when the job ends or its time is over."""
        pool = ThreadPoolExecutor(1, thread_name_prefix="s3")
        running = pool.submit(copy_context().run, work)  # the job's id goes along, into the log
        try:
            while not wait([running], POLL_S).done:
                self._watch()
        except WorkerError:
            self._ended.set()
            leave = time.monotonic() + LEAVE_S
            self._session.abort()
            while not wait([running], END_S).done and time.monotonic() < leave:
                self._session.abort()
            raise
        finally:
            pool.shutdown(wait=running.done())
        if error := running.exception():
            where = f"s3://{self._name}/{shorten(key, 200)}"
            if told := explain(error, where, self._account, self._failure):
                raise told from error
        return running.result()

    def _before_request(self, operation_name: str, **_: object) -> None:
        if self._ended.is_set() and operation_name != "AbortMultipartUpload":
            raise _EndedError

    def _check_size(self, response_dict: dict[str, Any], **_: object) -> None:
        """Hold the peer to the size that it told first.

        What s3transfer cannot parse, it waits for; what is a million parts, it begins.
        """
        if self._size is None or response_dict["status_code"] >= 300:
            return
        headers = response_dict["headers"]
        total = headers.get("Content-Range", "").rpartition("/")[2] or headers["Content-Length"]
        if total != str(self._size):
            raise UnexpectedAnswerError

    def _pause(
        self,
        response: object,
        caught_exception: object,
        attempts: int,
        **_: object,
    ) -> float | None:
        """Wait before the next try, or say that there is none.

        botocore's own modes wait less than half a second in all for a 502, which RunPod's volumes
        answer now and then, and sleep on when the job has ended.
        """
        if attempts >= MAX_TRIES or not is_passing(response, caught_exception):
            return None
        return None if self._ended.wait(pause_s(attempts, PAUSE_S, MAX_PAUSE_S)) else 0.0


def _expectation(size: int, etag: str | None) -> Any:  # noqa: ANN401 - no types
    """Tell the transfer what is known, so that it does not ask again, and hold the peer to it."""
    from s3transfer.subscribers import BaseSubscriber

    received, lock = [0], threading.Lock()

    class Expectation(BaseSubscriber):  # type: ignore[misc] # s3transfer has no types
        def on_queued(self, future: Any, **_: object) -> None:  # noqa: ANN401
            future.meta.provide_transfer_size(size)
            future.meta.provide_object_etag(etag)

        def on_progress(self, bytes_transferred: int, **_: object) -> None:
            with lock:
                received[0] += bytes_transferred
                if received[0] > size:
                    raise UnexpectedAnswerError

    return Expectation()


Connection = AbstractContextManager[Bucket]


@contextmanager
def connect(
    account: Account,
    bucket: str,
    settings: Settings,
    control: JobControl,
    limit_s: float,
    failure: type[WorkerError],
) -> Iterator[Bucket]:
    """Open a bucket; its connections end with the block.

    Parameters
    ----------
    limit_s : time that all calls together may take, in seconds.
    failure : class of the errors.

    Raises
    ------
    WorkerError
        Of the class `failure`: no client can be made for the endpoint.
    """
    from worker.s3_session import Session

    resolve = (
        (lambda host, _: [host]) if account.is_ours else Guard(settings.allowed_networks).resolve
    )
    end = time.monotonic() + limit_s

    def watch() -> None:
        control.check()
        if time.monotonic() > end:
            raise failure(
                f"s3://{bucket} took more than {limit_s:g} s. Check that its endpoint is up."
            )

    session = Session(resolve, CONNECTIONS)
    try:
        client = make_client(account, bucket, CONNECTIONS, failure)
        yield Bucket(client, session, bucket, account, watch, failure)
    finally:
        session.close()
