"""Fill a volume for a project: packages, models, samples, and the manifest that tells of them."""

import logging
from dataclasses import dataclass

from volume_bootstrap import dependencies, models
from volume_bootstrap.files import copy_file, sha256_of, write_text
from volume_bootstrap.layout import (
    LayoutError,
    Manifest,
    ModelRecord,
    Volume,
    dump,
    read_generation,
    read_manifest,
)
from volume_bootstrap.project import ROOT, Project

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a set-up left on the volume, and whether it changed anything."""

    generation: str
    num_packages: int
    models: tuple[ModelRecord, ...]
    changed: bool


def set_up(volume: Volume, project: Project) -> Outcome:
    """Bring the volume up to date with the project; what is there and whole is left alone.

    Raises
    ------
    ProvisionError
        Packages or models could not be had; what the volume served before, it still serves.
    """
    built = dependencies.install(volume, project)
    generation = read_generation(volume.pointer(project.name) / "generation.json")
    records, fetched = models.provision(
        volume, project.models, _recorded(volume), volume.pointer(project.name).resolve()
    )
    copied = [_copy_sample(volume, sample) for sample in project.settings.samples]
    text = dump(Manifest(project.name, volume.python, project.settings.defaults, records))
    path = volume.manifest(project.name)
    rewritten = not path.is_file() or path.read_bytes() != text.encode()
    if rewritten:
        write_text(path, text)
    changed = built or fetched or rewritten or any(copied)
    return Outcome(generation.id, len(generation.packages), records, changed)


def _recorded(volume: Volume) -> list[ModelRecord]:
    """Models that any manifest on the volume tells of: they serve every project and Python."""
    records: list[ModelRecord] = []
    for path in sorted(volume.metadata.glob("*.json")):
        try:
            records.extend(read_manifest(path).models)
        except LayoutError as error:
            logger.warning("%s Its models are looked at anew.", error)
    return records


def _copy_sample(volume: Volume, sample: str) -> bool:
    source, target = ROOT / sample, volume.root / "samples" / sample.rpartition("/")[2]
    if target.is_file() and sha256_of(target) == sha256_of(source):
        return False
    copy_file(source, target)
    return True
