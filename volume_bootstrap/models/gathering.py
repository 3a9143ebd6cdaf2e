"""One model's files brought together in a folder: what is there, then source after source."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from volume_bootstrap import files, sources
from volume_bootstrap.errors import ModelError, SourceError
from volume_bootstrap.layout import Volume
from volume_bootstrap.models import adoption
from volume_bootstrap.models.versions import versions_of
from volume_bootstrap.progress import Progress
from volume_bootstrap.project_files import ModelEntry, Source
from volume_bootstrap.sources.wanted import FETCHED, Wanted
from volume_bootstrap.stages import stage

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Gathered:
    """Which source gave a model's files, and the SHA-256 of each by its path."""

    source: str
    digests: Mapping[str, str]


def partial_folder(volume: Volume, entry: ModelEntry, *, force: bool) -> Path:
    """Folder that a model is put together in; it stays from run to run until it is whole."""
    wanted = [(file.path, file.sha256) for file in entry.files]
    name = files.digest_of(entry.id, entry.revision, wanted, force)[:12]
    return versions_of(volume, entry.id) / f"{name}.partial"


def gather(
    volume: Volume, entry: ModelEntry, folder: Path, progress: Progress, *, force: bool
) -> Gathered:
    """Bring all files of a model into `folder`.

    Parameters
    ----------
    force : take nothing from elsewhere on the volume.

    Raises
    ------
    ModelError
        No source gives them; with the reason of each.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if (before := gathered_before(folder)) is not None:
        logger.info("%s: all files are there from an earlier run", entry.alias)
        return before
    candidates = [] if force else adoption.candidates(volume, entry)
    pinned = [Wanted(file.path, sha256=file.sha256) for file in entry.files if file.sha256]
    stage("verify")
    whole = adoption.take(pinned, candidates, folder)
    if entry.files and len(whole) == len(entry.files):
        return mark(folder, Gathered("adopted from the volume", whole))
    reasons = []
    for source in entry.sources:
        name = sources.describe(source, entry)
        try:
            whole = _gather_from(source, entry, folder, candidates, whole, progress)
        except SourceError as error:
            logger.info("%s: %s does not give it: %s", entry.alias, name, error)
            reasons.append(f"{name}: {error}")
        else:
            return mark(folder, Gathered(name, whole))
    raise ModelError(f"No source gave model {entry.alias} ({entry.id}).\n  " + "\n  ".join(reasons))


def _gather_from(
    source: Source,
    entry: ModelEntry,
    folder: Path,
    candidates: list[Path],
    whole: Mapping[str, str],
    progress: Progress,
) -> dict[str, str]:
    """Complete the folder from one source; `whole` is what is there and right."""
    stage("list")
    wanted = sources.look_up(source, entry)
    found = {file.path: whole[file.path] for file in wanted if file.path in whole}
    stage("verify")
    rest = [file for file in wanted if file.path not in found]
    found |= adoption.take(rest, candidates, folder)
    missing = [file for file in rest if file.path not in found]
    if missing:
        stage("fetch")
        name = sources.describe(source, entry)
        logger.info("%s: fetching %d files from %s", entry.alias, len(missing), name)
        found |= sources.fetch(source, entry, missing, folder, progress)
    return found


def mark(folder: Path, gathered: Gathered) -> Gathered:
    """Note in the folder that all files are there: an export that fails asks no source again."""
    text = json.dumps({"source": gathered.source, "digests": dict(gathered.digests)})
    files.write_text(folder / FETCHED, text)
    return gathered


def gathered_before(folder: Path) -> Gathered | None:
    """What an earlier run noted of the folder, if all of it is still so."""
    try:
        noted = json.loads((folder / FETCHED).read_text(encoding="utf-8"))
        gathered = Gathered(str(noted["source"]), dict(noted["digests"]))
        stage("verify")
        if gathered.digests and all(
            (folder / path).is_file() and files.sha256_of(folder / path) == digest
            for path, digest in gathered.digests.items()
        ):
            return gathered
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        logger.warning("%s is damaged (%s); its files are looked at anew", folder / FETCHED, error)
    (folder / FETCHED).unlink()
    return None
