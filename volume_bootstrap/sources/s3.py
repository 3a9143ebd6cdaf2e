"""Objects of a bucket, on any endpoint that speaks S3: each file is at ``<url>/<path>``.

Nothing is listed: models.yaml names the files, and RunPod's volumes list slowly.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from volume_bootstrap.errors import SourceError
from volume_bootstrap.progress import Progress
from volume_bootstrap.project_files import S3Source
from volume_bootstrap.sources.s3_client import (
    answer_of,
    connect,
    is_passing,
    passing_errors,
    refusal,
)
from volume_bootstrap.sources.transfer import Body, Interrupted, Opener, save_all
from volume_bootstrap.sources.wanted import Wanted, address_name, without_credentials
from volume_bootstrap.sources.web import end_reading

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

CHANGED = 412
"""Another object was put there between two calls."""


def fetch(
    source: S3Source, wanted: Sequence[Wanted], folder: Path, progress: Progress
) -> dict[str, str]:
    """Download each object; credentials, region and endpoint come from AWS_* as for any client."""
    import botocore.exceptions

    bucket, _, prefix = source.url.removeprefix("s3://").partition("/")
    prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
    try:
        client = connect(source.endpoint_url)
    except (ValueError, botocore.exceptions.BotoCoreError) as error:
        reason = without_credentials(str(error))
        raise SourceError(
            f"s3://{bucket}/{prefix}: {reason}. Check `endpoint_url` in models.yaml and "
            "the AWS_* variables."
        ) from error
    try:
        return save_all(
            wanted, folder, lambda file: _opener(client, bucket, prefix + file.path), progress
        )
    except botocore.exceptions.BotoCoreError as error:
        reason = without_credentials(str(error))
        raise SourceError(f"s3://{bucket}/{prefix}: {reason}") from error


def _opener(client: Any, bucket: str, key: str) -> Opener:  # noqa: ANN401 - boto3 has no types
    import botocore.exceptions

    where = f"s3://{bucket}/{key} at {address_name(client.meta.endpoint_url)}"

    @contextmanager
    def open_at(start: int, etag: str | None) -> Iterator[Body]:
        try:
            head = client.head_object(Bucket=bucket, Key=key)
            # An ETag is no digest of an object that was uploaded in parts, but it changes with it.
            size, current = head["ContentLength"], head["ETag"]
            if etag not in {None, current} or start > size:
                start = 0
            if 0 < start == size:
                yield Body(start, size, current, lambda _: b"")
                return
            span = {"Range": f"bytes={start}-"} if start else {}
            answer = client.get_object(Bucket=bucket, Key=key, IfMatch=current, **span)
            with answer["Body"] as stream:
                # `stream` is urllib3's response, not boto3's: its close() would end no read.
                yield Body(start, size, current, stream.read, lambda: end_reading(stream))
        except botocore.exceptions.ClientError as error:
            raise _explained(error, where) from error
        except passing_errors() as error:
            raise Interrupted(f"{where}: {type(error).__name__}") from error

    return open_at


def _explained(error: "ClientError", where: str) -> Exception:
    told = f"{where} answers {answer_of(error)}"
    if is_passing(error) or error.response["ResponseMetadata"]["HTTPStatusCode"] == CHANGED:
        return Interrupted(told)
    return SourceError(str(refusal(error, told)))
