"""The generations of a project on a volume: which there are, which is active, which may go."""

import importlib.metadata
import json
import logging
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
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


def of_project(volume: Volume, project: str) -> list[Generation]:
    """Whole generations of a project, the newest first."""
    found = []
    for path in _folders(volume):
        try:
            generation = read_generation(path / "generation.json")
        except LayoutError as error:
            logger.warning("%s It counts as no generation.", error)
            continue
        if generation.project == project:
            found.append(generation)
    return sorted(found, key=lambda generation: number_of(generation.id), reverse=True)


def next_number(volume: Volume) -> int:
    """Number that no generation on the volume has had and still lies there."""
    return 1 + max((number_of(path.name) for path in _folders(volume)), default=0)


def number_of(name: str) -> int:
    """Build number of a generation's id."""
    match = ID.match(name)
    return int(match["number"]) if match else 0


def switch(volume: Volume, generation: Generation) -> None:
    """Make the generation the project's active one, in one step."""
    stage("switch-deps")
    files.point(volume.pointer(generation.project), f".generations/{generation.id}")
    logger.info("%s: generation %s is active", generation.project, generation.id)


def rollback(volume: Volume, project: str, wanted: str | None) -> Generation:
    """Switch to an older generation: the one before the active one, or `wanted`.

    Raises
    ------
    DependencyError
        There is no such generation.
    """
    found = of_project(volume, project)
    now = active(volume, project)
    if wanted is None:
        last = number_of(now.id) if now else 1 + max((number_of(g.id) for g in found), default=0)
        fitting = [g for g in found if number_of(g.id) < last]
    else:
        fitting = [g for g in found if g.id == wanted]
    if not fitting:
        held = ", ".join(g.id for g in found) or "none"
        what = f"no generation {wanted}" if wanted else "no generation older than the active one"
        raise DependencyError(
            f"Project {project} has {what} on {volume.root}; it has: {held}. "
            "List them with: python -m volume_bootstrap deps list"
        )
    switch(volume, fitting[0])
    return fitting[0]


def older_tool(volume: Volume, project: str) -> Generation | None:
    """Describe a real folder at the pointer's place, which older tools left, as a generation."""
    pointer = volume.pointer(project)
    if pointer.is_symlink() or not pointer.is_dir():
        return None
    distributions = importlib.metadata.distributions(path=[str(pointer)])
    packages = {canonicalize_name(each.name): each.version for each in distributions}
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
    generation = older_tool(volume, project)
    if generation is None:
        return
    pointer = volume.pointer(project)
    logger.info("%s is a folder of an older tool: it becomes %s", pointer, generation.id)
    # The record first: it is a new file, and nothing that serves from the folder looks at it.
    files.write_text(pointer / "generation.json", dump(generation))
    volume.generations.mkdir(parents=True, exist_ok=True)
    files.replace_folder_by_link(pointer, volume.generations / generation.id)


def unused(volume: Volume, project: str, keep: int = KEPT) -> list[Generation]:
    """Return generations beyond the newest `keep` that no worker uses, the active one apart."""
    now = active(volume, project)
    used = set(workers(volume))
    if now is not None:
        used.add(now.id)
    return [g for g in of_project(volume, project)[keep:] if g.id not in used]


def prune(volume: Volume, project: str, keep: int = KEPT) -> list[str]:
    """Remove unused generations; ids of what went."""
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
    now = _server_time(volume)
    found = []
    for path in sorted(volume.workers.glob("*.json")):
        try:
            if (now - path.stat().st_mtime <= WORKER_DEAD_AFTER_S) == living:
                found.append(path)
        except FileNotFoundError:
            continue
    return found


def now() -> str:
    """Time in UTC, as ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _server_time(volume: Volume) -> float:
    """Time as the file server has it: clocks of two machines need not agree."""
    probe = volume.workers / f"probe.{uuid.uuid4().hex}"
    try:
        probe.touch()
        return probe.stat().st_mtime
    except OSError:
        # A volume that cannot be written to is only looked at.
        return time.time()
    finally:
        probe.unlink(missing_ok=True)


def _folders(volume: Volume) -> Iterator[Path]:
    if volume.generations.is_dir():
        for path in volume.generations.iterdir():
            if ID.match(path.name) and path.is_dir():
                yield path
