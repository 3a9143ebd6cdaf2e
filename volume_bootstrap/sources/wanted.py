"""What a source is to give, and how a file is told from another."""

import hashlib
import re
from dataclasses import dataclass
from typing import BinaryIO
from urllib.parse import urlsplit

from volume_bootstrap.files import BLOCK_BYTES

DRAFTS = ".incomplete"
"""Folder of what is not whole yet, beside the files that are."""
RECORD = ".record.json"
"""In a version's folder: its record, for a run that finds the folder and no manifest of it."""
FETCHED = ".fetched.json"
"""In a folder that is being filled: all files are whole, and these are their digests."""
INDEX = ".msc"
"""In a model's folder: what modelscope counts as present there."""
NO_LIST = (ValueError, KeyError, TypeError, AttributeError)
"""What the hubs' clients raise when they are answered something else than a list."""


@dataclass(frozen=True, slots=True)
class Model:
    """A model as a hub names it; without a revision, its main one."""

    id: str
    revision: str | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file that a source is to give, and what is known of it: its size in bytes, its digests.

    `git_sha1` is that of git's blob object, all that Hugging Face tells of small files.
    """

    path: str
    size: int | None = None
    sha256: str | None = None
    git_sha1: str | None = None

    @property
    def is_known(self) -> bool:
        """Whether a file can be told from another with this path."""
        return self.sha256 is not None or self.git_sha1 is not None


class Digest:
    """The digests of one file, in one pass."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._sha256 = hashlib.sha256()
        # Git's object begins with the size, so it must be known; it is no protection, a name.
        self._git = hashlib.sha1(b"blob %d\0" % (wanted.size or 0), usedforsecurity=False)

    def update(self, block: bytes) -> None:
        self._sha256.update(block)
        if self._wanted.git_sha1:
            self._git.update(block)

    def update_from(self, file: BinaryIO) -> None:
        while block := file.read(BLOCK_BYTES):
            self.update(block)

    @property
    def sha256(self) -> str:
        return self._sha256.hexdigest()

    @property
    def matches(self) -> bool:
        """Whether it is the file that is wanted, as far as that is known."""
        wanted = self._wanted
        return wanted.sha256 in {None, self.sha256} and (
            wanted.git_sha1 in {None, self._git.hexdigest()}
        )


def address_name(url: str) -> str:
    """Name an address in messages: without credentials and without a query, which may be signed."""
    try:
        return f"{urlsplit(url).scheme}://{host_name(url)}{urlsplit(url).path}"
    except ValueError:
        return "an address that is none"


def host_name(url: str) -> str:
    """Host of an address, with its port where that is told."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    return f"{host}:{parts.port}" if parts.port else host


def without_credentials(text: str) -> str:
    """Take user names and passwords out of the addresses in a client's message."""
    return re.sub(r"//[^/\s@]*@", "//", text)
