"""Recordings to send: files, folders and addresses; each with a name for its results."""

import hashlib
import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from client.errors import SourceError, UsageError

SUFFIXES = frozenset(
    f".{suffix}"
    for kind in (
        "aac ac3 aif aiff amr au caf flac m4a m4b mka mp2 mp3 oga ogg opus wav weba wma",
        "avi m4v mkv mov mp4 mpeg mpg ts webm wmv",
    )
    for suffix in kind.split()
)
"""Of files that a folder is searched for. A file that is named itself may be called anything."""
SCHEMES = ("https", "http", "s3", "volume")
"""Of addresses that the worker fetches by itself."""
MAX_ID = 200
"""Characters of a recording's id, as the worker takes it."""


@dataclass(frozen=True, slots=True)
class Recording:
    """One thing to transcribe.

    Parameters
    ----------
    name : of its results, relative to their folder, its suffix kept: ``calls/a.wav``.
    identity : changes when the recording does.
    path, address : where it is; one of the two is None.
    """

    name: str
    identity: str
    path: Path | None = None
    address: str | None = None

    @property
    def shown(self) -> str:
        """The name on a terminal: no line break, no control characters."""
        return printable(self.name)

    @property
    def id(self) -> str:
        """What the worker calls it, in RTTM and the like: the name without folder and suffix."""
        stem = self.name.rpartition("/")[2].rpartition(".")[0] or self.name
        return stem[:MAX_ID].encode("utf-8", "backslashreplace").decode()[:MAX_ID]


def printable(text: str) -> str:
    """The text, with what would move the cursor or is no character written as an escape."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def shown_address(address: str) -> str:
    """An address on a terminal: without user, password and query, which may be secret."""
    return printable(re.sub(r"^([^/]*://)[^/]*@", r"\1", address.partition("?")[0]))


def discover(arguments: Sequence[str], *, recursive: bool) -> list[Recording]:
    """Find the recordings of a command, each once, in order.

    Raises
    ------
    UsageError
        There is no such file, nothing to send, or two results would have one name.
    """
    found: dict[str, Recording] = {}
    origins: dict[str, str] = {}
    for argument in arguments:
        for origin, recording in _of_argument(argument, recursive=recursive):
            if origins.setdefault(recording.name, origin) != origin:
                first, second = (
                    shown_address(each) if "://" in each else printable(each)
                    for each in (origins[recording.name], origin)
                )
                raise UsageError(
                    f"{first} and {second} would both be "
                    f"written as {recording.shown}; send them with different --out, or name the "
                    "folder that holds both."
                )
            found[recording.name] = recording
    return list(found.values())


def of_file(path: Path, name: str | None = None) -> Recording:
    """Make a recording of a local file; what is wrong with it is told when it is to be sent."""
    try:
        identity = identity_of(path, path.stat())
    except OSError:
        identity = "unreadable"
    return Recording(name or path.name, identity, path=path)


def identity_of(path: Path, status: os.stat_result) -> str:
    """What tells that a file is the same as before; its content is not read for that.

    Size and time alone are not enough: a recorder may give all its files the same.
    """
    return f"{status.st_size}:{status.st_mtime_ns}:{_origin(path)}"


def is_same(path: Path, identity: str) -> bool:
    """Whether a file is there still, and has not changed."""
    try:
        return identity_of(path, path.stat()) == identity
    except OSError:
        return False


def of_address(address: str) -> Recording:
    """Make a recording of something that the worker fetches by itself.

    Raises
    ------
    UsageError
        It is no address of a file.
    """
    try:
        parts = urlsplit(address)
    except ValueError as error:
        # What the error says may hold a password.
        raise UsageError(f"{shown_address(address)} is no address; check it.") from error
    scheme, rest = parts.scheme.lower(), address.partition("://")[2]
    shown = printable(f"{scheme}://{parts.hostname or ''}{parts.path}")
    if scheme not in SCHEMES:
        raise UsageError(
            f"{shown}: the scheme {scheme!r} is unknown; allowed: {', '.join(SCHEMES)}, or a path."
        )
    if scheme in ("http", "https"):
        is_file = bool(parts.hostname)
        name = unquote(parts.path).rstrip("/").rpartition("/")[2] or str(parts.hostname)
    else:  # keys of s3:// and paths of volume:// are taken literally
        is_file = not rest.endswith("/") and (scheme == "volume" or "/" in rest.strip("/"))
        name = rest.rpartition("/")[2]
    if not is_file:
        raise UsageError(f"{shown} is no file; name one, as in {scheme}://…/call.wav.")
    name = re.sub(r"[\x00-\x1f/\\]", "_", name)
    digest = hashlib.sha256(address.encode("utf-8", "surrogateescape")).hexdigest()
    return Recording(name if name.strip(".") else "audio", digest, address=address)


def read(recording: Recording, path: Path) -> bytes:
    """The whole of a small file.

    Raises
    ------
    SourceError
        It cannot be read, or is not what it was when it was found.
    """
    try:
        with path.open("rb") as file:
            content = file.read()
            same = identity_of(path, os.fstat(file.fileno())) == recording.identity
    except OSError as error:
        raise SourceError(f"cannot be read: {error.strerror}.") from error
    if not same:
        raise changed()
    return content


def check_sendable(path: Path) -> int:
    """Look whether a file can be sent; its size in bytes.

    Raises
    ------
    SourceError
        It is not a regular file, is empty, or may not be read.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise SourceError("is not a regular file; name a file with audio in it.")
        if status.st_size == 0:
            raise SourceError("is empty (0 bytes); nothing was sent.")
        path.open("rb").close()
    except OSError as error:
        raise SourceError(f"cannot be read: {error.strerror}.") from error
    return status.st_size


def changed() -> SourceError:
    """The error of a file that is still written to."""
    return SourceError("has changed since it was found; run the same again when it is complete.")


def _of_argument(argument: str, *, recursive: bool) -> Iterator[tuple[str, Recording]]:
    """What one argument stands for, and where each of it comes from."""
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", argument):
        yield argument, of_address(argument)  # what differs by its query alone differs
        return
    path = Path(argument)
    if not os.path.lexists(path):
        raise UsageError(f"{printable(argument)} does not exist; check the path.")
    if not path.is_dir():
        yield _origin(path), of_file(path)
        return
    files = sorted(_files(path, recursive=recursive))
    if not files:
        raise UsageError(
            f"{printable(argument)} holds no audio"
            f"{'' if recursive else ' (its subfolders are searched with --recursive)'}; files are "
            f"known by their suffix: {' '.join(sorted(SUFFIXES))}. Name others one by one."
        )
    for file in files:
        yield _origin(file), of_file(file, file.relative_to(path).as_posix())


def _origin(path: Path) -> str:
    """Where a file really lies: one that is named twice is sent once."""
    try:
        return str(path.resolve())
    except (OSError, RuntimeError):  # a loop of links, told when it is to be sent
        return str(path.absolute())


def _files(folder: Path, *, recursive: bool) -> Iterator[Path]:
    """What may be audio below a folder; hidden files are none, and linked folders not entered."""

    def refuse(error: OSError) -> None:
        raise UsageError(f"{printable(str(error.filename))} cannot be read: {error.strerror}.")

    for parent, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if recursive and not name.startswith(".")]
        for name in names:
            if Path(name).suffix.lower() in SUFFIXES and not name.startswith("."):
                yield Path(parent, name)
