"""What lies on a volume, whether it is whole, and what may go."""

import logging
import shutil
from dataclasses import dataclass
from pathlib import Path

from volume_bootstrap import files, lock
from volume_bootstrap.bundle.archive import extraction_folder
from volume_bootstrap.errors import VolumeError
from volume_bootstrap.jobs import records
from volume_bootstrap.layout import Generation, LayoutError, Manifest, Volume, read_manifest
from volume_bootstrap.models import download, recording, versions
from volume_bootstrap.packages import generations
from volume_bootstrap.packages.integrity import Damage, damaged_packages
from volume_bootstrap.packages.uv_tool import find_uv

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ProjectStatus:
    """One project for this Python: what it serves from, and what it could go back to."""

    name: str
    active: Generation | None
    generations: tuple[Generation, ...]
    manifest: Manifest | None


@dataclass(frozen=True, slots=True)
class Status:
    """A volume at a moment; sizes in bytes."""

    root: Path
    models: Path
    free_bytes: int
    total_bytes: int
    writer: str | None
    workers: dict[str, int]
    projects: tuple[ProjectStatus, ...]


def status(volume: Volume) -> Status:
    """Look at a volume; nothing on it changes."""
    usage = shutil.disk_usage(volume.root)
    workers: dict[str, int] = {}
    for generation in generations.workers(volume):
        workers[generation] = workers.get(generation, 0) + 1
    return Status(
        root=volume.root,
        models=volume.models,
        free_bytes=usage.free,
        total_bytes=usage.total,
        writer=lock.holder(volume),
        workers=workers,
        projects=tuple(_project(volume, name) for name in project_names(volume)),
    )


def must_exist(volume: Volume) -> None:
    """Refuse a volume that is not there, where it would otherwise be made.

    Raises
    ------
    VolumeError
        There is no such folder.
    """
    if not volume.root.is_dir():
        raise VolumeError(f"{volume.root} does not exist; name a volume that was set up.")


def project_names(volume: Volume) -> list[str]:
    """Projects that have packages or a manifest for this Python, sorted."""
    pointers = {p.name for p in volume.dependencies.glob("[!.]*") if p.suffix != ".partial"}
    return sorted(pointers | set(volume.projects()))


def verify(volume: Volume, projects: list[str], *, quick: bool) -> list[Damage]:
    """Compare packages and models with their records.

    Parameters
    ----------
    quick : sizes and times alone; else the SHA-256 of every file.
    """
    found = []
    for name in projects:
        generation = generations.active(volume, name)
        if generation is None:
            path = volume.pointer(name) / "generation.json"
            found.append(Damage(name, path, "missing or damaged: the project has no packages"))
        else:
            found += damaged_packages(volume.generations / generation.id, generation, quick=quick)
        found += verify_models(volume, name, quick=quick)
    return found


def verify_models(volume: Volume, project: str, *, quick: bool) -> list[Damage]:
    """Compare a project's models with its manifest."""
    path = volume.manifest(project)
    try:
        served = read_manifest(path).models
    except LayoutError as error:
        return [Damage(project, path, str(error))]
    return versions.verify(volume, served, quick=quick)


def removable(volume: Volume, keep: int) -> list[Path]:
    """Return what nothing needs: old generations, left-over folders, models that nobody asked for.

    And what jobs left that have ended.
    """
    manifests = recording.manifests(volume)
    old = [
        volume.generations / generation.id
        for name in project_names(volume)
        for generation in generations.unused(volume, name, keep)
    ]
    unread = set(volume.metadata.glob("*-py*.json")) - set(manifests)
    unused: list[Path] = []
    if not volume.models.is_relative_to(volume.root):
        logger.warning("models stay: %s may serve other volumes, too", volume.models)
    elif unread:
        # What a damaged manifest told of is not known, so every model may be needed.
        logger.warning("models stay: %s cannot be read", ", ".join(map(str, sorted(unread))))
    else:
        served = [record.folder for m in manifests.values() for record in m.models]
        unused = versions.unused(volume, [*served, *download.fetched_alone(volume)])
    torn = generations.unreadable(volume)
    gone = generations.gone_workers(volume)
    bundles = [folder for folder in [extraction_folder(volume)] if folder.is_dir()]
    ended = records.removable(volume)
    return [*old, *torn, *generations.leftovers(volume), *bundles, *unused, *gone, *ended]


def clean(volume: Volume, paths: list[Path]) -> None:
    """Remove paths, and what uv's cache holds of no further use."""
    uv = find_uv(volume.uv_cache)
    for path in paths:
        logger.info("removing %s", path)
        if path.parent == volume.generations and path.suffix != ".partial":
            generations.remove(path)
        else:
            files.remove(path)
    uv.prune_cache()


def size_of(path: Path) -> int:
    """Bytes in a file, or in all files below a folder."""
    if path.is_symlink() or not path.is_dir():
        return path.lstat().st_size
    return sum(each.lstat().st_size for each in path.rglob("*") if not each.is_dir())


def _project(volume: Volume, name: str) -> ProjectStatus:
    try:
        manifest = read_manifest(volume.manifest(name))
    except LayoutError as error:
        logger.warning("%s", error)
        manifest = None
    return ProjectStatus(
        name,
        generations.active(volume, name),
        tuple(generations.of_project(volume, name)),
        manifest,
    )
