"""A volume filled from a bundle: no network, and otherwise by the same steps as `setup`."""

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from volume_bootstrap import files
from volume_bootstrap.bundle import preflight
from volume_bootstrap.bundle.archive import Bundle, extraction_folder
from volume_bootstrap.bundle.manifest import BundledSample, Content
from volume_bootstrap.bundle.preflight import Changes
from volume_bootstrap.errors import BundleError
from volume_bootstrap.layout import Generation, ModelRecord, Volume
from volume_bootstrap.lock import writing
from volume_bootstrap.models import provisioning, versions
from volume_bootstrap.models.gathering import partial_folder
from volume_bootstrap.models.recording import recorded_models
from volume_bootstrap.packages import generations
from volume_bootstrap.packages.building import build
from volume_bootstrap.packages.dependencies import Plan, inputs_of
from volume_bootstrap.packages.resolution import Resolution
from volume_bootstrap.packages.uv_tool import Wheels, offline_uv
from volume_bootstrap.project_files import ModelEntry
from volume_bootstrap.setup import Outcome, set_up
from volume_bootstrap.stages import stage

logger = logging.getLogger(__name__)


def apply(volume: Volume, bundle: Bundle, *, force: bool = False) -> Outcome:
    """Bring a volume to what a bundle holds; what is there and whole is left alone.

    Everything is looked at before anything is written. Packages and models are all in their places
    before the first of them serves.

    Parameters
    ----------
    force : build the packages anew, and hash every file of them, whatever is there.

    Raises
    ------
    BundleError
        Something stands against it; the message has all of it. Nothing was written.
    ProvisionError
        Packages do not install or import, a model was damaged meanwhile, or the volume is full; it
        serves what it served before.
    """
    stage("preflight")
    logger.info("%s: looking at everything before anything is written", bundle.path.name)
    if found := preflight.problems(volume, bundle, force=force):
        reasons = "".join(f"\n  {problem}" for problem in found)
        raise BundleError(
            f"{bundle.path} cannot be applied to {volume.root}; nothing was written:{reasons}"
        )
    with writing(volume), provisioning.telling_no_room("the bundle", volume.root):
        # Another may have written while this one waited.
        changes = preflight.changes_of(volume, bundle, force=force)
        with provisioning.telling_no_room("the models", volume.models):
            for entry, record in changes.missing:
                _place(volume, bundle, entry, record)
        copied = [_copy_sample(volume, bundle, sample) for sample in bundle.manifest.samples]
        generation = changes.generation or _build(volume, bundle, changes, force=force)
        _refuse_to_fetch(volume, bundle)
        outcome = set_up(volume, _plan(bundle, generation, None), force=False)
        files.remove(extraction_folder(volume))
    return replace(outcome, changed=outcome.changed or bool(changes.missing) or any(copied))


def _place(volume: Volume, bundle: Bundle, entry: ModelEntry, record: ModelRecord) -> None:
    """Unpack a version of a model and give its folder its name; no manifest tells of it yet."""
    stage("extract-models")
    logger.info("%s: unpacking", entry.alias)
    folder = partial_folder(volume, entry, force=False)
    for file in record.files:
        bundle.extract(Content(sha256=file.sha256, size=file.size), folder / file.path)
    versions.complete(volume, folder, record, {file.path: file.sha256 for file in record.files})


def _refuse_to_fetch(volume: Volume, bundle: Bundle) -> None:
    """Refuse to go on where `set_up` would ask the network for a model.

    Raises
    ------
    BundleError
        A model is not whole, though it was placed.
    """
    plans = provisioning.plan(volume, bundle.manifest.models, recorded_models(volume))
    if reasons := [f"{p.entry.alias}: {p.reason}" for p in plans if p.action != "keep"]:
        raise BundleError(
            f"{volume.root} does not hold the models of {bundle.path} after they were unpacked "
            f"({'; '.join(reasons)}); the volume serves what it served. Run the same again; if it "
            "stays so, create the bundle again."
        )


def _copy_sample(volume: Volume, bundle: Bundle, sample: BundledSample) -> bool:
    """Unpack a sample, unless it is there; whether it was not."""
    path = volume.root / "samples" / sample.name
    if path.is_file() and files.sha256_of(path) == sample.sha256:
        return False
    draft = extraction_folder(volume) / sample.name
    bundle.extract(sample, draft)
    files.move_file(draft, path)
    return True


def _build(volume: Volume, bundle: Bundle, changes: Changes, *, force: bool) -> Generation:
    """Build a generation of the bundle's wheels; which one is active does not change."""
    stage("extract-wheels")
    wheels = bundle.manifest.wheels
    logger.info("%s: unpacking %d wheels", bundle.manifest.project, len(wheels))
    folder = extraction_folder(volume)
    folder.mkdir(parents=True, exist_ok=True)
    # What a killed run left stays where it is: uv knows a wheel again by its place and its times.
    kept = {wheel.name for wheel in wheels}
    for path in folder.iterdir():
        if path.name not in kept:
            files.remove(path)
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda wheel: bundle.extract(wheel, folder / wheel.name), wheels))
    names: dict[str, dict[str, str]] = {}
    for wheel in wheels:
        names.setdefault(wheel.package, {})[wheel.name] = wheel.sha256
    uv = offline_uv(volume.uv_cache, Wheels(folder, names))
    active = generations.active(volume, bundle.manifest.project)
    plan = replace(_plan(bundle, active, changes.resolved), uv=uv)
    return build(volume, plan, force=force)


def _plan(bundle: Bundle, active: Generation | None, resolved: Resolution | None) -> Plan:
    manifest, project = bundle.manifest, bundle.manifest.described()
    inputs = inputs_of(project, manifest.variant)
    return Plan(project, manifest.variant, inputs, active, resolved, None)
