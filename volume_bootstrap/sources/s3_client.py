"""boto3's client for any endpoint that speaks S3, and what its errors mean."""

import os
import re
from typing import TYPE_CHECKING, Any

from volume_bootstrap.errors import StoreError
from volume_bootstrap.sources.transfer import (
    CONNECT_TIMEOUT_S,
    FILES_AT_ONCE,
    READ_TIMEOUT_S,
    RETRIED,
)

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

PASSING_STATUSES = RETRIED | {520, 522, 524}
"""The last three are of the proxies before RunPod's API."""
PASSING_CODES = {"RequestTimeout", "BadDigest", "XAmzContentSHA256Mismatch", "IncompleteBody"}
"""Refusals of a body that did not come as it was sent."""
RUNPOD = re.compile(r"https://s3api-(?P<datacenter>[a-z0-9-]+)\.runpod\.io/?")


class MissingError(StoreError):
    """What a call was about is not there: an object, an upload, the bucket."""


class ConditionError(StoreError):
    """An object is no longer the one that was to be replaced, or no condition is understood."""


def connect(endpoint_url: str | None) -> Any:  # noqa: ANN401 - boto3 has no types
    """Make a client; credentials, region and endpoint come from AWS_* as for any.

    Raises
    ------
    ValueError, botocore.exceptions.BotoCoreError
        The endpoint is no address, or a variable is wrong.
    """
    import boto3
    from botocore.config import Config

    config = Config(
        # Whoever calls tries again, after the 502 that RunPod's API answers now and then, too.
        retries={"mode": "standard", "total_max_attempts": 1},
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=READ_TIMEOUT_S,
        max_pool_connections=FILES_AT_ONCE,
        # Only AWS itself is sure to know the newer checksums. The SHA-256 of each body is signed in
        # their place, which every endpoint has to check.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"payload_signing_enabled": True},
    )
    # A session of its own: the default one is not for several threads.
    session = boto3.Session()
    named = RUNPOD.fullmatch(endpoint_url or os.environ.get("AWS_ENDPOINT_URL", ""))
    region = session.region_name or (named["datacenter"].upper() if named else None)
    return session.client("s3", region_name=region, endpoint_url=endpoint_url, config=config)


def passing_errors() -> tuple[type[Exception], ...]:
    """What a client raises when a connection fails: another attempt may not."""
    import botocore.exceptions
    import urllib3

    return (
        botocore.exceptions.ConnectionError,
        botocore.exceptions.HTTPClientError,
        botocore.exceptions.IncompleteReadError,
        urllib3.exceptions.HTTPError,
    )


def _status(error: "ClientError") -> int:
    status: int = error.response["ResponseMetadata"]["HTTPStatusCode"]
    return status


def _code(error: "ClientError") -> str:
    return str(error.response["Error"].get("Code", ""))


def answer_of(error: "ClientError") -> str:
    """What an endpoint answered, in a word or two."""
    status, code = _status(error), _code(error)
    return f"{status}" if code in {"", str(status)} else f"{status} {code}"


def is_passing(error: "ClientError") -> bool:
    """Whether the same call may be answered otherwise when it is made again."""
    return _status(error) in PASSING_STATUSES or _code(error) in PASSING_CODES


def refusal(error: "ClientError", reason: str) -> StoreError:
    """An answer that stays, as an error that says what to do; `reason` names the answer."""
    if _status(error) == 404:
        return MissingError(f"{reason}.")
    if _status(error) in {409, 412, 501}:
        return ConditionError(f"{reason}.")
    if _status(error) in {401, 403}:
        return StoreError(
            f"{reason}. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to a key that may read and "
            "write there; for a volume of RunPod it is one of its S3 API keys, not its API key."
        )
    return StoreError(f"{reason}: {error.response['Error'].get('Message', 'no reason given')}")
