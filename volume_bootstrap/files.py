"""Digests, and writes that are whole or not there at all."""

import hashlib
import json
import os
import shutil
from pathlib import Path


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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


def move_file(source: Path, target: Path) -> None:
    """Flush a file to the disk, then give it another name; what had the name is replaced."""
    with source.open("rb") as file:
        os.fsync(file.fileno())
    target.parent.mkdir(parents=True, exist_ok=True)
    source.replace(target)


def point(link: Path, target: str) -> None:
    """Make `link` a symbolic link to `target`, in one step whether it was there or not."""
    partial = link.with_name(link.name + ".partial")
    partial.unlink(missing_ok=True)
    partial.symlink_to(target)
    partial.replace(link)
