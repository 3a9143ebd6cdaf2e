"""A project's packages on the volume: resolve, build beside, verify, switch.

What the image holds (requirements.lock) constrains the resolution and is left
out of the generation: the volume comes first on ``sys.path`` and would shadow
it. Every change builds a new folder; a kill leaves the old one in use.
"""

import logging
import os
import secrets
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from volume_bootstrap import files, generations, resolution
from volume_bootstrap.bytecode import compile_folder
from volume_bootstrap.errors import DependencyError, ToolError
from volume_bootstrap.integrity import distributions
from volume_bootstrap.layout import Generation, Volume, dump
from volume_bootstrap.project import ROOT, Project
from volume_bootstrap.repair import repair_modelscope
from volume_bootstrap.resolution import Package, Resolution
from volume_bootstrap.runner import QUIET_ENVIRONMENT, run
from volume_bootstrap.stages import stage
from volume_bootstrap.uv_tool import Uv, find_uv

logger = logging.getLogger(__name__)

IMAGE_LOCK = ROOT / "requirements.lock"
LOCK = "pylock.toml"
NO_INDEX = "https://lock.invalid/simple"
RECIPE = 2
"""Raised when the same inputs should build another folder."""


@dataclass(frozen=True, slots=True)
class Change:
    """One package that a plan adds (no `before`), changes, or removes (no `after`)."""

    name: str
    before: str | None
    after: str | None

    @property
    def sign(self) -> str:
        """``+``, ``~`` or ``-``."""
        return "+" if self.before is None else "-" if self.after is None else "~"


@dataclass(frozen=True, slots=True)
class Plan:
    """What an install would do; `resolved` is none where the active generation is up to date."""

    project: Project
    variant: str | None
    inputs: str
    active: Generation | None
    resolved: tuple[Uv, Resolution] | None

    @property
    def changes(self) -> list[Change]:
        if self.resolved is None:
            return []
        _, resolution = self.resolved
        return changes(self.active.packages if self.active else {}, resolution.versions)


def changes(before: Mapping[str, str], after: Mapping[str, str]) -> list[Change]:
    """What differs between two sets of versions, by name."""
    names = sorted({*before, *after})
    pairs = [Change(name, before.get(name), after.get(name)) for name in names]
    return [change for change in pairs if change.before != change.after]


def plan(
    volume: Volume,
    project: Project,
    *,
    variant: str | None = None,
    mirror: str | None = None,
    force: bool = False,
    image_lock: Path = IMAGE_LOCK,
) -> Plan:
    """Say what an install would add, change and remove; nothing on the volume changes.

    Parameters
    ----------
    variant : by default that of the active generation, else the project's first.
    mirror : address of an index in place of the default one.
    force : resolve although nothing has changed, and ask the indexes for everything.
    image_lock : what the image holds: a requirements file of exact pins.

    Raises
    ------
    DependencyError
        The packages do not resolve.
    ProjectError
        The project has no such variant.
    """
    now = generations.active(volume, project.name) or generations.older_tool(volume, project.name)
    if variant is None and now and now.variant in project.dependencies.variants:
        variant = now.variant
    variant = project.choose_variant(variant)
    groups = project.groups(variant)
    inputs = files.digest_of(
        RECIPE,
        variant,
        # With the addresses as they stand there: which mirror a variable names is no change.
        [group.model_dump() for group in groups],
        project.dependencies.imports,
        image_lock.read_text(encoding="utf-8"),
        sysconfig.get_config_var("SOABI"),
    )
    if now and now.inputs == inputs and not force and not missing_packages(volume, now):
        return Plan(project, variant, inputs, now, None)
    stage("resolve")
    logger.info("%s: resolving", project.name)
    try:
        uv = find_uv(_cache(volume), mirror)
        resolved = resolution.resolve_groups(uv, groups, image_lock, refresh=force)
    except ToolError as error:
        raise DependencyError(
            f"The packages of project {project.name} do not resolve. {error}"
        ) from error
    return Plan(project, variant, inputs, now, (uv, resolved))


def install(volume: Volume, plan: Plan, *, force: bool = False) -> bool:
    """Carry out a plan: build another generation, and switch to it once it has proved itself.

    Parameters
    ----------
    force : build although a generation of the same inputs lies there.

    Returns
    -------
    Whether the active generation is another one now.

    Raises
    ------
    DependencyError
        The packages do not install or import; the volume serves as before.
    """
    if plan.resolved is None:
        return False
    project = plan.project
    generations.adopt(volume, project.name)
    if not force:
        for generation in generations.of_project(volume, project.name):
            if generation.inputs == plan.inputs and not missing_packages(volume, generation):
                generations.switch(volume, generation)
                return True
    uv, resolved = plan.resolved[0].with_cache(volume.uv_cache), plan.resolved[1]
    packages = resolved.versions
    generation = Generation(
        id=f"{files.digest_of(packages)[:12]}-{generations.next_number(volume)}",
        project=project.name,
        variant=plan.variant,
        python=volume.python,
        abi=str(sysconfig.get_config_var("SOABI")),
        inputs=plan.inputs,
        packages=packages,
        image_packages=resolution.versions_of(resolved.image),
        imports=tuple(project.dependencies.imports),
        built=generations.now(),
        num_files=0,
        num_bytes=0,
    )
    try:
        steps = resolution.install_steps(resolved.packages, project.groups(plan.variant))
        _build(volume, generation, uv, steps, resolved)
    except ToolError as error:
        raise DependencyError(
            f"The packages of project {project.name} failed. {error} "
            "The volume serves what it served before."
        ) from error
    generations.switch(volume, generation)
    return True


def missing_packages(volume: Volume, generation: Generation) -> list[str]:
    """Names of a generation's packages that are not in its folder."""
    found = distributions(volume.generations / generation.id)
    return [name for name in generation.packages if name not in found]


def check(volume: Volume, generation: Generation, *, mirror: str | None = None) -> None:
    """Import a generation's list anew.

    Raises
    ------
    DependencyError
        An import fails, or the generation's lock cannot be read.
    """
    folder = volume.generations / generation.id
    try:
        image = [
            p for p in resolution.read_lock(folder / LOCK) if p["name"] in generation.image_packages
        ]
        _check_imports(generation, folder, image, find_uv(_cache(volume), mirror), None)
    except (ToolError, OSError, ValueError) as error:
        raise DependencyError(
            f"Generation {generation.id} of project {generation.project} fails its check. {error} "
            f"Build it anew with: python -m volume_bootstrap deps install --force "
            f"--project {generation.project} --volume {volume.root}"
        ) from error


def _check_imports(
    generation: Generation, folder: Path, image: Iterable[Package], uv: Uv, scratch: Path | None
) -> None:
    """Import the generation's list in a clean process, with it and the image's packages alone.

    Parameters
    ----------
    image : what the generation counts on from the image, of its lock.
    scratch : where to put them for a moment; on the volume they are links.

    Raises
    ------
    ToolError
        An import fails.
    """
    with tempfile.TemporaryDirectory(".partial", "image-", scratch) as beside:
        _install(uv, Path(beside), tuple(image))
        # Without site-packages: what happens to lie beside the provisioner is no help to a worker.
        program = f"import sys; sys.path[:0] = {[str(folder), beside]!r}\n" + "\n".join(
            f"import {name}" for name in generation.imports
        )
        run([sys.executable, "-I", "-S", "-c", program], QUIET_ENVIRONMENT)


def resolve(uv: Uv, requirements: str, *options: str) -> dict[str, str]:
    """Resolve requirements to exact versions, by normalised name."""
    return resolution.versions_of(resolution.compile_lock(uv, requirements, *options))


def _build(
    volume: Volume,
    generation: Generation,
    uv: Uv,
    steps: Sequence[tuple[Package, ...]],
    resolved: Resolution,
) -> None:
    """Build the folder beside its name, check it, and only then give it the name."""
    # A uv that outlived a killed provisioner may still write to its folder: that goes as far as
    # it can, and the new one has a name that nobody else writes to.
    for leftover in generations.leftovers(volume):
        shutil.rmtree(leftover, ignore_errors=True)
    partial = volume.generations / f"{generation.id}.{secrets.token_hex(4)}.partial"
    partial.mkdir(parents=True)
    try:
        stage("install")
        logger.info("%s: installing %d packages", generation.project, len(generation.packages))
        for step in steps:
            _install(uv, partial, step)
        repair_modelscope(partial)
        stage("compile")
        compile_folder(partial, _like(volume, generation))
        stage("import-check")
        _check_imports(generation, partial, resolved.image, uv, volume.generations)
        stage("record")
        lock = resolution.dump_lock([*resolved.packages, *resolved.image])
        files.write_text(partial / LOCK, lock)
        files.write_text(partial / "generation.json", dump(_measured(generation, partial)))
        files.flush(partial)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    partial.replace(volume.generations / generation.id)


def _install(uv: Uv, folder: Path, packages: tuple[Package, ...]) -> None:
    """Lay packages into a folder, from the files of their lock and no others."""
    if not packages:
        return
    # uv's cache knows a file again by the index that it came from. Locks leave the index out, so
    # all files get the same one, which is never asked: each file has its address and its SHA-256.
    entries = [{"index": NO_INDEX, **package} for package in packages]
    with tempfile.TemporaryDirectory(prefix="speech-lock-") as scratch:
        lock = Path(scratch, LOCK)
        lock.write_text(resolution.dump_lock(entries), encoding="utf-8")
        uv(
            "install", "-r", str(lock), "--target", str(folder), "--link-mode", "hardlink",
            "--preview-features", "pylock",
            settings={"index": [{"name": "lock", "url": NO_INDEX, "explicit": True}]},
        )  # fmt: skip


def _like(volume: Volume, generation: Generation) -> Path | None:
    """Folder of the generation that most likely holds the same files."""
    now = generations.active(volume, generation.project)
    return None if now is None else volume.generations / now.id


def _measured(generation: Generation, folder: Path) -> Generation:
    sizes = [
        Path(parent, name).lstat().st_size for parent, _, names in os.walk(folder) for name in names
    ]
    return replace(generation, num_files=len(sizes), num_bytes=sum(sizes))


def _cache(volume: Volume) -> Path | None:
    """uv's cache on the volume; the user's own for a mere look at one that cannot be written to."""
    return volume.uv_cache if os.access(volume.root, os.W_OK) else None
