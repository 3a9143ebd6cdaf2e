"""A job's source -> a local file. Downloads are private; files on the volume stay in place."""

import base64
import os
import re
import stat
import uuid
from contextlib import ExitStack
from pathlib import Path

from worker import s3
from worker.control import JobControl
from worker.errors import (
    FetchFailedError,
    ForbiddenUrlError,
    InvalidInputError,
    UnsupportedAudioError,
)
from worker.guard import Guard
from worker.naming import describe_source
from worker.net import DownloadLimits, download, too_large
from worker.places import BUCKET
from worker.s3_account import HOW_TO_SET_UP, Account
from worker.settings import Settings

SCHEMES = (
    "https://…, http://…, s3://bucket/key, volume://path/under/the/volume and "
    "data:audio/wav;base64,…"
)
INTERNAL_FOLDERS = frozenset({".cache", ".metadata", "models", "python-deps", "results"})
"""Folders at the top of the volume that are the worker's own (volume_bootstrap/layout.py)."""
HTML_STARTS = (b"<!doctype html", b"<html")


def fetch(
    source: str,
    folder: Path,
    settings: Settings,
    control: JobControl,
    account: Account | None = None,
) -> Path:
    """Make a source a local file.

    Parameters
    ----------
    source
        An ``https://`` or ``http://`` URL, ``volume://`` and a path under the
        volume or ``s3://`` with a bucket and a key (both taken literally,
        nothing is percent-decoded), or a ``data:`` URI with base64; where
        ``settings.local_files`` is true, ``file://`` and an absolute path,
        taken literally, too.
    folder
        Where a download or a decoded URI goes; the caller deletes it. Nothing
        is left in it after an error.
    settings
        The volume, allowed networks, size and time limits.
    control
        Ends a download when the job is cancelled.
    account
        For ``s3://``.

    Returns
    -------
    Path
        A file in `folder`, or the file on the volume or machine itself: it
        must not be changed or deleted.

    Raises
    ------
    InvalidInputError
        The source has another scheme or is malformed.
    ForbiddenUrlError
        It names an address or a path that a job may not reach.
    FetchFailedError
        It does not exist, cannot be read, or is a web page.
    AudioTooLargeError
        It holds more than ``settings.max_audio_mb``.
    UnsupportedAudioError
        It is empty.
    """
    max_bytes = settings.max_audio_mb * 1_000_000
    scheme, _, rest = source.partition(":")
    match scheme.lower():
        case "volume" if rest.startswith("//"):
            return _locate(source, rest.removeprefix("//"), settings.volume, max_bytes)
        case "file" if settings.local_files and rest.startswith("//"):
            return _of_this_machine(source, Path(rest.removeprefix("//")), max_bytes)
        case "http" | "https" | "data" | "s3" as kind:
            target = folder / uuid.uuid4().hex
            with ExitStack() as on_failure:
                on_failure.callback(target.unlink, missing_ok=True)
                if kind == "data":
                    _decode(source, rest, target, max_bytes)
                elif kind == "s3":
                    _read_object(source, rest, target, settings, control, account)
                else:
                    _download(source, target, max_bytes, settings, control)
                on_failure.pop_all()
            return target
    raise InvalidInputError(
        f"{describe_source(source)!r} is not a source of audio. Allowed are {SCHEMES}."
    )


def _locate(source: str, path: str, volume: Path, max_bytes: int) -> Path:
    """The regular file under the volume that a ``volume://`` source names."""
    shown = describe_source(source)
    if path.startswith("/") or path.endswith("/") or "\0" in path or ".." in path.split("/"):
        raise ForbiddenUrlError(
            f"{shown} is not a path under the volume. Write volume:// and a relative path "
            "without '..'."
        )
    try:
        root = volume.resolve()
        file = (root / path).resolve()
        if not file.is_relative_to(root):
            raise ForbiddenUrlError(f"{shown} is a link that leads out of the volume.")
        if not INTERNAL_FOLDERS.isdisjoint(file.relative_to(root).parts[:1]):
            raise ForbiddenUrlError(
                f"{shown} lies in a folder of the worker's own. Put audio in another folder."
            )
        status = file.stat()
    except (OSError, RuntimeError, UnicodeEncodeError) as error:
        # RuntimeError: a loop of symbolic links; UnicodeEncodeError: half a surrogate pair.
        raise FetchFailedError(
            f"{shown} was not found on the volume, or cannot be read. Check the path: it is "
            "relative to the top of the volume and is taken as it is written."
        ) from error
    _check_file(source, status, max_bytes)
    return file


def _of_this_machine(source: str, path: Path, max_bytes: int) -> Path:
    """The regular file that a ``file://`` source names."""
    try:
        status = path.stat()
    except (OSError, ValueError) as error:  # ValueError: a null byte in it
        raise FetchFailedError(f"{describe_source(source)} was not found: {error}.") from error
    _check_file(source, status, max_bytes)
    return path


def _check_file(source: str, status: os.stat_result, max_bytes: int) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ForbiddenUrlError(
            f"{describe_source(source)} is not a regular file. Name one audio file."
        )
    if status.st_size > max_bytes:
        raise too_large(source, max_bytes)
    _check_not_empty(source, status.st_size)


def _decode(source: str, rest: str, target: Path, max_bytes: int) -> None:
    """Write what a ``data:`` URI holds."""
    head, comma, payload = rest.partition(",")
    if not comma or not head.lower().endswith(";base64"):
        raise InvalidInputError(
            f"{describe_source(source)} is not a data URI with base64. "
            "Write data:audio/wav;base64,…"
        )
    if len(payload) // 4 * 3 - payload[-2:].count("=") > max_bytes:
        raise too_large(source, max_bytes)
    try:
        data = base64.b64decode(payload, validate=True)
    except ValueError:
        raise InvalidInputError(
            f"{describe_source(source)} holds {len(payload)} characters that are not valid "
            "base64: it is cut off, or has characters other than A-Z a-z 0-9 + / and the final =."
        ) from None
    _check_not_empty(source, len(data))
    target.write_bytes(data)


def _download(
    source: str, target: Path, max_bytes: int, settings: Settings, control: JobControl
) -> None:
    """Write what a URL answers with, unless it is a web page."""
    limits = DownloadLimits(max_bytes, settings.fetch_timeout_s)
    result = download(source, target, Guard(settings.allowed_networks), limits, control)
    _check_not_empty(source, result.size_bytes)
    with target.open("rb") as file:
        start = file.read(512).removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if result.content_type == "text/html" or start.startswith(HTML_STARTS):
        raise FetchFailedError(
            f"{describe_source(source)} answered with an HTML page, not audio. Name the address "
            "of the file itself, such as the download link instead of the page that shows it."
        )


def _read_object(
    source: str,
    rest: str,
    target: Path,
    settings: Settings,
    control: JobControl,
    account: Account | None,
) -> None:
    """Write what an object of S3 holds."""
    bucket, _, key = rest.removeprefix("//").partition("/")
    if not re.fullmatch(rf"//{BUCKET}/.*[^/]", rest, re.DOTALL):
        raise InvalidInputError(
            f"{describe_source(source)} is not an object of S3. Write s3://bucket/key."
        )
    if account is None:
        raise FetchFailedError(f"{describe_source(source)} needs keys. {HOW_TO_SET_UP}.")
    limit_s, max_bytes = settings.fetch_timeout_s, settings.max_audio_mb * 1_000_000
    with s3.connect(account, bucket, settings, control, limit_s, FetchFailedError) as opened:
        _check_not_empty(source, opened.download(key, target, max_bytes))


def _check_not_empty(source: str, size_bytes: int) -> None:
    if size_bytes == 0:
        raise UnsupportedAudioError(f"{describe_source(source)} is an empty file (0 bytes).")
