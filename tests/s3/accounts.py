"""Accounts of the worker and of jobs, and what no message may hold of them."""

import os
from pathlib import Path

import pytest

from worker import s3, s3_account
from worker.errors import FetchFailedError
from worker.parsing import parse_s3_config
from worker.s3_account import Account
from worker.settings import Settings

SECRET = "a/very+secret"
SECRETS = (SECRET, "JOBKEY", "OURKEY", "OWNKEY", "own-secret", "own-token")
NOWHERE = Path("/proc/none")
LARGE = os.urandom(2 * s3.PART_BYTES + 5)
"""Three parts."""


def settings_of(tmp_path: Path, **variables: str) -> Settings:
    networks = {"SPEECH_ALLOWED_NETWORKS": "127.0.0.1/32"}
    return Settings.from_environment({"SPEECH_VOLUME": str(tmp_path), **networks, **variables})


def ours(url: str, tmp_path: Path, **variables: str) -> Account:
    keys = {"BUCKET_ACCESS_KEY_ID": "OURKEY", "BUCKET_SECRET_ACCESS_KEY": SECRET}
    settings = settings_of(tmp_path, BUCKET_ENDPOINT_URL=url, **keys, **variables)
    return s3_account.of_settings(settings)


def of_job(url: str) -> Account:
    config = {"accessId": "JOBKEY", "accessSecret": SECRET, "endpointUrl": url}
    return s3_account.of_job(parse_s3_config(config))


def fails(open_bucket, account, message: str, *, kind=FetchFailedError, bucket="bucket", **options):
    """Assert that an object cannot be read, that it is said why, and that nothing is left."""
    target = options.pop("target", NOWHERE)
    with pytest.raises(kind, match=message) as caught:  # noqa: SIM117
        with open_bucket(account, bucket, **options) as opened:
            opened.download("some/key", target, 10_000)
    told = str(caught.value)
    assert len(told) < 500
    assert not [word for word in SECRETS if word in told]
    assert not target.exists()
