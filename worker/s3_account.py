"""Whose S3 is used: the job's (`s3Config`) or the operator's (``BUCKET_*``, ``AWS_*``)."""

import os
import re
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from worker.errors import InvalidInputError, StartupError, WorkerError
from worker.guard import parse_url
from worker.schema import S3Config
from worker.settings import Settings

Client = Any
"""boto3 makes its classes when it runs."""

NO_FILES = {
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
}
"""For botocore: where it would look for the user's files and profile."""
DEFAULT_REGION = "us-east-1"
RUNPOD_HOST = re.compile(r"s3api-([a-z0-9-]+)\.runpod\.io")
PROVIDER = r"(?:amazonaws\.com(?:\.cn)?|amazonaws\.eu|aliyuncs\.com|myqcloud\.com|scw\.cloud)"
"""Their hosts have a known form. Elsewhere ``s3`` may be any part of a name."""
REGION_IN_HOST = re.compile(
    r"(?:^|\.)(?:s3|oss|cos)(?:-fips)?[.-](?:dualstack\.)?"
    rf"(?:([a-z]{{2,4}}-[a-z0-9-]+?)(?:-internal)?\.{PROVIDER}$|([a-z]{{2,4}}(?:-[a-z]+)+-?\d+)\.)"
)
"""Elsewhere a region is what is written as most are, ``us-west-004``."""
BUCKET_IN_HOST = r"{}\.(?:s3|oss|cos)[.-](?!.*\.vpce\.)"
"""How ``bucket.s3.region.host`` begins, the form of RunPod's documentation, and of stores without
paths. What stands before the name of AWS's private endpoints is no bucket."""
OTHER_BUCKET = re.compile(BUCKET_IN_HOST.format("(.+?)") + rf"(?:.*\.)?{PROVIDER}")

HOW_TO_SET_UP = (
    "Give the job an s3Config {accessId, accessSecret, bucketName, endpointUrl} beside its input, "
    "or set BUCKET_ENDPOINT_URL, BUCKET_ACCESS_KEY_ID and BUCKET_SECRET_ACCESS_KEY, or the AWS_* "
    "variables, on the endpoint"
)


@dataclass(frozen=True, slots=True)
class Account:
    """Keys, and the endpoint that they are for.

    Parameters
    ----------
    origin : where the keys come from, as messages say it.
    endpoint : None: that of AWS.
    bucket : for results of a job that names no other.
    is_ours : set up by the operator, whose endpoint may have any address. The job's own passes the
        guard.
    """

    origin: str
    access_id: str
    access_secret: str = field(repr=False)
    endpoint: str | None
    region: str
    session_token: str | None = field(default=None, repr=False)
    bucket: str | None = None
    is_ours: bool = True

    @property
    def links(self) -> bool:
        """Whether the endpoint takes presigned links; that of RunPod's volumes does not."""
        return not RUNPOD_HOST.fullmatch(_host(self.endpoint))

    def address(self, bucket: str) -> tuple[str | None, str]:
        """Endpoint and addressing style by which a bucket is reached.

        Raises
        ------
        ValueError
            The endpoint is that of another bucket, which would be read and written instead.
        """
        host = _host(self.endpoint)
        if self.endpoint and re.match(BUCKET_IN_HOST.format(re.escape(bucket)), host):
            scheme, _, rest = self.endpoint.partition("://")
            return f"{scheme}://{rest[len(bucket) + 1 :]}", "virtual"
        if other := OTHER_BUCKET.fullmatch(host):
            raise ValueError(f"the endpoint is that of the bucket {other[1]!r} alone")
        return self.endpoint, "auto"


def of_job(config: S3Config) -> Account:
    """The account that a job brings along; nothing of the worker's own is in it.

    Raises
    ------
    InvalidInputError, ForbiddenUrlError
        Its endpoint is not ``https://host``, or not one that a job may name.
    """
    if parse_url(config.endpoint_url).target != b"/":
        raise InvalidInputError(
            "s3Config.endpointUrl: has a path or a query; write https://host, and the bucket as "
            "bucketName."
        )
    return Account(
        "s3Config.accessId and s3Config.accessSecret",
        config.access_id,
        config.access_secret.get_secret_value(),
        config.endpoint_url.rstrip("/"),
        _region(config.endpoint_url),
        bucket=config.bucket_name,
        is_ours=False,
    )


def of_settings(settings: Settings) -> Account | None:
    """The operator's account: ``BUCKET_*`` where all three are set, else ``AWS_*``."""
    keys = settings.bucket_access_key_id, settings.bucket_secret_access_key
    if (endpoint := settings.bucket_endpoint_url) and keys[0] and keys[1]:
        return Account(
            "BUCKET_ACCESS_KEY_ID and BUCKET_SECRET_ACCESS_KEY",
            keys[0],
            keys[1].get_secret_value(),
            endpoint.rstrip("/"),
            _region(endpoint, settings.aws_default_region),
        )
    keys = settings.aws_access_key_id, settings.aws_secret_access_key
    if keys[0] and keys[1]:
        endpoint, token = settings.aws_endpoint_url, settings.aws_session_token
        return Account(
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            keys[0],
            keys[1].get_secret_value(),
            endpoint.rstrip("/") if endpoint else None,
            _region(endpoint, settings.aws_default_region),
            session_token=token.get_secret_value() if token else None,
        )
    return None


def check(settings: Settings) -> None:
    """Find out at start what every large result would fail at.

    Raises
    ------
    StartupError
        SPEECH_OUTPUT is set, and no keys for it.
    """
    if settings.output and of_settings(settings) is None:
        raise StartupError(
            f"SPEECH_OUTPUT={settings.output} has no keys. Set BUCKET_ENDPOINT_URL, "
            "BUCKET_ACCESS_KEY_ID and BUCKET_SECRET_ACCESS_KEY, or AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or leave it out."
        )


def make_client(
    account: Account, bucket: str, connections: int, failure: type[WorkerError]
) -> Client:
    """Make boto3's client for one bucket; it looks up no keys of its own.

    Raises
    ------
    WorkerError
        Of the class `failure`: the endpoint is no address, or that of another bucket.
    """
    import botocore.exceptions
    import botocore.session
    from botocore.config import Config

    try:
        endpoint, style = account.address(bucket)
    except ValueError as error:
        raise failure(
            f"s3://{bucket}: {error}. Name that bucket, or beside {account.origin} the endpoint "
            "without it: https://s3.region.host."
        ) from error
    config = Config(
        signature_version="s3v4",  # many stores refuse links of the older kind
        s3={"addressing_style": style},
        retries={"mode": "standard", "total_max_attempts": 1},  # worker/s3.py tries again
        max_pool_connections=connections,
        # Checksums beyond the specification's first edition are unknown to many stores.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        ignore_configured_endpoint_urls=True,
    )
    try:
        session = botocore.session.Session(session_vars=NO_FILES)
        session.register_component("data_loader", _descriptions())
        return session.create_client(
            "s3",
            endpoint_url=endpoint,
            region_name=account.region,
            aws_access_key_id=account.access_id,
            aws_secret_access_key=account.access_secret,
            aws_session_token=account.session_token,
            config=config,
        )
    except (ValueError, botocore.exceptions.BotoCoreError) as error:
        raise failure(
            f"s3://{bucket}: no S3 client can be made ({type(error).__name__}). Check the endpoint "
            f"beside {account.origin}: write https://host."
        ) from error


@cache
def _descriptions() -> Any:  # noqa: ANN401 - no types
    """What S3's calls look like; read once, it takes a client from 0.15 s to 0.02 s of CPU."""
    import botocore.session

    return botocore.session.Session(session_vars=NO_FILES).get_component("data_loader")


def _region(endpoint: str | None, chosen: str | None = None) -> str:
    host = _host(endpoint)
    if match := RUNPOD_HOST.fullmatch(host):
        return match[1].upper()  # the region of RunPod's volumes is the datacenter, as EU-RO-1
    if chosen:
        return chosen
    match = REGION_IN_HOST.search(host)
    return match[1] or match[2] if match else DEFAULT_REGION


def _host(endpoint: str | None) -> str:
    try:
        return urlsplit(endpoint or "").hostname or ""
    except ValueError:  # no URL: the client that is made for it says so
        return ""
