"""What a bundle would change on a volume, and all that stands against it; nothing is written."""

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.tags import sys_tags
from packaging.utils import parse_wheel_filename

from volume_bootstrap.bundle.archive import Bundle, extraction_folder
from volume_bootstrap.bundle.manifest import LOCKED_KEYS, BundledWheel, Content, contents_of
from volume_bootstrap.console import size
from volume_bootstrap.errors import BundleError, ToolError
from volume_bootstrap.layout import Generation, ModelRecord, Volume, running_python
from volume_bootstrap.models import provisioning
from volume_bootstrap.models.gathering import partial_folder
from volume_bootstrap.models.plans import fits
from volume_bootstrap.models.recording import recorded_models
from volume_bootstrap.packages import generations
from volume_bootstrap.packages.dependencies import IMAGE_LOCK, inputs_of
from volume_bootstrap.packages.integrity import missing_packages
from volume_bootstrap.packages.resolution import Resolution, image_versions, parse_lock
from volume_bootstrap.packages.uv_tool import find_program
from volume_bootstrap.project_files import ModelEntry

SPARE_BYTES = 32_000_000
"""Room for what is not counted: folders, records, the bytecode of the imports in one file."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What applying a bundle comes to on a volume as it is.

    `generation` is the active one if it is what the bundle brings; else packages are built.
    """

    resolved: Resolution
    generation: Generation | None
    missing: tuple[tuple[ModelEntry, ModelRecord], ...]


def changes_of(volume: Volume, bundle: Bundle, *, force: bool) -> Changes:
    """Find what a volume lacks of a bundle.

    Raises
    ------
    BundleError
        The lock in the bundle is none.
    """
    manifest, project = bundle.manifest, bundle.manifest.described()
    resolved = _resolution(bundle)
    now = generations.active(volume, project.name)
    wanted = inputs_of(project, manifest.variant), resolved.versions
    is_there = now is not None and (now.inputs, now.packages) == wanted
    if force or now is None or not is_there or missing_packages(volume, now):
        now = None
    plans = provisioning.plan(volume, project.models, recorded_models(volume))
    lacking = [
        (plan.entry, record)
        for plan, record in zip(plans, manifest.records, strict=True)
        if plan.action != "keep"
    ]
    return Changes(resolved, now, tuple(lacking))


def problems(volume: Volume, bundle: Bundle, *, force: bool) -> list[str]:
    """Say all that stands against applying a bundle, each with what mends it."""
    found = [*_unfit(bundle), *_unwritable(volume)]
    changes = changes_of(volume, bundle, force=force)
    if changes.generation is None:
        try:
            find_program()
        except ToolError as error:
            found.append(str(error))
    found += _no_room(volume, bundle, changes)
    needed = list(_needed(bundle, changes))
    if damaged := bundle.damaged(needed):
        names = ", ".join(bundle.manifest.names()[content.sha256] for content in damaged)
        found.append(f"it is damaged: {names}. Copy or create it again.")
    return found


def _resolution(bundle: Bundle) -> Resolution:
    """Packages of the bundle, and what they need of the image's."""
    manifest = bundle.manifest
    try:
        locked = parse_lock(manifest.lock)
        names = {str(package["name"]): package for package in locked}
    except (ValueError, KeyError, TypeError) as error:
        raise BundleError(f"{bundle.path} holds a lock that cannot be read: {error}.") from error
    for name, package in names.items():
        if name != package["name"] or not package.keys() <= LOCKED_KEYS or len(names) < len(locked):
            raise BundleError(
                f"{bundle.path} holds a lock that is none: its entry {name} is there twice or not "
                f"of wheels. It may have {', '.join(sorted(LOCKED_KEYS))}."
            )
    bundled = {wheel.package for wheel in manifest.wheels}
    if bundled != names.keys() or not manifest.image.keys() <= names.keys():
        odd = ", ".join(sorted(bundled ^ names.keys()) or sorted(manifest.image))
        raise BundleError(f"{bundle.path} has not the packages that its lock lists: {odd}.")
    return Resolution(
        tuple(p for p in locked if p["name"] not in manifest.image),
        tuple(p for p in locked if p["name"] in manifest.image),
    )


def _unfit(bundle: Bundle) -> Iterator[str]:
    """Say why no worker of this machine and image could start on it."""
    manifest, python = bundle.manifest, running_python()
    if manifest.python != python or python not in manifest.settings.python:
        yield (
            f"it is for Python {manifest.python}, this is {python}. Run this with that Python, or "
            f"create it with --python {python}."
        )
    else:
        yield from _wrong_wheels(manifest.wheels, manifest.platform)
    image = image_versions(IMAGE_LOCK)
    for name, version in manifest.image.items():
        if image.get(name) != version:
            yield (
                f"it counts on {name} {version} of the image, {IMAGE_LOCK.name} here has "
                f"{image.get(name) or 'none'}. Create it with this release of the tool."
            )
    for package in _resolution(bundle).packages:
        if package["name"] in image:
            yield (
                f"it brings {package['name']}, which the image has. Create it with this release "
                "of the tool."
            )
    for entry, record in zip(manifest.models, manifest.records, strict=True):
        if not fits(record, entry):
            yield (
                f"its model {entry.alias} was exported otherwise than this release of the tool "
                "does it. Create it with this release."
            )


def _wrong_wheels(wheels: Sequence[BundledWheel], platform: str) -> Iterator[str]:
    """Name packages that no wheel in the bundle is for this platform of."""
    here = set(sys_tags())
    by_package: dict[str, list[str]] = {}
    for wheel in wheels:
        by_package.setdefault(wheel.package, []).append(wheel.name)
    wrong = {
        package: names
        for package, names in by_package.items()
        if not any(parse_wheel_filename(name)[3] & here for name in names)
    }
    if wrong:
        names = ", ".join(name for names in wrong.values() for name in names)
        yield (
            f"it is for {platform}, and these wheels do not run on this machine "
            f"({next(iter(sys_tags()))}): {names}. Create it with --platform for this one."
        )


def _unwritable(volume: Volume) -> Iterator[str]:
    """Name folders of the volume that this user may not write to."""
    places = [volume.root, volume.models, volume.metadata, volume.generations, volume.uv_cache]
    for folder in dict.fromkeys(_existing(place) for place in places):
        if not folder.is_dir():
            yield f"{folder} is no folder; name the folder that is the volume."
        elif not os.access(folder, os.W_OK | os.X_OK):
            why = "read-only" if _is_read_only(folder) else f"not this user's ({os.getuid()})"
            yield f"{folder} cannot be written to: it is {why}. Mount it so that this user may."


def _no_room(volume: Volume, bundle: Bundle, changes: Changes) -> Iterator[str]:
    """Say where more room is needed than there is; MODELSCOPE_CACHE may be another disk."""
    needs: dict[int, tuple[Path, int]] = {}
    for place, needed in (
        (volume.root, _bytes_of_packages(volume, bundle, changes)),
        (volume.models, _bytes_of_models(volume, changes)),
        (volume.root, SPARE_BYTES if changes.missing or changes.generation is None else 0),
    ):
        folder = _existing(place)
        device = folder.stat().st_dev
        needs[device] = folder, needed + needs.get(device, (folder, 0))[1]
    for folder, needed in needs.values():
        free = shutil.disk_usage(folder).free
        if free < needed:
            yield (
                f"{folder} has {size(free)} free, {size(needed)} are needed. Free "
                f"{size(needed - free)} more, or enlarge the volume."
            )


def _bytes_of_packages(volume: Volume, bundle: Bundle, changes: Changes) -> int:
    """Wheels, and what they unpack to once: a generation is hard links into uv's cache."""
    if changes.generation is not None:
        return 0
    folder = extraction_folder(volume)
    return sum(
        wheel.laid_bytes + (0 if _has(folder / wheel.name, wheel.size) else wheel.size)
        for wheel in bundle.manifest.wheels
    )


def _bytes_of_models(volume: Volume, changes: Changes) -> int:
    return sum(
        0 if _has(partial_folder(volume, entry, force=False) / file.path, file.size) else file.size
        for entry, record in changes.missing
        for file in record.files
    )


def _needed(bundle: Bundle, changes: Changes) -> Iterator[Content]:
    """Go through the contents that will be taken out of the bundle."""
    if changes.generation is None:
        yield from bundle.manifest.wheels
    for _, record in changes.missing:
        yield from contents_of(record)
    yield from bundle.manifest.samples


def _existing(path: Path) -> Path:
    """The path, or the nearest above it that exists."""
    return next(each for each in (path, *path.parents) if each.exists())


def _is_read_only(folder: Path) -> bool:
    return bool(os.statvfs(folder).f_flag & os.ST_RDONLY)


def _has(path: Path, num_bytes: int) -> bool:
    return path.is_file() and path.stat().st_size == num_bytes
