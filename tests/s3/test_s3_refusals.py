"""Keys and permissions that a real server refuses: moto checks signatures and policies."""

import pytest

from tests import s3_server
from tests.s3.accounts import LARGE
from worker import s3_account
from worker.errors import FetchFailedError, WorkerError
from worker.parsing import parse_s3_config
from worker.s3 import Bucket

ALL = ["s3:GetObject", "s3:ListBucket", "s3:PutObject", "s3:AbortMultipartUpload"]
CALLS = ("check", "upload", "upload of parts", "download")


@pytest.fixture(scope="module")
def configs():
    """`s3Config` by who has it."""
    users = {"writer": ALL, "reader": ALL[:2], "stranger": ["sns:Publish"]}
    with s3_server.guarded(users) as (_, configs):
        unknown = {**configs["writer"], "accessId": "AKIAUNKNOWN"}
        wrong = {**configs["writer"], "accessSecret": "a-wrong-secret"}
        yield {**configs, "unknown key": unknown, "wrong secret": wrong}


@pytest.fixture
def call(configs, open_bucket, tmp_path):
    def make(who: str, what: str, bucket: str = "bucket") -> None:
        account = s3_account.of_job(parse_s3_config(configs[who]))
        with open_bucket(account, bucket) as opened:
            _calls(opened, tmp_path)[what]()

    return make


def _calls(opened: Bucket, folder):
    return {
        "check": lambda: opened.check("a key"),
        "upload": lambda: opened.upload("a key", b"content", "text/plain"),
        "upload of parts": lambda: opened.upload("large", LARGE, "text/plain"),
        "download": lambda: opened.download("a key", folder / "read", 10**9),
    }


def test_who_may_writes_and_reads(call, tmp_path):
    for what in CALLS:
        call("writer", what)
    assert (tmp_path / "read").read_bytes() == b"content"
    (tmp_path / "read").unlink()
    call("reader", "download")


@pytest.mark.parametrize(
    ("who", "what", "message"),
    [
        *(("unknown key", what, "credentials were refused .InvalidAccessKeyId") for what in CALLS),
        *(("wrong secret", what, "refused .SignatureDoesNotMatch") for what in CALLS),
        *(("stranger", what, "permission denied .AccessDenied") for what in CALLS),
        *(("reader", what, "denied .*s3:PutObject") for what in CALLS if what != "download"),
    ],
)
def test_who_may_not_is_told_why(call, configs, tmp_path, who, what, message):
    call("writer", "upload")
    with pytest.raises(FetchFailedError, match=message) as caught:
        call(who, what)
    _holds_no_key(caught.value, configs[who])
    assert not list(tmp_path.iterdir())


def test_a_bucket_that_is_not_there_is_told(call):
    for what in CALLS:
        with pytest.raises(FetchFailedError, match="no such bucket"):
            call("writer", what, "nobucket")


def _holds_no_key(error: WorkerError, config: dict[str, str]) -> None:
    assert config["accessId"] not in str(error)
    assert config["accessSecret"] not in str(error)
