"""The format of a bundle: one file that fills a volume without a network.

A plain tar, so that any tool can list and unpack it:

::

    manifest.json      what is in it: project, lock, wheels, models, samples
    files/<sha256>     each content once, in the manifest's order, not compressed
    manifest.sha256    digest of the manifest: a file that was cut off has none

Members have no path of their own choice. Where each begins follows from the manifest, so they are
verified and unpacked side by side, and a file that differs anywhere from what the manifest says is
refused before anything is taken from it.
"""

import hashlib
import json
import os
import tarfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from volume_bootstrap.bundle.manifest import BundleManifest, Content
from volume_bootstrap.errors import BundleError
from volume_bootstrap.files import BLOCK_BYTES, sha256_of
from volume_bootstrap.layout import Volume
from volume_bootstrap.project import mistakes

FORMAT = 1
"""Of the manifest. Raised when an older tool would misread it: that refuses the bundle then."""
MANIFEST, DIGEST = "manifest.json", "manifest.sha256"
MOST_MANIFEST_BYTES = 64 << 20
"""More than a manifest ever is: a file that says otherwise is no bundle."""
BLOCK = tarfile.BLOCKSIZE
END = bytes(2 * BLOCK)
"""What a tar ends with."""
AGAIN = "Copy or create it again."


@dataclass(frozen=True, slots=True)
class Member:
    """One file in the bundle: where its header and its bytes begin, and how many they are."""

    name: str
    header: int
    size: int

    @property
    def start(self) -> int:
        return self.header + BLOCK

    @property
    def end(self) -> int:
        """Where the header of the next one begins."""
        return self.start + self.size + padding(self.size)


@dataclass(frozen=True, slots=True)
class Bundle:
    """An open bundle whose manifest, size and headers are right; contents are not read yet."""

    path: Path
    manifest: BundleManifest
    members: dict[str, Member]
    descriptor: int

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        return max(member.end for member in self.members.values()) + len(END)

    def damaged(self, contents: Iterable[Content]) -> list[Content]:
        """Hash contents, several at once, and return those that are not what they should be."""
        different = list({content.sha256: content for content in contents}.values())
        with ThreadPoolExecutor() as pool:
            found = list(pool.map(self._digest, different))
        return [c for c, digest in zip(different, found, strict=True) if digest != c.sha256]

    def extract(self, content: Content, target: Path) -> None:
        """Copy a content to a file, which gets its name when it is whole.

        A file of that name is kept if it is the same, else replaced. It is not flushed: whoever
        lets it serve does that, for many files at once.

        Raises
        ------
        BundleError
            The content is damaged.
        """
        is_sized = target.is_file() and target.stat().st_size == content.size
        if is_sized and sha256_of(target) == content.sha256:
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f"{target.name}.partial")
        partial.unlink(missing_ok=True)
        with partial.open("xb") as file:
            digest = self._digest(content, file.write)
        if digest != content.sha256:
            partial.unlink()
            raise BundleError(f"{self.path} is damaged: {content.sha256} has SHA-256 {digest}.")
        partial.replace(target)

    def _digest(self, content: Content, write: Callable[[bytes], object] | None = None) -> str:
        member = self.members[content.sha256]
        digest = hashlib.sha256()
        for offset in range(member.start, member.start + member.size, BLOCK_BYTES):
            length = min(BLOCK_BYTES, member.start + member.size - offset)
            block = os.pread(self.descriptor, length, offset)
            digest.update(block)
            if write is not None:
                write(block)
        return digest.hexdigest()


def extraction_folder(volume: Volume) -> Path:
    """Folder on a volume for the wheels of a bundle while it is applied."""
    return volume.root / ".cache" / "bundle"


def padding(size: int) -> int:
    """Zeros after so many bytes, up to the next block of the tar."""
    return -size % BLOCK


def header(name: str, size: int) -> bytes:
    """One block that stands before the bytes of a member."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o644
    return info.tobuf(tarfile.GNU_FORMAT)


def dump(manifest: BundleManifest) -> bytes:
    """The manifest as it stands in the bundle."""
    text = json.dumps({"format": FORMAT, **manifest.model_dump(mode="json")}, indent=1)
    return f"{text}\n".encode()


def digest_text(manifest: bytes) -> bytes:
    """Content of the last member."""
    return f"{hashlib.sha256(manifest).hexdigest()}  {MANIFEST}\n".encode()


@contextmanager
def opened(path: Path) -> Iterator[Bundle]:
    """Open a bundle for the block; its manifest and its form are compared, its contents are not.

    Raises
    ------
    BundleError
        It is no bundle, of another format, cut off, or damaged.
    """
    if not path.is_file():
        raise BundleError(f"{path} is no file; name one that `bundle create` made.")
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield _read(path, descriptor)
    finally:
        os.close(descriptor)


def members_of(manifest: BundleManifest, manifest_size: int) -> dict[str, Member]:
    """Where everything lies in a bundle, by the digest of a content or the name of a member."""
    found = {MANIFEST: Member(MANIFEST, 0, manifest_size)}
    end = found[MANIFEST].end
    for content in manifest.contents():
        if content.sha256 not in found:
            member = Member(f"files/{content.sha256}", end, content.size)
            found[content.sha256] = member
            end = member.end
    found[DIGEST] = Member(DIGEST, end, len(digest_text(b"")))
    return found


def _read(path: Path, descriptor: int) -> Bundle:
    """Read the manifest, then compare the file's form with what the manifest says."""
    content = _manifest_bytes(path, descriptor)
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path} is damaged: its manifest is no JSON. {AGAIN}") from error
    number = value.pop("format", None) if isinstance(value, dict) else None
    if number != FORMAT:
        raise BundleError(
            f"{path} is a bundle of format {number!r:.40}; this tool reads format {FORMAT}. "
            "Create it with the same release of this tool that applies it."
        )
    manifest = _validated(path, value)
    bundle = Bundle(path, manifest, members_of(manifest, len(content)), descriptor)
    size = os.fstat(descriptor).st_size
    if size < bundle.size:
        raise BundleError(
            f"{path} is cut off: it has {size} bytes, its manifest tells of {bundle.size}. {AGAIN}"
        )
    for member in bundle.members.values():
        if _header_at(descriptor, member.header) != (member.name, member.size):
            raise BundleError(f"{path} is damaged: at byte {member.header} is no header. {AGAIN}")
    last = bundle.members[DIGEST]
    if os.pread(descriptor, last.size, last.start) != digest_text(content):
        raise BundleError(f"{path} is damaged: its manifest has another SHA-256. {AGAIN}")
    if size != bundle.size or os.pread(descriptor, len(END), last.end) != END:
        raise BundleError(f"{path} is damaged: it does not end where it should. {AGAIN}")
    return bundle


def _manifest_bytes(path: Path, descriptor: int) -> bytes:
    first = _header_at(descriptor, 0)
    if first is None or first[0] != MANIFEST:
        raise BundleError(f"{path} is no bundle; name a file that `bundle create` made.")
    if not 0 <= first[1] <= MOST_MANIFEST_BYTES:
        raise BundleError(f"{path} is no bundle: its manifest would have {first[1]} bytes.")
    content = os.pread(descriptor, first[1], BLOCK)
    if len(content) != first[1]:
        raise BundleError(f"{path} is cut off within its manifest. {AGAIN}")
    return content


def _validated(path: Path, value: Any) -> BundleManifest:  # noqa: ANN401 - whatever JSON held
    try:
        return BundleManifest.model_validate(value)
    except ValidationError as error:
        raise BundleError(
            f"{path} has a manifest that is wrong: {mistakes(error)}. {AGAIN}"
        ) from error


def _header_at(descriptor: int, offset: int) -> tuple[str, int] | None:
    """Name and size of the plain file whose header is there; none if there is no such header."""
    try:
        info = tarfile.TarInfo.frombuf(
            os.pread(descriptor, BLOCK, offset), "utf-8", "surrogateescape"
        )
    except tarfile.TarError:
        return None
    return (info.name, info.size) if info.type == tarfile.REGTYPE else None
