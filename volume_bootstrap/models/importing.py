"""A model that somebody copied by hand: compared with models.yaml, hashed, taken into the volume.

It is copied, never linked: a version never changes, and what is somebody's own may be edited.
"""

import errno
import hashlib
import logging
import os
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from volume_bootstrap import files
from volume_bootstrap.errors import ModelError
from volume_bootstrap.layout import (
    LayoutError,
    Manifest,
    ModelRecord,
    Volume,
    manifest_of,
    read_model,
)
from volume_bootstrap.models import provisioning, recording
from volume_bootstrap.models.gathering import Gathered, mark, partial_folder
from volume_bootstrap.models.plans import look, originals, recipe_of
from volume_bootstrap.models.versions import keep_out
from volume_bootstrap.onnx_export.exporter import Exporter
from volume_bootstrap.packages import generations
from volume_bootstrap.project import Project
from volume_bootstrap.project_files import ModelEntry
from volume_bootstrap.sources.listing import OWN
from volume_bootstrap.sources.wanted import DRAFTS, RECORD
from volume_bootstrap.stages import stage

logger = logging.getLogger(__name__)

MOST_NAMED = 8
"""Of the files that are not taken, so many are named."""


@dataclass(frozen=True, slots=True)
class _Exported:
    """An ONNX file that comes along, and its difference from the original where it was made."""

    sha256: str
    parity: float


def import_model(
    volume: Volume, project: Project, entry: ModelEntry, folder: Path
) -> tuple[ModelRecord, bool]:
    """Take a model's files out of `folder`, and let the project's manifest tell of them.

    What is there of an import that was killed is gone on with. The volume's lock is held.

    Parameters
    ----------
    entry : of the project; its files are taken and nothing else.
    folder : holds them by their paths, and stays as it is.

    Returns
    -------
    What the manifest tells of the model now, and whether anything changed.

    Raises
    ------
    ModelError
        Files are missing or wrong, each of them named; or the volume is full.
    DependencyError
        It has to be exported, and the project has no packages on the volume.
    """
    there = _manifest_there(volume, project)
    if not folder.is_dir():
        raise ModelError(f"{folder} is no folder; give the one that holds the model's files.")
    keep_out(volume, folder)
    _refuse_another_model(entry, folder)
    stage("verify")
    digests = _survey(entry, folder)
    found = look(volume, entry, recording.recorded_models(volume), force=False)
    if found.record and found.plan.action == "keep" and originals(found.record) == digests:
        record = found.record
    else:
        record = _take(volume, project, entry, folder, digests)
    defaults = project.settings.defaults
    own = Manifest(project.name, volume.python, defaults, (record,))
    return record, recording.write(volume, recording.merged(there, own))


def _manifest_there(volume: Volume, project: Project) -> Manifest | None:
    paths = (volume.manifest(project.name), volume.manifest_copy(project.name))
    if not any(path.exists() for path in paths):
        return None
    try:
        return manifest_of(volume, project.name)
    except LayoutError as error:
        raise ModelError(
            f"{error} What it told of would be forgotten. Mend it first: python -m "
            f"volume_bootstrap models download --project {project.name} --volume {volume.root}"
        ) from error


def _refuse_another_model(entry: ModelEntry, folder: Path) -> None:
    """Refuse an export of a model that is not the entry's; one without a record is judged by files.

    Raises
    ------
    ModelError
        Its record tells of another id or revision.
    """
    try:
        record = read_model(folder / RECORD)
    except LayoutError:
        return  # none, or damaged: whoever needs it tells so
    if (record.id, record.revision) != (entry.id, entry.revision):
        asked = f"{entry.id}@{entry.revision}" if entry.revision else entry.id
        raise ModelError(
            f"{folder} holds {record.reference}, as its {RECORD} tells; model {entry.alias} is "
            f"{asked}. Give the folder of that, or another alias with --as."
        )


def _survey(entry: ModelEntry, folder: Path) -> dict[str, str]:
    """SHA-256 of the files that the entry names, by their paths.

    Raises
    ------
    ModelError
        Some are missing, cannot be read, or are others; with what is expected of each.
    """
    wanted = {file.path: file.sha256 for file in entry.files} or _unlisted(folder)
    with ThreadPoolExecutor() as pool:
        looked = pool.map(lambda path: _look_at(folder, path, wanted[path]), wanted)
        found = dict(zip(wanted, looked, strict=True))
    problems = [problem for _, problem in found.values() if problem]
    if problems:
        tops = {path.partition("/")[0] for path in wanted}
        others = sorted({path.name for path in folder.iterdir()} - tops)
        more = f" and {len(others) - MOST_NAMED} more" if len(others) > MOST_NAMED else ""
        if others:
            problems.append(f"not asked for: {', '.join(others[:MOST_NAMED])}{more}")
        raise ModelError(
            f"{folder} does not hold model {entry.alias} ({entry.id}); nothing was taken.\n  "
            + "\n  ".join(problems)
        )
    return {path: digest for path, (digest, _) in found.items()}


def _unlisted(folder: Path) -> dict[str, str | None]:
    """Files to take where models.yaml names none: those of an export's record, or all there are."""
    names = _all(folder)
    try:
        sums = originals(read_model(folder / RECORD)) if (folder / RECORD).is_file() else {}
    except LayoutError as error:
        raise ModelError(f"{error} Export it again, or remove that file to take all.") from error
    # Paths are those that were found: what a record says may lead out of the folder.
    if lost := sorted(sums.keys() - set(names)):
        raise ModelError(f"{folder} lacks {', '.join(lost)}, which its {RECORD} names.")
    wanted = {path: sums.get(path) for path in names if path in sums or not sums}
    if not wanted:
        raise ModelError(f"{folder} holds no files of a model.")
    return wanted


def _look_at(folder: Path, path: str, expected: str | None) -> tuple[str, str]:
    """SHA-256 of a file, and what is wrong with it, if anything."""
    due = f"it should have SHA-256 {expected}" if expected else "models.yaml names it"
    try:
        with _opened(folder, path) as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
    except FileNotFoundError:
        return "", f"{path}: missing; {due}"
    except OSError as error:
        return "", f"{path}: {error.strerror}; {due}"
    if expected not in {None, digest}:
        return "", f"{path}: its SHA-256 is {digest}; {due}"
    return digest, ""


@contextmanager
def _opened(folder: Path, path: str) -> Iterator[BinaryIO]:
    """Open a regular file below a folder; a link on the way may lead anywhere and is refused."""
    for part in [*reversed(Path(path).parents), Path(path)]:
        mode = (folder / part).lstat().st_mode if part.name else stat.S_IFDIR
        if stat.S_ISLNK(mode):
            raise OSError(errno.ELOOP, f"{part} is a link; copy what it leads to (cp -rL)")
    # Not to wait for whoever writes to a pipe.
    descriptor = os.open(folder / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with open(descriptor, "rb", buffering=0) as file:  # noqa: PTH123 - a descriptor
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is no file")
        yield file


def _all(folder: Path) -> list[str]:
    """Paths of all that a folder holds but folders and what tools left: hidden files."""
    found = []
    for base, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        # A link to a folder stands among the folders, and is not gone into.
        linked = [name for name in folders if (Path(base) / name).is_symlink()]
        shown = [name for name in names if not name.startswith(".") and name not in OWN]
        found += [str((Path(base) / name).relative_to(folder)) for name in [*shown, *linked]]
    return sorted(found)


def _take(
    volume: Volume, project: Project, entry: ModelEntry, folder: Path, digests: dict[str, str]
) -> ModelRecord:
    """Copy a model's files and place them, with the ONNX file that the folder has, or a new one."""
    exported = _exported(entry, folder, digests)
    packages = None
    if entry.export and exported is None:
        # Before anything is copied: without packages nothing judges the export.
        packages = volume.generations / generations.required(volume, project.name).id
    target = partial_folder(volume, entry, force=False)

    def export(network: str) -> float:
        if exported is not None:
            _copy(folder, provisioning.RUNTIME, exported.sha256, target)
            return exported.parity
        with Exporter(volume, packages or volume.generations) as exporter:
            return provisioning.export_with(exporter, target, network)

    with provisioning.telling_no_room("the models", volume.models):
        stage("copy")
        logger.info("%s: copying %d files from %s", entry.alias, len(digests), folder)
        for path, digest in digests.items():
            _copy(folder, path, digest, target)
        gathered = mark(target, Gathered(f"import {folder}", digests))
        return provisioning.finish(volume, entry, target, gathered, export)


def _exported(entry: ModelEntry, folder: Path, digests: dict[str, str]) -> _Exported | None:
    """ONNX file of these very weights, where the folder has one as `models export` leaves it.

    It is taken as that record tells: to compare it with its original again takes torch.
    """
    if entry.export is None or not (folder / RECORD).is_file():
        return None
    try:
        record = read_model(folder / RECORD)
    except LayoutError as error:
        logger.warning("%s The model is exported anew.", error)
        return None
    sums = {file.path: file.sha256 for file in record.files}
    if record.runtime != provisioning.RUNTIME or record.parity is None:
        return None
    if record.export != recipe_of(entry, digests):
        logger.info("%s: its ONNX file is of other weights, or of another exporter", entry.alias)
        return None
    _, problem = _look_at(folder, provisioning.RUNTIME, sums[provisioning.RUNTIME])
    if problem:
        logger.warning("%s: %s. It is exported anew.", folder, problem)
        return None
    logger.info("%s: its ONNX file comes along, within %.1e", entry.alias, record.parity)
    return _Exported(sums[provisioning.RUNTIME], record.parity)


def _copy(folder: Path, path: str, digest: str, target: Path) -> None:
    """Copy a file into `target`, where an earlier run did not; hashed as it is written."""
    copied, draft = target / path, target / DRAFTS / path
    if copied.is_file() and not copied.is_symlink() and files.sha256_of(copied) == digest:
        return
    files.remove(copied)
    for place in (copied, draft):
        place.parent.mkdir(parents=True, exist_ok=True)
    with _opened(folder, path) as source, draft.open("wb") as file:
        written = files.copy_hashed(source, file.write)
    if written != digest:
        raise ModelError(f"{folder / path} was changed while it was copied; nothing was taken.")
    draft.replace(copied)
