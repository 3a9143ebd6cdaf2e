"""What a volume already holds of a model, in whatever layout: linked, not downloaded again."""

import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from volume_bootstrap import files
from volume_bootstrap.layout import Volume
from volume_bootstrap.models.versions import public_names, versions_of
from volume_bootstrap.project_files import HuggingFaceSource, ModelEntry, ModelScopeSource
from volume_bootstrap.sources.wanted import Digest, Wanted

logger = logging.getLogger(__name__)


def candidates(volume: Volume, entry: ModelEntry) -> list[Path]:
    """Folders that may hold the model's files, in the layouts of all clients there were."""
    hubs = [source for source in entry.sources if isinstance(source, ModelScopeSource)]
    faces = [source for source in entry.sources if isinstance(source, HuggingFaceSource)]
    found: dict[Path, None] = {}
    for model_id in dict.fromkeys([entry.id, *(s.id for s in hubs if s.id)]):
        found |= dict.fromkeys(_modelscope_folders(volume, model_id))
    for model_id in dict.fromkeys([entry.id, *(s.id for s in faces if s.id)]):
        found |= dict.fromkeys(_huggingface_folders(volume, model_id))
    # Several names may lead to one folder.
    return list({folder.resolve(): folder for folder in found if folder.is_dir()}.values())


def _modelscope_folders(volume: Volume, model_id: str) -> Iterator[Path]:
    org, _, name = model_id.partition("/")
    # With MODELSCOPE_CACHE set, the volume may still hold what was fetched without it.
    for cache, own in ((volume.models, volume), (volume.root / "models", Volume(volume.root))):
        yield from public_names(own, model_id)
        for version in sorted(versions_of(own, model_id).glob("*")):
            if version.suffix != ".partial":
                yield version
        yield from sorted((cache / "models" / f"{org}--{name}" / "snapshots").glob("*"))
        yield cache / "hub" / "models" / org / name.replace(".", "___")
        yield cache / "hub" / "models" / org / name


def _huggingface_folders(volume: Volume, model_id: str) -> Iterator[Path]:
    caches = [volume.root / "huggingface-cache" / "hub"]
    if home := os.environ.get("HF_HOME"):
        caches.append(Path(home) / "hub")
    if named := os.environ.get("HF_HUB_CACHE"):
        caches.append(Path(named))
    # What lies elsewhere would be copied, and is nothing that the volume holds.
    root = os.path.realpath(volume.root)
    caches = [cache for cache in caches if Path(os.path.realpath(cache)).is_relative_to(root)]
    for cache in caches:
        folder = cache / f"models--{model_id.replace('/', '--')}" / "snapshots"
        yield from sorted(folder.glob("*"))


def take(wanted: Sequence[Wanted], folders: Sequence[Path], target: Path) -> dict[str, str]:
    """Link what verifies into `target`; what is there already and wrong is removed.

    Returns
    -------
    SHA-256 of each file that is whole in `target` now, by its path.
    """
    whole: dict[str, str] = {}
    taken_from: dict[Path, int] = {}
    for file in wanted:
        path = target / file.path
        if not file.is_known:
            _tell_unknown(file, folders)
            continue
        if digest := _verified(path, file):
            whole[file.path] = digest
            continue
        files.remove(path)
        for folder in folders:
            if digest := _verified(folder / file.path, file):
                files.link_file(folder / file.path, path)
                whole[file.path] = digest
                taken_from[folder] = taken_from.get(folder, 0) + 1
                break
    for folder, count in taken_from.items():
        logger.info("%s: %d files are as they should be and are not fetched again", folder, count)
    return whole


def _verified(path: Path, wanted: Wanted) -> str | None:
    """SHA-256 of the file if it is the one that is wanted."""
    try:
        if not path.is_file() or wanted.size not in {None, path.stat().st_size}:
            return None
        digest = Digest(wanted)
        with path.open("rb") as file:
            digest.update_from(file)
    except OSError as error:
        logger.warning("%s cannot be read: %s. It is not taken over.", path, error.strerror)
        return None
    return digest.sha256 if digest.matches else None


def _tell_unknown(wanted: Wanted, folders: Sequence[Path]) -> None:
    for folder in folders:
        if (folder / wanted.path).is_file():
            logger.info(
                "%s is not taken over: neither models.yaml nor a hub's list has its SHA-256",
                folder / wanted.path,
            )
