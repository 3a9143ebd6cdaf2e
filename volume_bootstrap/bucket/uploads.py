"""Files into a bucket: large ones in parts, gone on with after a kill, compared with what arrived.

A journal tells the next run which uploads were begun, and what arrived whole.
"""

import hashlib
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from volume_bootstrap.bucket.journal import Journal
from volume_bootstrap.bucket.store import Store
from volume_bootstrap.errors import ModelError, StoreError
from volume_bootstrap.layout import ModelRecord
from volume_bootstrap.progress import Progress
from volume_bootstrap.sources.s3_client import MissingError
from volume_bootstrap.stages import stage

logger = logging.getLogger(__name__)

PART_BYTES = 32 * 2**20
"""S3 takes parts of 5 MiB and more, 10,000 of them; RunPod's API none above 500 MB."""
PARTS_AT_ONCE = 4
TIMES_BEGUN = 3
"""Attempts at one file, where an upload vanished or another content arrived."""
COMPLETION_LOOKS = 6
"""Looks for an object whose upload is gone: a gateway may give up before the API has joined it."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that is to be an object: where it lies, its key below the store's prefix."""

    path: Path
    key: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class _Prints:
    """What a file is told by: its SHA-256, and the MD5 of each of its parts."""

    sha256: str
    md5s: tuple[str, ...]

    @property
    def etag(self) -> str:
        """ETag that Amazon gives such an object; others need not."""
        if len(self.md5s) == 1:
            return self.md5s[0]
        joined = b"".join(map(bytes.fromhex, self.md5s))
        return f"{hashlib.md5(joined, usedforsecurity=False).hexdigest()}-{len(self.md5s)}"


def away(store: Store, folder: str, record: ModelRecord) -> list[str]:
    """Files of a model that are not below the key `folder` in their size."""
    heads = {file.path: store.head(f"{folder}/{file.path}") for file in record.files}
    sizes = {path: None if head is None else head.size for path, head in heads.items()}
    return [file.path for file in record.files if sizes[file.path] != file.size]


class Uploader:
    """Puts files into a store, one after the other, several parts of one at once.

    Parameters
    ----------
    part_bytes : size of a part; what is not larger goes in one piece.
    """

    def __init__(
        self, store: Store, journal: Journal, progress: Progress, part_bytes: int = PART_BYTES
    ) -> None:
        self._store = store
        self._journal = journal
        self._progress = progress
        self._part_bytes = part_bytes

    def put(self, file: Upload) -> bool:
        """Bring one file to its key; one that is there and the same is left alone.

        Returns
        -------
        Whether it was sent.

        Raises
        ------
        ModelError
            The file is not the one that it was when it was recorded.
        StoreError
            The store does not take it, or holds another one afterwards.
        """
        prints = self._prints(file)
        if self._is_there(file, prints):
            return False
        reason = ""
        for _ in range(TIMES_BEGUN):
            try:
                self._send(file, prints)
                if self._is_there(file, prints):
                    return True
                reason = "something else arrived"
            except MissingError as error:
                reason = f"its upload is gone: {error}"
            self._journal.note(file.key)
            logger.info("%s: %s; it is begun anew", file.key, reason)
        raise StoreError(
            f"{self._store.address(file.key)} was sent {TIMES_BEGUN} times and is not {file.path}, "
            f"with SHA-256 {file.sha256} ({reason}). Run it again later, or ask whoever keeps "
            f"{self._store.endpoint}."
        )

    def is_there(self, file: Upload) -> bool:
        """Whether the object of that key is the file.

        Raises
        ------
        ModelError
            The file is not the one that it was when it was recorded.
        """
        return self._is_there(file, self._prints(file))

    def _prints(self, file: Upload) -> _Prints:
        stage("look")
        digest = hashlib.sha256()
        md5s: list[str] = []
        with file.path.open("rb") as opened:
            while (block := opened.read(self._part_bytes)) or not md5s:
                digest.update(block)
                md5s.append(hashlib.md5(block, usedforsecurity=False).hexdigest())
        if digest.hexdigest() != file.sha256:
            raise ModelError(
                f"{file.path} has the SHA-256 {digest.hexdigest()}, the manifest says "
                f"{file.sha256}. Mend it with `setup`, then run this again."
            )
        return _Prints(file.sha256, tuple(md5s))

    def _is_there(self, file: Upload, prints: _Prints) -> bool:
        """Whether the object is the file; read back where its ETag does not tell."""
        head = self._store.head(file.key)
        if head is None or head.size != file.size:
            return False
        noted = self._journal.read(file.key)
        known = noted.get("etag") if noted.get("sha256") == file.sha256 else None
        if head.etag not in {prints.etag, known}:
            stage("read-back")
            digest = hashlib.sha256()
            for block in self._store.content(file.key):
                digest.update(block)
            if digest.hexdigest() != file.sha256:
                return False
        self._journal.note(file.key, sha256=file.sha256, etag=head.etag)
        return True

    def _send(self, file: Upload, prints: _Prints) -> None:
        self._progress.expect(file.key, file.size)
        if len(prints.md5s) > 1:
            self._put_parts(file, prints)
            return
        stage("upload")
        self._store.write(file.key, file.path.read_bytes())
        self._progress.advance(file.key, file.size)

    def _put_parts(self, file: Upload, prints: _Prints) -> None:
        """Send what is missing of a file's parts, and let the store join them."""
        upload, there = self._begun(file, prints) or (self._begin(file), {})
        missing = [n for n in range(1, len(prints.md5s) + 1) if n not in there]
        self._progress.expect(file.key, file.size, file.size - self._bytes_in(file, missing))
        stage("upload")
        etags = dict(there)
        with ThreadPoolExecutor(PARTS_AT_ONCE) as pool:
            try:
                sent = pool.map(lambda number: self._put_part(file, upload, number), missing)
                etags |= dict(zip(missing, sent, strict=True))
            except BaseException as error:
                pool.shutdown(wait=False, cancel_futures=True)
                if not isinstance(error, StoreError):
                    self._progress.stop()  # the run ends: parts on their way are not waited for
                raise
        stage("join")
        self._join(file, upload, etags)

    def _put_part(self, file: Upload, upload: str, number: int) -> str:
        with file.path.open("rb") as opened:
            opened.seek((number - 1) * self._part_bytes)
            content = opened.read(self._part_bytes)
        answer = self._store.call(
            "upload_part", file.key, content=content, UploadId=upload, PartNumber=number
        )
        etag: str = answer["ETag"]
        self._journal.add_part(file.key, number, etag)
        self._progress.advance(file.key, len(content))
        return etag

    def _begun(self, file: Upload, prints: _Prints) -> tuple[str, dict[int, str]] | None:
        """Upload that an earlier run began of the same file, and the ETags of what arrived."""
        noted = self._journal.read(file.key)
        if (noted.get("sha256"), noted.get("part_bytes")) != (file.sha256, self._part_bytes):
            return None
        there: dict[int, str] = {}
        marker = 0
        while True:
            answer = self._store.call(
                "list_parts", file.key, UploadId=noted["id"], PartNumberMarker=marker
            )
            for part in answer.get("Parts", []):
                number, etag = part["PartNumber"], part["ETag"]
                own = {noted["etags"].get(str(number)), f'"{prints.md5s[number - 1]}"'}
                if etag in own and part["Size"] == self._bytes_in(file, [number]):
                    there[number] = etag
            if not answer.get("IsTruncated"):
                break
            marker = answer["NextPartNumberMarker"]
        logger.info("%s: %d of %d parts are there", file.key, len(there), len(prints.md5s))
        return noted["id"], there

    def _begin(self, file: Upload) -> str:
        """Begin an upload in parts; those that killed runs left of this object are ended."""
        try:
            for left in self._store.uploads_of(file.key):
                self._end(file.key, left)
        except StoreError as error:
            # They hold room and harm nothing; not every endpoint tells of them.
            logger.info("unfinished uploads are not looked for: %s", error)
        upload: str = self._store.call("create_multipart_upload", file.key)["UploadId"]
        self._journal.note(
            file.key, id=upload, sha256=file.sha256, part_bytes=self._part_bytes, etags={}
        )
        return upload

    def _end(self, key: str, upload: str) -> None:
        try:
            self._store.call("abort_multipart_upload", key, UploadId=upload)
        except MissingError:
            logger.debug("upload %s of %s is gone already", upload, key)

    def _join(self, file: Upload, upload: str, etags: dict[int, str]) -> None:
        parts = [{"PartNumber": number, "ETag": etags[number]} for number in sorted(etags)]
        try:
            self._store.call(
                "complete_multipart_upload",
                file.key,
                UploadId=upload,
                MultipartUpload={"Parts": parts},
            )
        except MissingError:
            # An attempt that had no answer may have joined them.
            if not self._appears(file):
                raise

    def _appears(self, file: Upload) -> bool:
        for look in range(COMPLETION_LOOKS):
            if (head := self._store.head(file.key)) is not None and head.size == file.size:
                return True
            self._progress.wait(0.25 * 2**look)
        return False

    def _bytes_in(self, file: Upload, parts: Sequence[int]) -> int:
        return sum(
            min(self._part_bytes, file.size - (number - 1) * self._part_bytes) for number in parts
        )
