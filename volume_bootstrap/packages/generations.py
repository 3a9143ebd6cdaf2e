"""The generations of a project on a volume: which there are, which is active, which may go."""

import importlib.metadata
import json
import logging
import re
import shutil
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path

from packaging.utils import canonicalize_name

from volume_bootstrap import files
from volume_bootstrap.errors import DependencyError
from volume_bootstrap.layout import (
    WORKER_DEAD_AFTER_S,
    Generation,
    LayoutError,
    Volume,
    dump,
    read_generation,
)
from volume_bootstrap.packages.integrity import missing_packages
from volume_bootstrap.processes import now, server_time_or_ours
from volume_bootstrap.stages import stage

logger = logging.getLogger(__name__)

KEPT = 2
"""Generations of a project that stay, with the active one: one to roll back to."""
ID = re.compile(r"^[0-9a-z]+-(?P<number>[0-9]+)$")


def active(volume: Volume, project: str) -> Generation | None:
    """Return the generation that the project's pointer names, if that can be read."""
    try:
        return read_generation(volume.pointer(project) / "generation.json")
    except LayoutError:
        return None


def required(volume: Volume, project: str) -> Generation:
    """Return the project's active generation.

    Raises
    ------
    DependencyError
        It has none, or its record is damaged.
    """
    generation = active(volume, project)
    if generation is None:
        raise DependencyError(
            f"Project {project} has no packages for Python {volume.python} on {volume.root}. "
            f"Install them with: python -m volume_bootstrap deps install --project {project} "
            f"--volume {volume.root}"
        )
    return generation


def of_project(volume: Volume, project: str) -> list[Generation]:
    """Whole generations of a project, the newest first."""
    found = []
    for path in _folders(volume):
        try:
            generation = read_generation(path / "generation.json")
        except LayoutError as error:
            logger.debug("%s It counts as no generation.", error)
            continue
        if generation.project == project:
            found.append(generation)
    return sorted(found, key=lambda generation: number_of(generation.id), reverse=True)


def next_number(volume: Volume) -> int:
    """Return a build number above those of all generations on the volume."""
    return 1 + max((number_of(path.name) for path in _folders(volume)), default=0)


def number_of(name: str) -> int:
    """Build number of a generation's id."""
    match = ID.match(name)
    return int(match["number"]) if match else 0


def switch(volume: Volume, generation: Generation) -> bool:
    """Make the generation the project's active one, in one step; whether another one was.

    The one that was is remembered: a roll-back goes there, and it stays while others go.
    """
    now = active(volume, generation.project)
    if now is not None and now.id == generation.id:
        return False
    stage("switch-deps")
    if now is not None:
        files.point(volume.previous(generation.project), f".generations/{now.id}")
    files.point(volume.pointer(generation.project), f".generations/{generation.id}")
    logger.info("%s: generation %s is active", generation.project, generation.id)
    return True


def rollback(
    volume: Volume, project: str, wanted: str | None, image: Mapping[str, str]
) -> Generation:
    """Switch to the generation that was active before, else the next older one, or to `wanted`.

    Parameters
    ----------
    image : versions of the image's packages.

    Raises
    ------
    DependencyError
        There is no such generation, or a worker could not start on it.
    """
    adopt(volume, project)
    found = of_project(volume, project)
    held = ", ".join(generation.id for generation in found) or "none"
    now = active(volume, project)
    reasons = {generation.id: unfit(volume, generation, image) for generation in found}
    if wanted is not None:
        if wanted not in reasons:
            raise DependencyError(
                f"Project {project} has no generation {wanted} on {volume.root}; it has: {held}."
            )
        if reason := reasons[wanted]:
            raise DependencyError(f"No worker can start on generation {wanted}: {reason}.")
        chosen = next(generation for generation in found if generation.id == wanted)
    else:
        last = number_of(now.id) if now else next_number(volume)
        before = volume.previous(project).resolve().name
        older = [g for g in found if g.id == before and g != now]
        older += [g for g in found if number_of(g.id) < last]
        fitting = [generation for generation in older if not reasons[generation.id]]
        if not fitting:
            unfitting = "; ".join(
                f"{name}: {reasons[name]}" for name in dict.fromkeys(g.id for g in older)
            )
            raise DependencyError(
                f"Project {project} has no generation to go back to on {volume.root}; it has: "
                f"{held}. {unfitting}".rstrip()
            )
        chosen = fitting[0]
    switch(volume, chosen)
    # What was left is no place to go back to.
    volume.previous(project).unlink(missing_ok=True)
    return chosen


def unfit(volume: Volume, generation: Generation, image: Mapping[str, str]) -> str:
    """Say why no worker could start on a generation, or nothing."""
    abi = sysconfig.get_config_var("SOABI")
    if generation.abi != abi:
        return f"it is built for {generation.abi or 'an older tool'}, this Python is {abi}"
    for name, version in generation.image_packages.items():
        if image.get(name) != version:
            return f"it needs {name} {version} of the image, which has {image.get(name)}"
    if missing := missing_packages(volume, generation):
        return f"it lacks {', '.join(missing)}"
    return ""


def older_tool(volume: Volume, project: str) -> Generation | None:
    """Describe a real folder at the pointer's place, which older tools left, as a generation."""
    pointer = volume.pointer(project)
    if pointer.is_symlink() or not pointer.is_dir():
        return None
    # pip leaves folders without METADATA when it replaces a package: those have no name.
    distributions = importlib.metadata.distributions(path=[str(pointer)])
    packages = {canonicalize_name(each.name): each.version for each in distributions if each.name}
    return Generation(
        id=f"adopted-{next_number(volume)}",
        project=project,
        variant=None,
        python=volume.python,
        abi="",
        inputs="",
        packages=dict(sorted(packages.items())),
        image_packages={},
        imports=(),
        built=now(),
        num_files=0,
        num_bytes=0,
    )


def adopt(volume: Volume, project: str) -> None:
    """Turn a folder that an older tool left at the pointer's place into a generation."""
    pointer = volume.pointer(project)
    if not pointer.is_symlink() and not pointer.exists():
        # Killed between two steps, where the file system cannot exchange names.
        if aside := [g for g in of_project(volume, project) if g.id.startswith("adopted-")]:
            files.point(pointer, f".generations/{aside[0].id}")
        return
    generation = older_tool(volume, project)
    if generation is None:
        return
    logger.info("%s is a folder of an older tool: it becomes %s", pointer, generation.id)
    # The record first: it is a new file, and nothing that serves from the folder looks at it.
    files.write_text(pointer / "generation.json", dump(generation))
    volume.generations.mkdir(parents=True, exist_ok=True)
    files.replace_folder_by_link(pointer, volume.generations / generation.id)


def unused(volume: Volume, project: str, keep: int = KEPT) -> list[Generation]:
    """Return generations that may go: beyond `keep`, and used by no worker.

    The active one stays first, then the one before it, then the newest.
    """
    found = of_project(volume, project)
    now = active(volume, project)
    before = volume.previous(project).resolve().name
    order = [g for g in found if now and g.id == now.id]
    order += [g for g in found if g.id == before]
    kept = list(dict.fromkeys(g.id for g in [*order, *found]))[:keep]
    needed = {*kept, *workers(volume)}
    return [g for g in found if g.id not in needed]


def unreadable(volume: Volume) -> list[Path]:
    """Return folders whose record cannot be read, that no project points to and no worker uses."""
    pointed = {path.resolve() for path in volume.dependencies.glob("[!.]*") if path.is_symlink()}
    used = set(workers(volume))
    found = []
    for path in _folders(volume):
        try:
            read_generation(path / "generation.json")
        except LayoutError:
            if path.resolve() not in pointed and path.name not in used:
                found.append(path)
    return found


def prune(volume: Volume, project: str, keep: int = KEPT) -> list[str]:
    """Remove unused generations; ids of what went."""
    stage("prune")
    gone = unused(volume, project, keep)
    for generation in gone:
        logger.info("removing generation %s", generation.id)
        remove(volume.generations / generation.id)
    return [generation.id for generation in gone]


def remove(folder: Path) -> None:
    """Remove a generation: first its name goes, so that a kill leaves no half of one."""
    doomed = folder.with_name(f"{folder.name}.partial")
    folder.replace(doomed)
    shutil.rmtree(doomed)


def leftovers(volume: Volume) -> list[Path]:
    """Folders of builds that were killed."""
    return sorted(volume.generations.glob("*.partial"))


def workers(volume: Volume) -> list[str]:
    """Return the id of the generation that each living worker runs on."""
    living = []
    for path in _worker_files(volume, living=True):
        try:
            living.append(str(json.loads(path.read_bytes())["generation"]))
        except FileNotFoundError:
            continue
        except (ValueError, KeyError, TypeError):
            logger.warning("%s is damaged; it counts as no worker.", path)
    return living


def gone_workers(volume: Volume) -> list[Path]:
    """Return the files of workers that ended without removing them."""
    return _worker_files(volume, living=False)


def _worker_files(volume: Volume, *, living: bool) -> list[Path]:
    if not volume.workers.is_dir():
        return []
    there = server_time_or_ours(volume.metadata)
    found = []
    for path in sorted(volume.workers.glob("*.json")):
        try:
            if (there - path.stat().st_mtime <= WORKER_DEAD_AFTER_S) == living:
                found.append(path)
        except FileNotFoundError:
            continue
    return found


def _folders(volume: Volume) -> Iterator[Path]:
    if volume.generations.is_dir():
        for path in volume.generations.iterdir():
            if ID.match(path.name) and path.is_dir():
                yield path
