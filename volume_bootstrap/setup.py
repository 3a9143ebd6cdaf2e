"""Fill a volume for a project: packages, models, samples, and the manifest that tells of them."""

import logging
from dataclasses import dataclass
from pathlib import Path

from volume_bootstrap import generations, models, recording
from volume_bootstrap.building import build
from volume_bootstrap.dependencies import Plan
from volume_bootstrap.errors import DependencyError
from volume_bootstrap.files import copy_file, sha256_of
from volume_bootstrap.layout import (
    Generation,
    LayoutError,
    Manifest,
    ModelRecord,
    Volume,
    read_manifest,
)
from volume_bootstrap.project import ROOT, Project

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a set-up left on the volume, and whether it changed anything."""

    generation: Generation
    models: tuple[ModelRecord, ...]
    changed: bool


def set_up(volume: Volume, plan: Plan, *, force: bool) -> Outcome:
    """Bring the volume up to date with a project; what is there and whole is left alone.

    Packages and models are all in their places before the first of them serves.

    Raises
    ------
    ProvisionError
        Packages or models could not be had; the volume serves what it served before.
    """
    generation = build(volume, plan, force=force)
    records, fetched = _provision(volume, plan.project, generation, force=force)
    switched = generations.switch(volume, generation)
    rewritten = _record(volume, plan.project, records)
    if switched:
        generations.prune(volume, plan.project.name)
    return Outcome(generation, records, switched or fetched or rewritten)


def install(volume: Volume, plan: Plan, *, force: bool) -> tuple[Generation, bool]:
    """Bring the packages of a project up to date.

    Returns
    -------
    What is active now, and whether it is another one than before.

    Raises
    ------
    DependencyError
        The packages do not install or import; the volume serves what it served before.
    """
    generation = build(volume, plan, force=force)
    switched = generations.switch(volume, generation)
    if switched:
        generations.prune(volume, plan.project.name)
    return generation, switched


def download(
    volume: Volume, project: Project, *, force: bool
) -> tuple[tuple[ModelRecord, ...], bool]:
    """Bring models and samples of a project up to date.

    Returns
    -------
    What the manifest tells now, and whether anything changed.

    Raises
    ------
    DependencyError
        The project has no packages on the volume, which the exports are judged with.
    ModelError
        No source gives a model's files, or they are not the ones they should be.
    """
    generation = active_generation(volume, project.name)
    records, fetched = _provision(volume, project, generation, force=force)
    return records, _record(volume, project, records) or fetched


def active_generation(volume: Volume, project: str) -> Generation:
    """Return the project's active generation.

    Raises
    ------
    DependencyError
        It has none, or its record is damaged.
    """
    generation = generations.active(volume, project)
    if generation is None:
        raise DependencyError(
            f"Project {project} has no packages for Python {volume.python} on {volume.root}. "
            f"Install them with: python -m volume_bootstrap deps install --project {project} "
            f"--volume {volume.root}"
        )
    return generation


def manifests(volume: Volume) -> dict[Path, Manifest]:
    """Manifests that can be read, of each project and Python, by their path."""
    found = {}
    for path in sorted(volume.metadata.glob("*-py*.json")):
        try:
            found[path] = read_manifest(path)
        except LayoutError as error:
            logger.warning("%s Its models are looked at anew.", error)
    return found


def recorded_models(volume: Volume) -> list[ModelRecord]:
    """Models that any manifest on the volume tells of: they serve every project and Python."""
    return [record for manifest in manifests(volume).values() for record in manifest.models]


def _provision(
    volume: Volume, project: Project, generation: Generation, *, force: bool
) -> tuple[tuple[ModelRecord, ...], bool]:
    """Bring models and samples to the volume; the manifest does not tell of them yet."""
    folder = volume.generations / generation.id
    records, fetched = models.provision(
        volume, project.models, recorded_models(volume), folder, force=force
    )
    copied = [_copy_sample(volume, sample) for sample in project.settings.samples]
    return records, fetched or any(copied)


def _record(volume: Volume, project: Project, records: tuple[ModelRecord, ...]) -> bool:
    """Let the manifest tell of models, and other tools find them; whether it told otherwise."""
    defaults = project.settings.defaults
    return recording.write(volume, Manifest(project.name, volume.python, defaults, records))


def _copy_sample(volume: Volume, sample: str) -> bool:
    source, target = ROOT / sample, volume.root / "samples" / sample.rpartition("/")[2]
    if target.is_file() and sha256_of(target) == sha256_of(source):
        return False
    copy_file(source, target)
    return True
