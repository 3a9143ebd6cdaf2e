"""A bucket on any endpoint that speaks S3: each call is tried again where that may help.

Objects are asked for by their keys, never listed: RunPod's volumes list slowly.
"""

import io
import logging
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, TypeVar

from volume_bootstrap.errors import StoreError
from volume_bootstrap.files import BLOCK_BYTES
from volume_bootstrap.layout import LayoutError
from volume_bootstrap.progress import Progress
from volume_bootstrap.sources.s3_client import (
    MissingError,
    answer_of,
    connect,
    is_passing,
    passing_errors,
    refusal,
)
from volume_bootstrap.sources.wanted import address_name, without_credentials

logger = logging.getLogger(__name__)

ATTEMPTS = 8
PAUSE_S = 0.5
LONGEST_PAUSE_S = 20.0
"""Pauses double from the first to the longest: 51.5 s of them until a call is given up."""
Record = TypeVar("Record")
ADDRESS = re.compile(r"s3://(?P<bucket>[A-Za-z0-9][A-Za-z0-9._-]{1,62})(?:/(?P<prefix>.*))?")


@dataclass(frozen=True, slots=True)
class Place:
    """Where objects lie: ``s3://bucket`` or ``s3://bucket/prefix``, at an endpoint.

    A network volume of RunPod is a bucket of its id. Without `endpoint_url` it is
    AWS_ENDPOINT_URL, or Amazon's.
    """

    url: str
    endpoint_url: str | None = None


@dataclass(frozen=True, slots=True)
class Head:
    """What an endpoint tells of an object; `silence` is since it was written, by its own clock."""

    size: int
    etag: str
    silence: timedelta


class Store:
    """Objects below a prefix of a bucket.

    Parameters
    ----------
    progress : ends what goes on here when the run ends.

    Raises
    ------
    StoreError
        The address is none, or there are no credentials.
    """

    def __init__(self, place: Place, progress: Progress) -> None:
        import botocore.exceptions

        named = ADDRESS.fullmatch(place.url)
        prefix = (named["prefix"] or "").strip("/") if named else ""
        if named is None or {"", ".", ".."} & set(prefix.split("/") if prefix else ["whole"]):
            raise StoreError(
                f"{place.url!r} is no place in a bucket; give s3://BUCKET or s3://BUCKET/A/B."
            )
        self.bucket, self._prefix = named["bucket"], f"{prefix}/" if prefix else ""
        self._progress = progress
        try:
            self._client = connect(place.endpoint_url)
        except (ValueError, botocore.exceptions.BotoCoreError) as error:
            raise StoreError(
                f"{place.url}: {without_credentials(str(error))}. Check --endpoint-url and the "
                "AWS_* variables."
            ) from error
        self.endpoint = address_name(self._client.meta.endpoint_url)

    @property
    def name(self) -> str:
        """The place, for messages and to tell it from others."""
        return f"s3://{self.bucket}/{self._prefix} at {self.endpoint}"

    def address(self, key: str) -> str:
        """Name an object in messages."""
        return f"s3://{self.bucket}/{self._prefix}{key}"

    def check(self) -> None:
        """Find out whether the bucket is there and lets us in.

        Raises
        ------
        StoreError
            It is not, or does not.
        """
        try:
            self.call("head_bucket", None)
        except MissingError as error:
            raise StoreError(
                f"{self.endpoint} has no bucket {self.bucket!r}. For a volume of RunPod give its "
                "id, and the endpoint of its data centre: a volume is at no other."
            ) from error

    def head(self, key: str) -> Head | None:
        """Look at an object; none where there is none."""
        try:
            answer = self.call("head_object", key)
        except MissingError:
            return None
        told = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
        now = parsedate_to_datetime(told) if told else datetime.now(UTC)
        silence = now - answer.get("LastModified", now)
        return Head(answer["ContentLength"], answer.get("ETag", "").strip('"'), silence)

    def read(self, key: str) -> bytes | None:
        """Content of a small object; none where there is none."""
        try:
            return b"".join(self.content(key))
        except MissingError:
            return None

    def record(self, key: str, read: Callable[[Path], Record]) -> Record | None:
        """Read a record of a volume as `read` does from a file; none where there is none.

        Raises
        ------
        LayoutError
            It is damaged, or of another format.
        """
        content = self.read(key)
        if content is None:
            return None
        with tempfile.TemporaryDirectory(prefix="speech-record-") as folder:
            path = Path(folder) / "record.json"
            path.write_bytes(content)
            try:
                return read(path)
            except LayoutError as error:
                raise LayoutError(str(error).replace(str(path), self.address(key))) from error

    def content(self, key: str) -> Iterator[bytes]:
        """Content of an object, block by block; gone on with where it breaks off.

        Raises
        ------
        MissingError
            There is none.
        StoreError
            It does not come.
        """
        offset, etag, failures = 0, "", 0
        while True:
            span: dict[str, Any] = {"Range": f"bytes={offset}-"} if offset else {}
            if offset and etag:
                span["IfMatch"] = etag
            answer = self.call("get_object", key, **span)
            etag, end = answer.get("ETag", ""), offset + answer["ContentLength"]
            reason = "it broke off"
            try:
                with answer["Body"] as stream:
                    while block := stream.read(BLOCK_BYTES):
                        offset, failures = offset + len(block), 0
                        yield block
            except passing_errors() as error:
                reason = type(error).__name__
            if offset == end:
                return
            failures += 1
            self._pause(failures, f"{self.address(key)}: {reason}")

    def write(self, key: str, content: bytes) -> None:
        """Write an object in one step: whoever reads it gets the old one or the new."""
        self.call("put_object", key, content=content)

    def replace(self, key: str, content: bytes, head: Head | None) -> None:
        """Write an object, if it still is as `head` tells; not every endpoint asks that.

        Raises
        ------
        ConditionError, MissingError
            It is another, or away, by now; or the endpoint knows no conditions.
        """
        condition = {"IfNoneMatch": "*"} if head is None else {"IfMatch": f'"{head.etag}"'}
        self.call("put_object", key, content=content, **condition)

    def uploads_of(self, key: str) -> list[str]:
        """Ids of uploads in parts of this object that nobody finished."""
        name = self._prefix + key
        answer = self.call("list_multipart_uploads", None, Prefix=name)
        return [each["UploadId"] for each in answer.get("Uploads", []) if each["Key"] == name]

    def call(
        self,
        operation: str,
        key: str | None,
        *,
        content: bytes | None = None,
        **arguments: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401 - boto3 has no types
        """Call an operation of the client until it answers or there is no hope.

        Parameters
        ----------
        operation : its method's name.
        content : what is sent, anew at each attempt.

        Raises
        ------
        MissingError
            What it is about is not there.
        StoreError
            It is refused, or all attempts failed.
        """
        import botocore.exceptions

        where = f"s3://{self.bucket}" if key is None else self.address(key)
        if key is not None:
            arguments["Key"] = self._prefix + key
        failures = 0
        while True:
            if content is not None:
                arguments["Body"] = _Body(content, self._progress)
            try:
                return getattr(self._client, operation)(Bucket=self.bucket, **arguments)
            except botocore.exceptions.ClientError as error:
                reason = f"{where} at {self.endpoint} answers {answer_of(error)}"
                if not is_passing(error):
                    raise refusal(error, reason) from error
            except passing_errors() as error:
                reason = f"{where} at {self.endpoint}: {type(error).__name__}"
            except botocore.exceptions.BotoCoreError as error:
                raise StoreError(
                    f"{where}: {without_credentials(str(error))}. Check --endpoint-url and the "
                    "AWS_* variables, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
                ) from error
            failures += 1
            self._pause(failures, reason)

    def _pause(self, failures: int, reason: str) -> None:
        if failures >= ATTEMPTS:
            raise StoreError(
                f"{reason}; {failures} attempts in a row failed. Run it again later: it goes on "
                "where it was."
            )
        logger.info("%s; another attempt", reason)
        self._progress.wait(min(PAUSE_S * 2 ** (failures - 1), LONGEST_PAUSE_S))


class _Body(io.BytesIO):
    """What is sent: where the run is ending, no more of it."""

    def __init__(self, content: bytes, progress: Progress) -> None:
        super().__init__(content)
        self._progress = progress

    def read(self, size: int | None = -1, /) -> bytes:
        self._progress.wait(0)
        return super().read(size)
