"""Digests, and writes that are whole or not there at all."""

import ctypes
import errno
import fcntl
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

logger = logging.getLogger(__name__)

BLOCK_BYTES = 1 << 20
"""Large enough that hashing and writing run beside other threads."""

FULL = {errno.ENOSPC, errno.EDQUOT}
"""Numbers of errors of a volume, or of a user's share of it, without room."""

_LIBC = ctypes.CDLL(None, use_errno=True)
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_UNSUPPORTED = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP}
"""What renameat2(2), and fsync(2) of a folder, answer where kernel or file system lack them."""


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def copy_hashed(source: BinaryIO, write: Callable[[bytes], object]) -> str:
    """Hand on what is left of a file, block by block; SHA-256 of it, in hex."""
    digest = hashlib.sha256()
    while block := source.read(BLOCK_BYTES):
        digest.update(block)
        write(block)
    return digest.hexdigest()


@contextmanager
def held(folder: Path) -> Iterator[bool]:
    """Make a folder and keep other runs on this machine out of it; whether none was in it.

    It may get another name, or be removed, meanwhile. The system lets it go when a run is killed.
    Where the file system knows no locks, runs are not told from each other.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        except OSError as error:
            logger.info("%s cannot be locked: %s", folder, error.strerror)
        # Another run may have ended in between, and taken the folder's name along.
        yield folder.is_dir() and os.path.samestat(os.fstat(descriptor), folder.stat())
    finally:
        os.close(descriptor)


def digest_of(*inputs: object) -> str:
    """SHA-256 of values that JSON can hold."""
    text = json.dumps(inputs, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def write_text(path: Path, text: str) -> None:
    """Write a file beside its name, flush it to the disk, then give it the name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    move_file(partial, path)


def copy_file(source: Path, target: Path) -> None:
    """Copy a file beside its new name, flush it to the disk, then give it the name."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".partial")
    shutil.copyfile(source, partial)
    move_file(partial, target)


def link_file(source: Path, target: Path) -> None:
    """Give a file a second name; where the file system refuses, copy it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    # A link to a symbolic link would dangle: caches of hubs are full of them.
    source = source.resolve(strict=True)
    try:
        target.hardlink_to(source)
    except FileExistsError:
        raise
    except OSError:
        copy_file(source, target)


def move_file(source: Path, target: Path) -> None:
    """Flush a file to the disk, then give it another name; what had the name is replaced."""
    with source.open("rb") as file:
        os.fsync(file.fileno())
    target.parent.mkdir(parents=True, exist_ok=True)
    source.replace(target)
    flush_names(target.parent)


def flush_names(folder: Path) -> None:
    """Write the names in a folder to the disk: a rename is lost in a power cut otherwise."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
    finally:
        os.close(descriptor)


def remove(path: Path) -> None:
    """Remove a file, a link or a whole folder; nothing where there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def point(link: Path, target: str) -> None:
    """Make `link` a symbolic link to `target`, in one step whether it was there or not."""
    partial = link.with_name(link.name + ".partial")
    partial.unlink(missing_ok=True)
    partial.symlink_to(target)
    partial.replace(link)
    flush_names(link.parent)


def replace_folder_by_link(path: Path, aside: Path) -> None:
    """Move a folder, or a file, to `aside` and leave a relative link to it, while others read it.

    `path` resolves at every moment, on file systems that can exchange two names; on others it is
    away between two calls.

    Raises
    ------
    FileExistsError
        `aside` is there already.
    """
    aside.parent.mkdir(parents=True, exist_ok=True)
    target = os.path.relpath(aside, path.parent)
    if aside.is_symlink():  # of a run that was killed before the exchange
        aside.unlink()
    # Read from where `path` is, the link names the place where it lies itself: after the
    # exchange the folder is there.
    aside.symlink_to(target)
    if not _exchange(path, aside):
        aside.unlink()
        path.rename(aside)
        point(path, target)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two names in one step; say whether the file system can."""
    try:
        renameat2 = _LIBC.renameat2
    except AttributeError:  # not Linux, or a C library without it
        return False
    names = (_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other))
    if renameat2(*names, _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _UNSUPPORTED:
        return False
    raise OSError(number, os.strerror(number), str(one))


def flush(folder: Path) -> None:
    """Write what the folder's file system still holds in memory to the disk: syncfs(2).

    One call for any number of files; a power cut afterwards finds them whole.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if not hasattr(_LIBC, "syncfs"):  # not Linux
            os.sync()
        elif _LIBC.syncfs(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(folder))
    finally:
        os.close(descriptor)
