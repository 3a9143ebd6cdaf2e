"""Fill a volume for a project: packages, models, samples, and the manifest that tells of them."""

import logging
from dataclasses import dataclass
from pathlib import Path

from volume_bootstrap import dependencies, generations, models
from volume_bootstrap.errors import DependencyError
from volume_bootstrap.files import copy_file, sha256_of, write_text
from volume_bootstrap.layout import (
    Generation,
    LayoutError,
    Manifest,
    ModelRecord,
    Volume,
    dump,
    read_manifest,
)
from volume_bootstrap.project import ROOT, Project
from volume_bootstrap.stages import stage

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a set-up left on the volume, and whether it changed anything."""

    generation: Generation
    models: tuple[ModelRecord, ...]
    changed: bool


def set_up(volume: Volume, plan: dependencies.Plan, *, force: bool) -> Outcome:
    """Bring the volume up to date with a project; what is there and whole is left alone.

    Raises
    ------
    ProvisionError
        Packages or models could not be had; what the volume served before, it still serves.
    """
    built = dependencies.install(volume, plan, force=force)
    records, fetched = download(volume, plan.project, force=force)
    if built:
        stage("prune")
        generations.prune(volume, plan.project.name)
    return Outcome(active_generation(volume, plan.project.name), records, built or fetched)


def download(
    volume: Volume, project: Project, *, force: bool
) -> tuple[tuple[ModelRecord, ...], bool]:
    """Bring models and samples up to date, and let the manifest tell of them.

    Returns
    -------
    What the manifest tells, and whether anything changed.

    Raises
    ------
    DependencyError
        The project has no packages on the volume, which the exports are judged with.
    ModelError
        No source gives a model's files, or they are not the ones they should be.
    """
    folder = volume.generations / active_generation(volume, project.name).id
    records, fetched = models.provision(
        volume, project.models, recorded_models(volume), folder, force=force
    )
    copied = [_copy_sample(volume, sample) for sample in project.settings.samples]
    text = dump(Manifest(project.name, volume.python, project.settings.defaults, records))
    path = volume.manifest(project.name)
    rewritten = not path.is_file() or path.read_bytes() != text.encode()
    if rewritten:
        # The switch: from here on the worker finds the new models.
        stage("manifest")
        write_text(path, text)
    stage("publish")
    models.publish(volume, records)
    return records, fetched or rewritten or any(copied)


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


def _copy_sample(volume: Volume, sample: str) -> bool:
    source, target = ROOT / sample, volume.root / "samples" / sample.rpartition("/")[2]
    if target.is_file() and sha256_of(target) == sha256_of(source):
        return False
    copy_file(source, target)
    return True
