"""A file from anywhere to the disk: resumed, hashed on the way, named when it is whole."""

import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from volume_bootstrap.errors import SourceError
from volume_bootstrap.files import BLOCK_BYTES, move_file
from volume_bootstrap.progress import Progress
from volume_bootstrap.sources.wanted import DRAFTS, Digest, Wanted

logger = logging.getLogger(__name__)

FILES_AT_ONCE = 8
ATTEMPTS = 4
"""Attempts in a row that bring little; one that brings more begins the count anew."""
LITTLE_BYTES = 1 << 20
"""Less than this is little: a source that gives a few bytes at a time would hold a run for long."""
CONNECT_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 60.0
"""Silence after which a server is given up; a slow one that goes on is not."""
RETRIED = {408, 425, 429, 500, 502, 503, 504}
"""Statuses of HTTP that another attempt may mend."""
BACKOFF_S = 0.5
LONGEST_WAIT_S = 60.0


@dataclass(frozen=True, slots=True)
class Body:
    """What a source answers: its first byte's place in the file, the whole file's size.

    `close` may be called while another thread waits in `read`, and ends that.
    """

    start: int
    size: int | None
    etag: str | None
    read: Callable[[int], bytes]
    close: Callable[[], None] = lambda: None


Opener = Callable[[int, str | None], AbstractContextManager[Body]]
"""Opens a file from a byte on; the second is an ETag that the earlier bytes came with."""


class Interrupted(Exception):  # noqa: N818 - not an error until the attempts are used up
    """This attempt failed, another may not.

    Parameters
    ----------
    wait_s : what the source asks to wait, in seconds.
    is_stale : what was there before belongs to another file.
    """

    def __init__(self, reason: str, wait_s: float = 0.0, *, is_stale: bool = False) -> None:
        super().__init__(reason)
        self.wait_s = wait_s
        self.is_stale = is_stale


def save_all(
    wanted: Sequence[Wanted],
    folder: Path,
    open_file: Callable[[Wanted], Opener],
    progress: Progress,
) -> dict[str, str]:
    """Save several files at once.

    Returns
    -------
    SHA-256 of each, by its path.

    Raises
    ------
    SourceError
        The source does not give one of them. The others are there, for a next attempt.
    """
    # The largest first, or the last one would run alone.
    ordered = sorted(wanted, key=lambda file: file.size or 0, reverse=True)
    with ThreadPoolExecutor(FILES_AT_ONCE) as pool:
        digests = pool.map(lambda file: save(file, folder, open_file(file), progress), ordered)
        return dict(zip((file.path for file in ordered), digests, strict=True))


def save(wanted: Wanted, folder: Path, open_body: Opener, progress: Progress) -> str:
    """Save one file under its path in `folder`, as soon as it is whole and the right one.

    Returns
    -------
    Its SHA-256.

    Raises
    ------
    SourceError
        It cannot be had, or is another file.
    """
    draft = _Draft(wanted, folder)
    failures = brought = 0
    while True:
        resumed_at = draft.size
        try:
            draft.receive(open_body, progress)
            if draft.digest.matches:
                return draft.finish()
            found = draft.digest.sha256
            draft.reset()
            if not resumed_at:
                raise SourceError(
                    f"{wanted.path} has SHA-256 {found}, not "
                    f"{wanted.sha256 or 'the digest that the hub lists'}: "
                    "the source is damaged or serves another file."
                )
            reason, wait_s = f"{wanted.path}: what was there before did not fit", 0.0
        except Interrupted as error:
            reason, wait_s = f"{wanted.path}: {error}", error.wait_s
            if error.is_stale:
                draft.reset()
        gained = max(draft.size - resumed_at, 0)
        failures, brought = failures + 1, brought + gained
        if gained >= LITTLE_BYTES:
            failures = brought = 0
        if failures >= ATTEMPTS:
            amount = f"only {brought} bytes" if brought else "nothing"
            raise SourceError(f"{reason}; {failures} attempts in a row brought {amount}.")
        if wait_s > LONGEST_WAIT_S:
            raise SourceError(f"{reason}; it asks to wait {wait_s:.0f} s. Try again later.")
        logger.debug("%s; another attempt", reason)
        progress.wait(max(wait_s, BACKOFF_S * 2 ** max(failures - 1, 0)))


class _Draft:
    """A file that is not whole yet: what earlier attempts, and runs, brought of it."""

    def __init__(self, wanted: Wanted, folder: Path) -> None:
        self._wanted = wanted
        self._target = folder / wanted.path
        self._path = folder / DRAFTS / wanted.path
        # Apart from the drafts, where a model may have a file of any name.
        self._etag = folder / DRAFTS / DRAFTS / wanted.path
        self._times_begun = 0
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if self._target.is_file():
            # Nobody knows its digest, or it would not be wanted: the source may say by its ETag
            # that it is still the same.
            self._target.replace(self._path)
        self.size = 0
        self.digest = Digest(wanted)
        if not self._path.is_file() or not (wanted.is_known or self._etag.is_file()):
            self.reset()
            return
        with self._path.open("rb") as file:
            self.digest.update_from(file)
            self.size = file.tell()

    def reset(self) -> None:
        """Begin anew.

        Raises
        ------
        SourceError
            It was begun too often.
        """
        self._times_begun += 1
        if self._times_begun > ATTEMPTS:
            raise SourceError(
                f"{self._wanted.path} was begun {ATTEMPTS} times and never came whole: the source "
                "breaks off, and cannot go on with the same file."
            )
        self._path.write_bytes(b"")
        self.size = 0
        self.digest = Digest(self._wanted)

    def receive(self, open_body: Opener, progress: Progress) -> None:
        """Append what is missing."""
        name = str(self._target)
        if self.size and self.size == self._wanted.size:
            return  # a run ended before it could name the file
        # Where the digest is known it decides, whatever the source thinks of its ETags.
        etag = None
        if self.size and not self._wanted.is_known:
            if self._etag.is_file():
                etag = self._etag.read_text(encoding="utf-8")
            else:  # nothing tells whether the rest belongs to it
                self.reset()
        with open_body(self.size, etag) as body:
            self._accept(body, etag)
            progress.expect(name, body.size, self.size)
            with progress.reading(body.close), self._path.open("ab", buffering=0) as file:
                while block := body.read(BLOCK_BYTES):
                    _write(file, block)
                    self.digest.update(block)
                    self.size += len(block)
                    progress.advance(name, len(block))
        if body.size is not None and self.size != body.size:
            raise Interrupted(f"broke off after {self.size} of {body.size} bytes")

    def _accept(self, body: Body, asked: str | None) -> None:
        expected = self._wanted.size
        if expected is not None and body.size not in {None, expected}:
            raise SourceError(
                f"{self._wanted.path} is {body.size} bytes there and {expected} bytes in the hub's "
                "list: it is another file, or a page in its place."
            )
        if body.start != self.size:  # the source sends it from the beginning
            self.reset()
        elif asked and body.etag != asked:  # a server may ignore If-Range
            raise Interrupted("it was changed meanwhile", is_stale=True)
        self._etag.unlink(missing_ok=True)
        if body.etag:
            self._etag.parent.mkdir(parents=True, exist_ok=True)
            self._etag.write_text(body.etag, encoding="utf-8")

    def finish(self) -> str:
        """Give the file its name."""
        self._target.parent.mkdir(parents=True, exist_ok=True)
        if self._wanted.is_known:
            self._path.replace(self._target)  # read again, should the next run find it
        else:
            move_file(self._path, self._target)
        return self.digest.sha256


def _write(file: BinaryIO, block: bytes) -> None:
    rest = memoryview(block)
    while rest:  # a disk that is nearly full takes a part
        rest = rest[os.write(file.fileno(), rest) :]
