"""One model by its id on a hub, without a project: fetched, verified, and where modelscope looks.

It becomes a version like those of projects, and `setup` of a project that names the same model and
revision takes it from there. No manifest tells of it: a note in the model's folder does, which
`clean` goes by.
"""

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from volume_bootstrap import files, sources
from volume_bootstrap.errors import ModelError
from volume_bootstrap.layout import ModelRecord, Volume
from volume_bootstrap.models import versions
from volume_bootstrap.models.gathering import Gathered, gather, partial_folder
from volume_bootstrap.models.provisioning import telling_no_room
from volume_bootstrap.progress import Progress
from volume_bootstrap.project_files import (
    HuggingFaceSource,
    ModelEntry,
    ModelScopeSource,
)
from volume_bootstrap.sources.wanted import FETCHED

logger = logging.getLogger(__name__)

HUBS = {
    "modelscope": ModelScopeSource(kind="modelscope"),
    "huggingface": HuggingFaceSource(kind="huggingface"),
}
"""Sources that list a model's files themselves."""
NOTE = "downloaded"
"""In a model's hidden folder: the name of the version that was fetched without a project."""


@dataclass(frozen=True, slots=True)
class Wish:
    """A model as somebody asks for it; without a revision, the hub's main one."""

    id: str
    revision: str | None
    source: str


def download(volume: Volume, wish: Wish, *, force: bool) -> tuple[ModelRecord, bool]:
    """Bring one model to the volume, and the names that modelscope looks for to it.

    Parameters
    ----------
    force : fetch it anew although it is there; it may be another one by now.

    Returns
    -------
    Its record, and whether it is another version than before.

    Raises
    ------
    ModelError
        The wish is none, the source does not give the model, or there is no room.
    """
    entry = _entry(wish)
    before = _noted(volume, wish.id)
    if before and not force and _is_wanted(before, entry) and versions.refreshed(volume, before):
        logger.info("%s is there from an earlier download; --force asks the hub again", wish.id)
        versions.publish(volume, [before])
        return before, False
    with telling_no_room(wish.id, volume.models):
        record = _finish(volume, entry, _gather(volume, entry, force=force), force=force)
        versions.publish(volume, [record])
    return record, before is None or before.folder != record.folder


def check(wish: Wish) -> None:
    """Refuse a wish that is none, before anything begins.

    Raises
    ------
    ModelError
        Its id, revision or source is none.
    """
    _entry(wish)


def fetched_alone(volume: Volume) -> list[str]:
    """Versions that were fetched without a project, and stay, below the folder of models.

    Their notes name them, whether their records can be read or not.
    """
    found = []
    for note in sorted((volume.models / "hub").glob(f"*/.*/{NOTE}")):
        name = note.read_text(encoding="utf-8", errors="replace").strip()
        found.append(str(note.with_name(Path(name).name or NOTE).relative_to(volume.models)))
    return found


def _entry(wish: Wish) -> ModelEntry:
    """The wish as an entry of models.yaml; task and licence, which nobody told, do not matter."""
    if wish.source not in HUBS:
        raise ModelError(f"--source is {wish.source!r}; allowed: {', '.join(HUBS)}.")
    if wish.revision == "":
        raise ModelError("--revision is empty; name one, or leave it out for the main one.")
    try:
        return ModelEntry(
            alias=_alias(wish.id),
            id=wish.id,
            revision=wish.revision,
            task="diarization",
            licence="",
            sources=[HUBS[wish.source]],
        )
    except ValidationError as error:
        raise ModelError(
            f"{wish.id!r} is no model's id on a hub; it is like iic/SenseVoiceSmall."
        ) from error


def _alias(model_id: str) -> str:
    """How messages name the model: aliases of models.yaml are lower case, without underscores."""
    return model_id.partition("/")[2].lower().replace("_", "-").lstrip(".-") or "model"


def _noted(volume: Volume, model_id: str) -> ModelRecord | None:
    """The version that an earlier download left, if its record can be read."""
    folder = versions.versions_of(volume, model_id)
    try:
        name = (folder / NOTE).read_text(encoding="utf-8", errors="replace").strip()
    except (FileNotFoundError, NotADirectoryError):
        return None
    records = versions.records_beside(volume, model_id)
    return next((r for r in records if Path(r.folder).name == name), None)


def _is_wanted(record: ModelRecord, entry: ModelEntry) -> bool:
    source = sources.describe(entry.sources[0], entry)
    return (record.revision, record.source) == (entry.revision, source)


def _gather(volume: Volume, entry: ModelEntry, *, force: bool) -> Gathered:
    """Bring the files together, in a thread that an interruption of this one ends at once."""
    folder = partial_folder(volume, entry, force=force)
    name = sources.describe(entry.sources[0], entry)
    with Progress(entry.id) as progress, ThreadPoolExecutor(1) as pool:
        try:
            found = pool.submit(gather, volume, entry, folder, progress, force=force).result()
            if found.source != name:  # of a run that was killed, and asked another hub
                (folder / FETCHED).unlink()
                found = pool.submit(gather, volume, entry, folder, progress, force=force).result()
        except BaseException:
            progress.stop()
            raise
    return found


def _finish(volume: Volume, entry: ModelEntry, gathered: Gathered, *, force: bool) -> ModelRecord:
    """Give the folder the name of a version, and note that somebody asked for it."""
    folder = partial_folder(volume, entry, force=force)
    record = ModelRecord(
        alias=entry.id, id=entry.id, revision=entry.revision, task="", engine=None,
        licence="unknown", source=gathered.source, folder="", files=(),
        runtime=None, parity=None, export=None,
    )  # fmt: skip
    digests = dict(sorted(gathered.digests.items()))
    record = versions.complete(volume, folder, record, digests)
    path = volume.models / record.folder
    files.write_text(path.with_name(NOTE), f"{path.name}\n")
    return record
