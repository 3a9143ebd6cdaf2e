"""Models from one volume to another one, through the S3 API of that: the manifest comes last.

The worker finds a model by its manifest alone, so that the other volume serves what it served until
that one object is replaced. Links are no objects: the names that modelscope and funasr look for
are made by a run on a pod.
"""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from volume_bootstrap.bucket.journal import Journal
from volume_bootstrap.bucket.store import Head, Place, Store
from volume_bootstrap.bucket.uploads import PART_BYTES, Upload, Uploader, away
from volume_bootstrap.errors import StoreError
from volume_bootstrap.layout import (
    LayoutError,
    Manifest,
    ModelRecord,
    Volume,
    dump,
    read_manifest,
    read_model,
)
from volume_bootstrap.models.recording import contents, lacking, merged
from volume_bootstrap.processes import DEAD_AFTER_S
from volume_bootstrap.progress import Progress
from volume_bootstrap.sources.s3_client import ConditionError, MissingError
from volume_bootstrap.sources.wanted import RECORD
from volume_bootstrap.stages import stage

logger = logging.getLogger(__name__)

LOCK = ".metadata/lock"


@dataclass(frozen=True, slots=True)
class Pushed:
    """What a push left: where, how many files and bytes it sent, whether the manifest changed.

    `lacking` are models that the manifest's defaults name and the other volume does not have.
    """

    project: str
    target: str
    models: tuple[ModelRecord, ...]
    num_sent: int
    sent_bytes: int
    switched: bool
    lacking: tuple[str, ...]


def push(
    volume: Volume,
    manifest: Manifest,
    aliases: Sequence[str],
    place: Place,
    *,
    part_bytes: int = PART_BYTES,
) -> Pushed:
    """Bring models of a project to the volume at `place`, and let its manifest tell of them.

    The lock of `volume` is held meanwhile.

    Parameters
    ----------
    manifest : of the project, on `volume`; it has all of `aliases`.
    place : the other volume's root.
    part_bytes : what is larger than this goes in parts of this size.

    Raises
    ------
    StoreError
        The bucket does not take it, somebody writes to that volume, or its manifest is damaged.
        Another push replaced the manifest meanwhile: this one has to be run again.
    ModelError
        A file is not the one that it was when it was recorded.
    """
    chosen = [record for record in manifest.models if record.alias in aliases]
    with Progress("push", "sent") as progress:
        store = Store(place, progress)
        journal = Journal(volume, f"volume {store.name}")
        uploader = Uploader(store, journal, progress, part_bytes)
        store.check()
        _refuse_writer(store)
        # Before anything is sent, so that what cannot be merged with is told at once.
        _manifest_there(store, volume, manifest.project)
        sent = [file for record in chosen for file in _bring(volume, store, uploader, record)]
        stage("manifest")
        for record in chosen:
            _must_be_there(store, record)
        # Last: from here to the switch is the time in which a writer would not be seen.
        _refuse_writer(store)
        told, switched = _tell(store, volume, replace(manifest, models=tuple(chosen)))
        journal.remove()
    sizes = sum(file.size for file in sent)
    missing = tuple(lacking(told))
    return Pushed(
        manifest.project, store.name, tuple(chosen), len(sent), sizes, switched, missing
    )  # fmt: skip


def _bring(volume: Volume, store: Store, uploader: Uploader, record: ModelRecord) -> list[Upload]:
    """Send what is missing of a version; its record comes last and says that it is whole."""
    beside = f"{_key(record)}/{RECORD}"
    try:
        known = store.record(beside, read_model)
    except LayoutError as error:
        logger.info("%s The version is compared file by file.", error)
        known = None
    there = known is not None and contents(known) == contents(record)
    if there and not away(store, _key(record), record):
        logger.info("%s: %s is there and whole", record.alias, record.folder)
        return []
    folder = volume.models / record.folder
    wanted = [
        Upload(folder / file.path, f"{_key(record)}/{file.path}", file.size, file.sha256)
        for file in record.files
    ]
    # The largest first: what takes long begins at once.
    wanted.sort(key=lambda file: file.size, reverse=True)
    sent = [file for file in wanted if uploader.put(file)]
    store.write(beside, dump(replace(record, folder="")).encode())
    return sent


def _key(record: ModelRecord) -> str:
    """Where a version lies below a volume's root: MODELSCOPE_CACHE is a matter of one machine."""
    return f"models/{record.folder}"


def _must_be_there(store: Store, record: ModelRecord) -> None:
    if missing := away(store, _key(record), record):
        raise StoreError(
            f"{store.name}: {', '.join(missing)} of {record.folder} went away while the rest came: "
            "somebody cleans that volume up. Nothing was switched; run this again."
        )


def _refuse_writer(store: Store) -> None:
    """Refuse a volume that another provisioner writes to: both would replace its manifest.

    Raises
    ------
    StoreError
        Its lock was touched within the last minute.
    """
    head = store.head(LOCK)
    if head is None:
        return
    silence_s = head.silence.total_seconds()
    if silence_s > DEAD_AFTER_S:
        logger.warning(
            "whoever wrote to %s was silent for %.0f s and counts as dead", store.name, silence_s
        )
        return
    try:
        owner = json.loads(store.read(LOCK) or b"")
        name = f"process {int(owner['pid'])} on {owner['host']}"
    except (ValueError, KeyError, TypeError):
        name = "somebody"
    raise StoreError(
        f"{name} is writing to {store.name}: its {LOCK} was touched {silence_s:.0f} s ago. Run "
        f"this again when that has ended; a minute after it died this counts as over."
    )


def _manifest_there(store: Store, volume: Volume, project: str) -> Manifest | None:
    """Manifest of the other volume, or its copy where that is damaged; none where it has neither.

    Raises
    ------
    StoreError
        Both are damaged: what they told of would be lost.
    """
    found: list[str] = []
    for path in (volume.manifest(project), volume.manifest_copy(project)):
        key = str(path.relative_to(volume.root))
        try:
            if (manifest := store.record(key, read_manifest)) is not None:
                return manifest
        except LayoutError as error:
            found.append(str(error))
    if found:
        raise StoreError(
            f"{' '.join(found)} Nothing was sent: it would be replaced, and the models that it "
            f"tells of forgotten. Mend it on a pod: {command_on_a_pod(project)}"
        )
    return None


def _tell(store: Store, volume: Volume, own: Manifest) -> tuple[Manifest, bool]:
    """Put the models of `own` into the other volume's manifest, then into its copy.

    Returns
    -------
    What it tells now, and whether it told otherwise.
    """
    paths = (volume.manifest(own.project), volume.manifest_copy(own.project))
    key, copy = (str(path.relative_to(volume.root)) for path in paths)
    # In this order: what changes between two of these is found when the first is replaced.
    before, head = store.read(key), store.head(key)
    told = merged(_manifest_there(store, volume, own.project), own)
    content = dump(told).encode()
    switched = before != content
    if switched:
        # The switch: one object, replaced in one step.
        _switch(store, key, content, before, head)
    if store.read(copy) != content:
        store.write(copy, content)
    return told, switched


def _switch(
    store: Store, key: str, content: bytes, before: bytes | None, head: Head | None
) -> None:
    """Replace the manifest that was merged with, and no other one.

    Raises
    ------
    StoreError
        Another push came between.
    """
    try:
        store.replace(key, content, head)
    except (ConditionError, MissingError) as error:
        logger.info("%s The manifest is compared.", error)
        # Still the same: the endpoint knows no conditions, or its ETags do not last.
        if store.read(key) == before:
            store.write(key, content)
    # An attempt without an answer may have been taken; and not every endpoint asks a condition.
    if store.read(key) != content:
        raise StoreError(
            f"another push replaced {store.address(key)} at the same time. Its models are there, "
            "those of this one may not be named; run this again: the files are not sent twice."
        )


def command_on_a_pod(project: str) -> str:
    """What makes the names of models, which no S3 API can, and mends a manifest."""
    return f"python -m volume_bootstrap models download --project {project} --volume /workspace"
