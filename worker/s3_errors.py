"""What an S3 endpoint's refusals mean: which pass by themselves, what to do about the others."""

import logging
from typing import Any

from worker.errors import WorkerError
from worker.memory import is_out_of_memory
from worker.naming import shorten
from worker.s3_account import Account

logger = logging.getLogger(__name__)

BUSY_STATUS = frozenset({429, 500, 502, 503, 504})
BUSY_CODES = frozenset(
    {"InternalError", "RequestTimeout", "ServiceUnavailable", "SlowDown", "TooManyRequests"}
)
KEY_CODES = frozenset(
    {
        "401",
        "ExpiredToken",
        "InvalidAccessKeyId",
        "InvalidToken",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
    }
)
REGION_CODES = frozenset(
    {"301", "307", "AuthorizationHeaderMalformed", "PermanentRedirect", "TemporaryRedirect"}
)


class UnexpectedAnswerError(Exception):
    """The peer does not keep to what S3 is."""


def is_passing(response: Any, caught_exception: object) -> bool:  # noqa: ANN401 - botocore's
    """Whether a request that ended so may do better when it is sent again."""
    import botocore.exceptions

    if caught_exception is not None:
        kinds = (botocore.exceptions.ConnectionError, botocore.exceptions.HTTPClientError)
        return isinstance(caught_exception, kinds)
    http, parsed = response
    return http.status_code in BUSY_STATUS or parsed.get("Error", {}).get("Code") in BUSY_CODES


def code_of(error: Any) -> str:  # noqa: ANN401 - botocore's
    """What the endpoint calls its refusal."""
    return shorten(str(error.response.get("Error", {}).get("Code", "no code")), 40)


def explain(
    error: BaseException, where: str, account: Account, failure: type[WorkerError]
) -> WorkerError | None:
    """Say what went wrong with the object `where`, and what to do.

    Returns
    -------
    An error of the class `failure`, or None where it tells what happened itself: one of ours, or
    memory that ran out.
    """
    import botocore.exceptions
    import s3transfer.exceptions
    from botocore.parsers import ResponseParserError

    if isinstance(error, botocore.exceptions.ClientError):
        return failure(f"{where}: {_refusal(error, account)}")
    transport = (
        botocore.exceptions.BotoCoreError,
        s3transfer.exceptions.RetriesExceededError,
        s3transfer.exceptions.S3DownloadFailedError,
        ResponseParserError,
        UnexpectedAnswerError,
    )
    # botocore and s3transfer raise the last three where a header or an element is not there, or is
    # no number and no date: their text is the peer's, and says nothing of memory.
    expected = (*transport, KeyError, ValueError, TypeError)
    lacks_memory = not isinstance(error, expected) and is_out_of_memory(error)
    if isinstance(error, WorkerError) or lacks_memory:
        return None
    if not isinstance(error, transport):  # it may as well be a defect of ours
        logger.warning("%s failed in an unforeseen way", where, exc_info=error)
    endpoint = "the worker's S3 endpoint" if account.is_ours else "s3Config.endpointUrl"
    return failure(
        f"{where}: {endpoint} could not be reached, broke off, or answered with something that is "
        f"not S3 ({type(error).__name__}). Check that it is up and right, then try again."
    )


def _refusal(error: Any, account: Account) -> str:  # noqa: ANN401 - botocore's
    code, status = code_of(error), error.response["ResponseMetadata"]["HTTPStatusCode"]
    if code in KEY_CODES:
        return f"the credentials were refused ({code}). Check {account.origin}."
    if code == "NoSuchBucket":
        return "there is no such bucket. Check its name and the endpoint, or create it."
    if code in {"NoSuchKey", "404"}:
        return "there is no such object. Check the key: it is taken as it is written."
    if code in {"AccessDenied", "AllAccessDisabled", "403"}:
        return (
            f"permission denied ({code}), or there is no such object: AWS says so to keys without "
            f"s3:ListBucket. Check the name, or allow the key of {account.origin} to do "
            "s3:GetObject for audio, s3:PutObject and s3:AbortMultipartUpload for results."
        )
    if code in REGION_CODES:
        return f"the bucket has another endpoint ({code}). Name the endpoint of its region."
    if code in BUSY_CODES or status in BUSY_STATUS:
        return f"the endpoint is busy ({status} {code}) and stayed so. Try again later."
    return f"the endpoint refused with {status} {code}. Check the bucket, the key and the endpoint."
