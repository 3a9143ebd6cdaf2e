"""Versions of a model on a volume, and the names that lead to them.

A version is a folder that never changes once it has its name, the digest of
its files: ``hub/<org>/.<name>/<digest>/``. Other tools find it by links.
"""

import logging
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from volume_bootstrap import files
from volume_bootstrap.errors import ModelError
from volume_bootstrap.layout import LayoutError, ModelFile, ModelRecord, Volume, dump, read_model
from volume_bootstrap.models.hub_layouts import make_findable
from volume_bootstrap.packages.integrity import Damage
from volume_bootstrap.sources.wanted import DRAFTS, RECORD
from volume_bootstrap.stages import stage

logger = logging.getLogger(__name__)

OWN = re.compile(r"[0-9a-f]{12}(-\d+)?|[0-9a-f]{12}\.partial|old-\d+")
"""Names beside each other in a model's hidden folder: versions, unfinished ones, older folders."""


def versions_of(volume: Volume, model_id: str) -> Path:
    """Folder of a model's versions: hidden beside the name that other tools look for."""
    org, _, name = model_id.partition("/")
    return volume.models / "hub" / org / f".{name}"


def public_names(volume: Volume, model_id: str) -> list[Path]:
    """Where releases of modelscope look for a model; links, once it was provisioned."""
    org, _, name = model_id.partition("/")
    written = name.replace(".", "___")
    hub = volume.models / "hub" / org
    return list(
        dict.fromkeys([hub / name, hub / written, volume.models / "models" / org / written])
    )


def keep_out(volume: Volume, folder: Path) -> None:
    """Refuse a folder of somebody's that lies where the provisioner moves and removes files.

    Raises
    ------
    ModelError
        It does.
    """
    there = folder.resolve()
    for own in (
        volume.models,
        volume.metadata,
        volume.root / "python-deps",
        volume.root / ".cache",
    ):
        if there.is_relative_to(own.resolve()):
            raise ModelError(
                f"{folder} is in {own}, which the provisioner keeps itself; name a folder "
                "elsewhere. `models download` takes over what other tools left there."
            )


def records_beside(volume: Volume, model_id: str) -> list[ModelRecord]:
    """Records of versions that are on the volume, whether a manifest names them or not."""
    found = []
    for path in sorted(versions_of(volume, model_id).glob(f"*/{RECORD}")):
        if path.parent.suffix == ".partial":
            continue
        try:
            folder = str(path.parent.relative_to(volume.models))
            found.append(replace(read_model(path), folder=folder))
        except LayoutError as error:
            logger.warning("%s The version beside it is not used.", error)
    return found


def place(volume: Volume, folder: Path, record: ModelRecord) -> ModelRecord:
    """Give a whole folder its name; one that is there already, and whole, is kept."""
    name = files.digest_of(sorted((file.path, file.sha256) for file in record.files))[:12]
    path = folder.with_name(name)
    if path.exists():
        there = replace(record, folder=str(path.relative_to(volume.models)))
        if not verify(volume, [there], quick=False) and (kept := refreshed(volume, there)):
            files.remove(folder)
            note(path, kept)
            return kept
        # The one that is damaged may be in use: it stays until `clean`.
        path = _free_name(path.parent, name)
    folder.rename(path)
    files.flush_names(path.parent)
    return replace(record, folder=str(path.relative_to(volume.models)))


def complete(
    volume: Volume, folder: Path, record: ModelRecord, digests: Mapping[str, str]
) -> ModelRecord:
    """Make a version of a folder whose files are together; it serves once a manifest names it.

    Parameters
    ----------
    record : what is known of the model but its place and its files.
    digests : SHA-256 of the files that the version holds, by their paths; others are removed.
    """
    stage("record")
    tidy(folder, list(digests))
    described = []
    for path, digest in digests.items():
        status = (folder / path).stat()
        described.append(ModelFile(path, status.st_size, digest, status.st_mtime_ns))
    record = replace(record, files=tuple(described))
    note(folder, record)
    files.flush(folder)
    stage("switch-models")
    return place(volume, folder, record)


def note(folder: Path, record: ModelRecord) -> None:
    """Leave a version's record in its folder; where it lies is told by the folder itself."""
    text = dump(replace(record, folder=""))
    path = folder / RECORD
    if not path.is_file() or path.read_bytes() != text.encode():
        files.write_text(path, text)


def tidy(folder: Path, kept: Sequence[str]) -> None:
    """Remove from a folder all but the files that it is to hold."""
    files.remove(folder / DRAFTS)
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink():
            if not any(path.iterdir()):
                path.rmdir()
        elif str(path.relative_to(folder)) not in kept:
            path.unlink()


def publish(volume: Volume, records: Sequence[ModelRecord]) -> None:
    """Point the names that modelscope and funasr look for to the versions of `records`.

    A real folder of that name, from another tool, is moved aside while the name goes on
    resolving.
    """
    for record in records:
        name = volume.models / "hub" / record.id
        if name.exists() and not name.is_symlink():
            aside = _free_name(versions_of(volume, record.id), "old")
            files.replace_folder_by_link(name, aside)
            logger.info("%s was moved to %s: a link to the verified version is there", name, aside)
        target = os.path.relpath(volume.models / record.folder, name.parent)
        if not name.is_symlink() or name.readlink() != Path(target):
            files.point(name, target)
            logger.info("%s points to %s", name, target)
        make_findable(volume.models, record.id, [file.path for file in record.files])


def unused(volume: Volume, folders: Iterable[str]) -> list[Path]:
    """List versions, unfinished ones and links to them that are not among the used `folders`.

    Of what other tools put there, only what was moved aside.

    Parameters
    ----------
    folders : below the folder of models, as records name them.
    """
    used = {volume.models / folder for folder in folders}
    found = []
    for folder in sorted((volume.models / "hub").glob("*/.*/*")):
        if folder in used or not OWN.fullmatch(folder.name):
            continue
        org, name = folder.parent.parent.name, folder.parent.name.removeprefix(".")
        names = public_names(volume, f"{org}/{name}")
        # realpath, because resolve() ends in an error on a link to itself.
        there = os.path.realpath(folder)
        found += [n for n in names if n.is_symlink() and os.path.realpath(n) == there]
        found.append(folder)
    return found


def verify(volume: Volume, records: Sequence[ModelRecord], *, quick: bool) -> list[Damage]:
    """Compare each file of the models with its record.

    Parameters
    ----------
    quick : compare sizes and times; else SHA-256.
    """
    files_of = [
        (record.alias, volume.models / record.folder / file.path, file)
        for record in records
        for file in record.files
    ]
    with ThreadPoolExecutor() as pool:
        problems = pool.map(lambda item: _problem(*item[1:], quick=quick), files_of)
        return [
            Damage(alias, path, problem)
            for (alias, path, _), problem in zip(files_of, problems, strict=True)
            if problem
        ]


def refreshed(volume: Volume, record: ModelRecord) -> ModelRecord | None:
    """Return the record with the times of its files as they are; none if one is not whole.

    A volume that was copied has other times: its files are hashed once.
    """
    current = []
    for file in record.files:
        path = volume.models / record.folder / file.path
        quick = _problem(path, file, quick=True)
        if quick and (problem := _problem(path, file, quick=False)):
            logger.info("%s: %s: %s", record.alias, path, problem)
            return None
        current.append(replace(file, mtime_ns=path.stat().st_mtime_ns))
    return replace(record, files=tuple(current))


def _problem(path: Path, file: ModelFile, *, quick: bool) -> str:
    """Say what is wrong with a file, or nothing."""
    try:
        if not path.is_file():
            return "missing"
        status = path.stat()
        if status.st_size != file.size:
            return f"it has {status.st_size} bytes, {file.size} were fetched"
        if quick:
            return "" if status.st_mtime_ns == file.mtime_ns else "it was written since"
        digest = files.sha256_of(path)
    except OSError as error:
        return error.strerror or str(error)
    return "" if digest == file.sha256 else f"its SHA-256 is {digest}, not {file.sha256}"


def _free_name(parent: Path, name: str) -> Path:
    taken = {path.name for path in parent.glob(f"{name}-*")}
    number = next(n for n in range(1, len(taken) + 2) if f"{name}-{n}" not in taken)
    return parent / f"{name}-{number}"
