"""Fill a volume for a project: packages, models, samples, and the manifest that tells of them."""

import logging
from dataclasses import dataclass

from volume_bootstrap.files import copy_file, sha256_of
from volume_bootstrap.layout import (
    Generation,
    Manifest,
    ModelRecord,
    Volume,
)
from volume_bootstrap.models import provisioning, recording
from volume_bootstrap.packages import generations
from volume_bootstrap.packages.building import build
from volume_bootstrap.packages.dependencies import Plan
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
    generation = generations.required(volume, project.name)
    records, fetched = _provision(volume, project, generation, force=force)
    return records, _record(volume, project, records) or fetched


def _provision(
    volume: Volume, project: Project, generation: Generation, *, force: bool
) -> tuple[tuple[ModelRecord, ...], bool]:
    """Bring models and samples to the volume; the manifest does not tell of them yet."""
    folder = volume.generations / generation.id
    records, fetched = provisioning.provision(
        volume, project.models, recording.recorded_models(volume), folder, force=force
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
