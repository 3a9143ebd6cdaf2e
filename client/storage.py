"""S3 on the client's side: large files go up, results that are links come down.

Keys are those that the worker's README names: ``BUCKET_ENDPOINT_URL``, ``BUCKET_ACCESS_KEY_ID`` and
``BUCKET_SECRET_ACCESS_KEY`` where all three are set, else what boto3 finds by itself (``AWS_*``,
profiles).
"""

import hashlib
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
from boto3.exceptions import Boto3Error
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from client.errors import SourceError, StorageError, UsageError
from client.sources import changed, is_same

S3Client = Any
"""boto3 makes its classes when it runs."""
OURS = ("BUCKET_ENDPOINT_URL", "BUCKET_ACCESS_KEY_ID", "BUCKET_SECRET_ACCESS_KEY")
RUNPOD_HOST = re.compile(r"s3api-([a-z0-9-]+)\.runpod\.io")
REGION_IN_HOST = re.compile(r"(?:^|\.)s3[.-]([a-z]{2,4}(?:-[a-z]+)+-?\d+)\.")
TRIES = 6
"""Of each call, as the worker's; RunPod's volumes answer 502 now and then."""
PLACE = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(.*))?", re.DOTALL)
DIGEST_DIGITS = 32
"""Of the SHA-256 in a key: other content never has it."""

Told = Callable[[int], None]
"""Called with the bytes that went up since the last call."""


def bucket_of(address: object) -> str:
    """The bucket of an ``s3://`` address; empty where it is none."""
    place = PLACE.fullmatch(address) if isinstance(address, str) else None
    return place[1] if place else ""


class Storage:
    """Where files too large for a call go, with the keys of `environment`.

    Parameters
    ----------
    prefix : ``s3://bucket/prefix/``; None: results are read, nothing goes up.

    Raises
    ------
    UsageError
        `prefix` is no such place.
    """

    def __init__(
        self, prefix: str | None = None, environment: Mapping[str, str] = os.environ
    ) -> None:
        self._environment = environment
        self.bucket, self._prefix = "", ""
        if prefix is not None:
            place = PLACE.fullmatch(prefix)
            if place is None:
                raise UsageError(f"--s3 {prefix!r} is no place; write s3://bucket/prefix/.")
            self.bucket, self._prefix = place[1], (place[2] or "").strip("/")

    @property
    def takes_files(self) -> bool:
        return bool(self.bucket)

    def upload(self, path: Path, identity: str, told: Told = lambda _: None) -> str:
        """Put a file, unless it is there already; its ``s3://`` address.

        The key holds the digest of the content: a second upload of a file is none, and no other
        file takes its place while a job waits.

        Raises
        ------
        SourceError
            The file cannot be read, or changes meanwhile.
        StorageError
            S3 does not take it.
        """
        client, bucket = self._client(self.bucket), self.bucket
        try:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()[:DIGEST_DIGITS]
            name = re.sub(r"[^A-Za-z0-9._-]", "_", path.name)[-100:]
            key = "/".join(filter(None, [self._prefix, digest, name]))
            is_new = self._size(client, key) != path.stat().st_size
            if is_new:
                client.upload_file(str(path), bucket, key, Callback=told)
            if not is_same(path, identity):  # then the key may not be that of the content
                if is_new:
                    self._remove(client, key)
                raise changed()
        except OSError as error:
            raise SourceError(f"cannot be read: {error.strerror or error}.") from error
        except (BotoCoreError, Boto3Error, ClientError) as error:
            raise self._failed(f"s3://{bucket}/{key} cannot be written", error) from error
        return f"s3://{bucket}/{key}"

    def _remove(self, client: S3Client, key: str) -> None:
        """Remove what a later upload would take for the file."""
        try:
            client.delete_object(Bucket=self.bucket, Key=key)
        except (BotoCoreError, ClientError) as error:
            what = "holds what the file was while it changed, and cannot be removed; remove it"
            raise self._failed(f"s3://{self.bucket}/{key} {what}", error) from error

    def _size(self, client: S3Client, key: str) -> int | None:
        """Size of an object; None where there is none, or where that may not be asked."""
        try:
            size: int = client.head_object(Bucket=self.bucket, Key=key)["ContentLength"]
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] in (403, 404):
                return None
            raise
        return size

    def read(self, address: str, max_bytes: int) -> bytes:
        """Read an object whole.

        Raises
        ------
        StorageError
            There is none, it may not be read, or is larger than `max_bytes`.
        """
        place = PLACE.fullmatch(address)
        if place is None:
            raise StorageError(f"{address} is no object of S3.")
        try:
            answer = self._client(place[1]).get_object(Bucket=place[1], Key=place[2] or "")
            if answer["ContentLength"] > max_bytes:
                raise StorageError(f"{address} has more than {max_bytes / 1e6:g} MB.")
            content: bytes = answer["Body"].read()
        except (BotoCoreError, ClientError) as error:
            raise self._failed(f"{address} cannot be read", error) from error
        return content

    def keys_for_job(self) -> dict[str, str]:
        """``s3Config`` of a job that is to use these keys itself.

        Raises
        ------
        StorageError
            There are none, or they go with a session token, which a job has no place for.
        """
        client = self._client(self.bucket)
        keys = self._keys(client)
        if keys.token:
            raise StorageError(
                "keys with a session token cannot be sent with a job; use others, or leave out "
                "--send-keys and give the endpoint keys of its own."
            )
        given = self._environment.get("BUCKET_ENDPOINT_URL") if self._has_ours else None
        return {
            "accessId": keys.access_key,
            "accessSecret": keys.secret_key,
            "bucketName": self.bucket,
            "endpointUrl": given or client.meta.endpoint_url,
        }

    @property
    def _has_ours(self) -> bool:
        return all(self._environment.get(name) for name in OURS)

    def _keys(self, client: S3Client) -> Any:  # noqa: ANN401 - botocore has no types
        keys = client._request_signer._credentials  # noqa: SLF001 - boto3 tells them nowhere else
        if keys is None:
            raise StorageError(
                "there are no keys for S3. Set BUCKET_ENDPOINT_URL, BUCKET_ACCESS_KEY_ID and "
                "BUCKET_SECRET_ACCESS_KEY, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
            )
        return keys.get_frozen_credentials()

    def _client(self, bucket: str) -> S3Client:
        """Make boto3's client for one bucket.

        Raises
        ------
        StorageError
            The endpoint is no address, or there are no keys.
        """
        given: dict[str, Any] = {}
        style = "auto"
        if self._has_ours:
            endpoint, access_key, secret_key = (self._environment[name] for name in OURS)
            host = urlsplit(endpoint).hostname or ""
            if host.startswith(f"{bucket}."):  # https://bucket.s3.region.host
                endpoint, style = endpoint.replace(f"//{bucket}.", "//", 1), "virtual"
            given = {
                "endpoint_url": endpoint,
                "aws_access_key_id": access_key,
                "aws_secret_access_key": secret_key,
                "region_name": self._region(host),
            }
        config = Config(
            signature_version="s3v4",
            s3={"addressing_style": style},
            retries={"mode": "standard", "total_max_attempts": TRIES},
            # Checksums beyond the specification's first edition are unknown to many stores.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        try:
            # A session of its own: the default one is not for several threads.
            client = boto3.session.Session().client("s3", config=config, **given)
        except (ValueError, BotoCoreError) as error:
            raise StorageError(f"no S3 client can be made: {error}. Check the endpoint.") from error
        self._keys(client)
        return client

    def _region(self, host: str) -> str:
        if match := RUNPOD_HOST.fullmatch(host):
            return match[1].upper()  # the region of RunPod's volumes is the datacenter
        match = REGION_IN_HOST.search(host)
        return self._environment.get("AWS_DEFAULT_REGION") or (match[1] if match else "us-east-1")

    def _failed(self, what: str, error: Exception) -> StorageError:
        origin = "BUCKET_*" if self._has_ours else "AWS_*"
        return StorageError(
            f"{what}: {error} Check the bucket, the keys ({origin}), what they allow, and the "
            "endpoint."
        )
