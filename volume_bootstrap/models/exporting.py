"""Models of a volume as plain files, in a folder or a bucket, for `models import` elsewhere.

Each is a folder of its alias: the files by their paths, SHA256SUMS, and the record, which comes
last and says that the rest is whole.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from volume_bootstrap import files
from volume_bootstrap.bucket.journal import Journal
from volume_bootstrap.bucket.store import Place, Store
from volume_bootstrap.bucket.uploads import PART_BYTES, Upload, Uploader, away
from volume_bootstrap.errors import ModelError, ProvisionError, StoreError
from volume_bootstrap.layout import LayoutError, ModelFile, ModelRecord, Volume, dump, read_model
from volume_bootstrap.models import versions
from volume_bootstrap.models.recording import contents
from volume_bootstrap.progress import Progress
from volume_bootstrap.sources.wanted import RECORD
from volume_bootstrap.stages import stage

logger = logging.getLogger(__name__)

SUMS = "SHA256SUMS"
"""What ``sha256sum --check`` reads; a model with a file of that name keeps its own."""


def to_folder(volume: Volume, record: ModelRecord, folder: Path) -> bool:
    """Copy a model to ``folder/<alias>``, which is whole or not there; hashed as it is copied.

    The volume's lock is not held: it may be mounted read-only, a version never changes, and one
    that `clean` removes meanwhile ends in an error, never in half a model.

    Returns
    -------
    Whether it was copied; not where it is there already.

    Raises
    ------
    ModelError
        A file is away or not the one that was provisioned, something else has the name, or another
        export writes there.
    """
    versions.keep_out(volume, folder)
    target = folder / record.alias
    if target.exists() or target.is_symlink():
        stage("verify")
        _must_be_it(target, record)
        return False
    partial = folder / f".{record.alias}.partial"
    with files.held(partial) as is_ours:
        if not is_ours:
            raise ModelError(f"Another export writes {target}. Run this again when it has ended.")
        stage("copy")
        for file in record.files:
            _copy(volume.models / record.folder / file.path, file, partial / file.path)
        notes = _notes(record)
        for name, text in notes.items():
            files.write_text(partial / name, text)
        versions.tidy(partial, [*(file.path for file in record.files), *notes])
        files.flush(partial)
        stage("name")
        partial.rename(target)
    files.flush_names(folder)
    return True


def to_bucket(
    volume: Volume, records: Sequence[ModelRecord], place: Place, *, part_bytes: int = PART_BYTES
) -> list[bool]:
    """Put models below ``<place>/<alias>/``; the lock of `volume` is held meanwhile.

    Returns
    -------
    Of each, whether it was sent; not where it is there already.

    Raises
    ------
    ModelError
        A file is not the one that was provisioned.
    StoreError
        The bucket does not take it, or holds something else under that name.
    """
    with Progress("export", "sent") as progress:
        store = Store(place, progress)
        journal = Journal(volume, f"export {store.name}")
        uploader = Uploader(store, journal, progress, part_bytes)
        store.check()
        done = [_put(volume, store, journal, uploader, record) for record in records]
        journal.remove()
    return done


def _put(
    volume: Volume, store: Store, journal: Journal, uploader: Uploader, record: ModelRecord
) -> bool:
    beside = f"{record.alias}/{RECORD}"
    try:
        known = store.record(beside, read_model)
    except LayoutError as error:
        raise _taken(store.address(record.alias), str(error), StoreError) from error
    if known is not None:
        if contents(known) != contents(record):
            raise _taken(store.address(record.alias), "It holds another version of it.", StoreError)
        if not away(store, record.alias, record):
            return False
        logger.info("%s: files of it are away there", record.alias)
    source = volume.models / record.folder
    wanted = [
        Upload(source / file.path, f"{record.alias}/{file.path}", file.size, file.sha256)
        for file in record.files
    ]
    notes = {f"{record.alias}/{name}": text.encode() for name, text in _notes(record).items()}
    if known is None:
        _refuse_foreign(store, journal, uploader, wanted)
        for key, content in notes.items():
            if store.read(key) not in {None, content}:
                raise _taken(store.address(key), "It is no file of the model.", StoreError)
    for file in wanted:
        uploader.put(file)
    for key, content in notes.items():
        store.write(key, content)
    return True


def _refuse_foreign(
    store: Store, journal: Journal, uploader: Uploader, wanted: Sequence[Upload]
) -> None:
    """Refuse to replace objects that are neither a file of the model nor begun by a run of ours."""
    for file in wanted:
        is_own = bool(journal.read(file.key)) or store.head(file.key) is None
        if not is_own and not uploader.is_there(file):
            raise _taken(store.address(file.key), "It is no file of the model.", StoreError)


def _notes(record: ModelRecord) -> dict[str, str]:
    """What lies beside a model's files, the record last."""
    lines = [f"{file.sha256}  {file.path}\n" for file in record.files]
    sums = {} if any(file.path == SUMS for file in record.files) else {SUMS: "".join(lines)}
    return {**sums, RECORD: dump(replace(record, folder=""))}


def _must_be_it(target: Path, record: ModelRecord) -> None:
    """Refuse a name that something else has, or that has lost some of the model."""
    try:
        known = read_model(target / RECORD)
    except LayoutError as error:
        raise _taken(str(target), str(error), ModelError) from error
    if contents(known) != contents(record):
        raise _taken(str(target), "It holds another version of it.", ModelError)
    for file in record.files:
        path = target / file.path
        if not path.is_file() or files.sha256_of(path) != file.sha256:
            raise _taken(str(target), f"{path} is missing or damaged.", ModelError)


def _taken(target: str, reason: str, kind: type[ProvisionError]) -> ProvisionError:
    return kind(f"{target} is there already. {reason} Remove it, or name another place with --to.")


def _copy(source: Path, file: ModelFile, target: Path) -> None:
    """Copy a file where an earlier run did not; hashed as it is written."""
    if target.is_file() and not target.is_symlink() and files.sha256_of(target) == file.sha256:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    files.remove(target)
    try:
        with source.open("rb") as opened, target.open("wb") as written:
            digest = files.copy_hashed(opened, written.write)
    except FileNotFoundError as error:
        raise ModelError(f"{source} is away. Mend it with `setup`, then run this again.") from error
    if digest != file.sha256:
        raise ModelError(
            f"{source} has the SHA-256 {digest}, the manifest says {file.sha256}. "
            "Mend it with `setup`, then run this again."
        )
