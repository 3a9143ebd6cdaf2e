"""Members of a zip or tar.gz from an address. Only what models.yaml names is unpacked."""

import gzip
import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Container, Iterator, Sequence
from pathlib import Path
from typing import IO, TypeVar, cast

from volume_bootstrap.errors import SourceError
from volume_bootstrap.files import BLOCK_BYTES, remove
from volume_bootstrap.progress import Progress
from volume_bootstrap.project_files import ArchiveSource
from volume_bootstrap.sources import web
from volume_bootstrap.sources.local import take
from volume_bootstrap.sources.transfer import save
from volume_bootstrap.sources.wanted import DRAFTS, Wanted, address_name

MOST_RATIO = 200
"""Unpacked bytes for each of the archive's: weights hardly shrink, text to a tenth."""
FREE_BYTES = 1 << 20
"""An archive may unpack to this much whatever its size: tar files are padded with zeros."""

DAMAGED = (
    tarfile.TarError,
    zipfile.BadZipFile,
    gzip.BadGzipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    RuntimeError,
    OSError,
    ValueError,
    OverflowError,
    struct.error,
)
"""What reading an archive raises that is none, is broken, or is encrypted."""

T = TypeVar("T")


class _Damaged(Exception):  # noqa: N818 - becomes an error where the archive's address is known
    """The archive cannot be read on."""


def fetch(
    source: ArchiveSource, wanted: Sequence[Wanted], folder: Path, progress: Progress
) -> dict[str, str]:
    """Download the archive beside the files and copy its members out."""
    work = folder / DRAFTS / "archive"
    with web.session() as session:
        packed = Wanted("packed", sha256=source.sha256)
        try:
            save(packed, work, web.opener(session, source.url), progress)
        except SourceError as error:
            raise SourceError(f"The archive: {error}") from error
    members = {source.members.get(file.path, file.path): file for file in wanted}
    try:
        digests = _unpack(work / "packed", members, work, folder)
    except _Damaged as error:
        raise SourceError(f"{address_name(source.url)} is damaged: {error}.") from error
    finally:
        # With what a damaged archive left; the next attempt begins anew.
        remove(work)
    if missing := [member for member, file in members.items() if file.path not in digests]:
        raise SourceError(
            f"{address_name(source.url)} has no member {', '.join(missing)} that is a plain file; "
            "check `members` in models.yaml."
        )
    return digests


def _unpack(packed: Path, members: dict[str, Wanted], work: Path, folder: Path) -> dict[str, str]:
    """Copy members out by their exact names: no path of the archive becomes one of the disk's."""
    limit = max(packed.stat().st_size * MOST_RATIO, FREE_BYTES)
    if zipfile.is_zipfile(packed):
        found = _members_of_zip(packed, members)
    else:
        found = _members_of_tar(packed, members, limit)
    digests = {}
    while (item := _reading(lambda: next(found, None))) is not None:
        name, stream = item
        draft = work / "member"
        limit -= _copy(stream, draft, name, limit)
        digests[members[name].path] = take(draft, members[name], folder)
    return digests


def _reading(step: Callable[[], T]) -> T:
    """Do a step that only reads the archive: what fails in it is the archive's fault."""
    try:
        return step()
    except DAMAGED as error:
        raise _Damaged(str(error) or type(error).__name__) from error


def _members_of_zip(packed: Path, names: Container[str]) -> Iterator[tuple[str, IO[bytes]]]:
    with zipfile.ZipFile(packed) as archive:
        for info in archive.infolist():
            is_plain = stat.S_IFMT(info.external_attr >> 16) in {0, stat.S_IFREG}
            if info.filename in names and is_plain and not info.is_dir():
                with archive.open(info) as stream:
                    yield info.filename, stream


def _members_of_tar(
    packed: Path, names: Container[str], limit: int
) -> Iterator[tuple[str, IO[bytes]]]:
    """Members of a tar.gz, in one pass: what is skipped has to be unpacked, too, so it counts."""
    with gzip.open(packed) as unpacked:
        source = cast("IO[bytes]", _Bounded(unpacked, limit))
        with tarfile.open(fileobj=source, mode="r|") as archive:
            for info in archive:
                name = info.name.removeprefix("./")
                stream = archive.extractfile(info) if info.isreg() and name in names else None
                if stream is not None:
                    yield name, stream


class _Bounded:
    """A stream that ends in an error instead of a bomb."""

    def __init__(self, stream: gzip.GzipFile, limit: int) -> None:
        self._stream = stream
        self._limit = limit

    def read(self, num_bytes: int) -> bytes:
        block = self._stream.read(num_bytes)
        self._limit -= len(block)
        if self._limit < 0:
            raise SourceError(_bomb("The archive"))
        return block


def _copy(stream: IO[bytes], target: Path, name: str, limit: int) -> int:
    """Write a member to a file; return its size in bytes."""
    size = 0
    with target.open("wb") as file:
        while block := _reading(lambda: stream.read(BLOCK_BYTES)):
            size += len(block)
            if size > limit:
                raise SourceError(_bomb(f"Member {name}"))
            file.write(block)
    return size


def _bomb(what: str) -> str:
    return f"{what} unpacks to more than {MOST_RATIO} times the archive's size: it is no model."
