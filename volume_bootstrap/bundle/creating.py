"""A bundle made of a project on a volume: its models as they are, its packages from the index."""

import logging
import shutil
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from pydantic import ValidationError

from volume_bootstrap import console, files
from volume_bootstrap.bundle import archive, wheels
from volume_bootstrap.bundle.manifest import BundledSample, BundleManifest
from volume_bootstrap.bundle.wheels import Target
from volume_bootstrap.errors import BundleError, DependencyError, ModelError
from volume_bootstrap.layout import Generation, ModelFile, ModelRecord, Volume
from volume_bootstrap.models.plans import look
from volume_bootstrap.models.recording import recorded_models
from volume_bootstrap.packages import generations, resolution
from volume_bootstrap.packages.dependencies import inputs_of
from volume_bootstrap.project import ROOT, Project, mistakes
from volume_bootstrap.stages import stage

logger = logging.getLogger(__name__)


def create(volume: Volume, project: Project, target: Target, path: Path) -> BundleManifest:
    """Pack a project that is on the volume into one file; the volume is only read.

    What was fetched stays beside it, in ``<path>.parts``, until the file is whole.

    Raises
    ------
    BundleError
        It cannot be made for that target, a file of a model is damaged, or another run makes it.
    DependencyError
        The project's packages are not on the volume as they are to be, or do not resolve for the
        target.
    ModelError
        A model of the project is not on the volume.
    """
    if path.is_dir():
        raise BundleError(f"{path} is a folder; name the file that is to be made.")
    generation = generations.required(volume, project.name)
    if generation.inputs != inputs_of(project, generation.variant):
        raise DependencyError(
            f"The packages of project {project.name} on {volume.root} are not what it asks for "
            "now. Bring them up to date with: python -m volume_bootstrap setup --project "
            f"{project.name} --volume {volume.root}"
        )
    records = _records(volume, project)
    # Before anything is fetched: it may refuse what the project names.
    described = _described(project, generation, target, records)
    resolved, access = wheels.resolve(volume, project, generation, target)
    parts = path.with_name(f"{path.name}.parts")
    with files.held(parts) as is_ours:
        if not is_ours:
            raise BundleError(f"Another run makes {path}. Run this again when it has ended.")
        gathered = wheels.gather(resolved, access, target, parts)
        packages = {
            "lock": resolution.record(resolved),
            "image": resolution.versions_of(resolved.image),
            "wheels": [wheel for wheel, _ in gathered],
        }
        manifest = BundleManifest.model_validate({**dict(described), **packages})
        sources = {wheel.sha256: place for wheel, place in gathered}
        for record in records:
            folder = volume.models / record.folder
            sources |= {file.sha256: folder / file.path for file in record.files}
        samples = [ROOT / sample for sample in project.settings.samples]
        sources |= {files.sha256_of(sample): sample for sample in samples}
        _write(manifest, sources, path)
        files.remove(parts)
    return manifest


def _described(
    project: Project, generation: Generation, target: Target, records: list[ModelRecord]
) -> BundleManifest:
    """The manifest without packages.

    Raises
    ------
    BundleError
        The project names something that a bundle does not hold.
    """
    try:
        return BundleManifest(
            project=project.name,
            settings=project.settings.model_copy(update={"samples": []}),
            dependencies=project.dependencies,
            models=list(project.models),
            variant=generation.variant,
            python=target.python,
            platform=target.platform_name,
            lock="",
            image={},
            wheels=[],
            records=[_placeless(record) for record in records],
            samples=[_sample(ROOT / sample) for sample in project.settings.samples],
        )
    except ValidationError as error:
        raise BundleError(
            f"Project {project.name} cannot be packed: {mistakes(error)}. Rename that in the "
            "project, and run `setup` and this again."
        ) from error


def _records(volume: Volume, project: Project) -> list[ModelRecord]:
    """Records of the project's models, all of which are on the volume."""
    stage("verify")
    recorded = recorded_models(volume)
    findings = [look(volume, entry, recorded, force=False) for entry in project.models]
    missing = [finding.plan for finding in findings if finding.plan.action != "keep"]
    if missing:
        reasons = "".join(f"\n  {plan.entry.alias}: {plan.reason}" for plan in missing)
        raise ModelError(
            f"{volume.root} does not hold the models of project {project.name} as they are to be:"
            f"{reasons}\nBring them up to date with: python -m volume_bootstrap setup --project "
            f"{project.name} --volume {volume.root}"
        )
    return [finding.record for finding in findings if finding.record is not None]


def _placeless(record: ModelRecord) -> ModelRecord:
    """Return a record without the place and the times that it has on this volume."""
    described = tuple(ModelFile(file.path, file.size, file.sha256, 0) for file in record.files)
    return replace(record, folder="", files=described)


def _sample(path: Path) -> BundledSample:
    return BundledSample(name=path.name, sha256=files.sha256_of(path), size=path.stat().st_size)


def _write(manifest: BundleManifest, sources: dict[str, Path], path: Path) -> None:
    """Write a bundle beside its name, flush it to the disk, then give it the name."""
    stage("pack")
    described = archive.dump(manifest)
    members = archive.members_of(manifest, len(described))
    logger.info("writing %s", path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    room = shutil.disk_usage(path.parent).free + (partial.stat().st_size if partial.exists() else 0)
    needed = members[archive.DIGEST].end + len(archive.END)
    if room < needed:
        raise BundleError(
            f"{path.parent} has room for {console.size(room)}, {path.name} takes "
            f"{console.size(needed)}. Free some and run the same again: what was fetched stays."
        )
    with partial.open("wb") as file:
        for key, member in members.items():
            file.write(archive.header(member.name, member.size))
            if key == archive.MANIFEST:
                file.write(described)
            elif key == archive.DIGEST:
                file.write(archive.digest_text(described))
            else:
                _copy(sources[key], key, member.size, file)
            file.write(bytes(archive.padding(member.size)))
        file.write(archive.END)
    stage("record")
    files.move_file(partial, path)


def _copy(source: Path, sha256: str, size: int, file: BinaryIO) -> None:
    """Copy a file into the bundle, if it is what its record says."""
    with source.open("rb") as content:
        digest = files.copy_hashed(content, file.write)
        if content.tell() != size or digest != sha256:
            raise BundleError(
                f"{source} is damaged: it has {content.tell()} bytes and SHA-256 "
                f"{digest}, not {size} and {sha256}. Mend it with `setup`."
            )
