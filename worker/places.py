"""Where files go in S3: a bucket, and what their keys begin with."""

import re
from dataclasses import dataclass

BUCKET = r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}"
"""What a bucket's name looks like; the store knows the rest."""
URL = re.compile(rf"s3://{BUCKET}/([^\x00-\x1f]*/)?")
MAX_BYTES = 700
"""Of its URL: with what worker/deliver.py adds, no key has more than the 1,024 bytes of S3."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where files go: objects of a bucket whose keys begin with a prefix."""

    bucket: str
    prefix: str

    @classmethod
    def parse(cls, url: str) -> "Place":
        """Split ``s3://bucket/prefix/``."""
        bucket, _, prefix = url.removeprefix("s3://").partition("/")
        return cls(bucket, prefix)


def check(url: str) -> str:
    """Return the URL of a place, for pydantic.

    Raises
    ------
    ValueError
        It is none, or too long.
    """
    if len(url.encode()) > MAX_BYTES:
        raise ValueError(f"longer than {MAX_BYTES} bytes; keys of S3 have 1,024 at most")
    if not URL.fullmatch(url):
        raise ValueError("not a place; write s3://bucket/prefix/, with the slash at its end")
    return url
