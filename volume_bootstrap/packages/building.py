"""A generation is built beside the one in use, proved, and only then given its name.

What the image holds (requirements.lock) is left out of it: the volume comes
first on ``sys.path`` and would shadow it.
"""

import logging
import os
import secrets
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from volume_bootstrap import files, import_bundle
from volume_bootstrap.errors import DependencyError, ToolError
from volume_bootstrap.layout import Generation, Volume, dump
from volume_bootstrap.packages import generations, resolution
from volume_bootstrap.packages.bytecode import add_digest, compile_folder
from volume_bootstrap.packages.dependencies import Plan, uv_cache_of
from volume_bootstrap.packages.integrity import damaged_packages, missing_packages
from volume_bootstrap.packages.repair import repair_modelscope
from volume_bootstrap.packages.resolution import Package, Resolution
from volume_bootstrap.packages.uv_tool import Uv, find_uv
from volume_bootstrap.processes import now
from volume_bootstrap.project_files import Group
from volume_bootstrap.runner import QUIET_ENVIRONMENT, run
from volume_bootstrap.stages import stage

logger = logging.getLogger(__name__)

LOCK = "pylock.toml"
NO_INDEX = "https://lock.invalid/simple"


def build(volume: Volume, plan: Plan, *, force: bool = False) -> Generation:
    """Build what a plan asks for; which generation is active does not change.

    Parameters
    ----------
    force : build, and hash every file, although a generation of the same inputs lies there.

    Returns
    -------
    The generation to switch to: a new one, an older one of the same inputs, or the active one.

    Raises
    ------
    DependencyError
        The packages do not install, import, or come out as their records say.
    """
    # Before anything else, since a run that has nothing to build would leave them for good.
    # A uv that outlived a killed provisioner may still write to its folder: that goes as far as
    # it can, and a new one has a name that nobody else writes to.
    for leftover in generations.leftovers(volume):
        shutil.rmtree(leftover, ignore_errors=True)
    if plan.resolved is None or plan.uv is None:
        if plan.active is None:
            raise ValueError("a plan without packages to install has an active generation")
        return plan.active
    uv, resolved = plan.uv.with_cache(volume.uv_cache), plan.resolved
    project = plan.project
    generations.adopt(volume, project.name)
    packages = resolved.versions
    if not force:
        for generation in generations.of_project(volume, project.name):
            # What is not pinned may have been resolved otherwise: another day, or in a bundle.
            is_it = (generation.inputs, generation.packages) == (plan.inputs, packages)
            if is_it and not missing_packages(volume, generation):
                return generation
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
        built=now(),
        num_files=0,
        num_bytes=0,
    )
    partial = volume.generations / f"{generation.id}.{secrets.token_hex(4)}.partial"
    try:
        groups = project.groups(plan.variant)
        _lay(uv, partial, groups, resolved)
        if force:
            _mend(uv, partial, groups, resolved, generation)
        return _prove(volume, generation, uv, partial, resolved, afresh=force)
    except ToolError as error:
        raise DependencyError(
            f"The packages of project {project.name} failed. {error}\n"
            "The volume serves what it served before."
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def check(volume: Volume, generation: Generation, *, mirror: str | None = None) -> None:
    """Import a generation's list anew.

    Raises
    ------
    DependencyError
        An import fails, or the generation's lock cannot be read.
    ToolError
        uv is missing, or cannot bring what the generation counts on from the image.
    """
    folder = volume.generations / generation.id
    try:
        locked = resolution.read_lock(folder / LOCK)
    except (OSError, ValueError, KeyError) as error:
        raise DependencyError(f"{folder / LOCK} cannot be read: {error}.") from error
    image = [package for package in locked if package["name"] in generation.image_packages]
    uv = find_uv(uv_cache_of(volume), mirror)
    with tempfile.TemporaryDirectory(prefix="speech-image-") as beside:
        _install(uv, Path(beside), image, ())
        try:
            _import(generation, folder, Path(beside))
        except ToolError as error:
            raise DependencyError(
                f"Generation {generation.id} of project {generation.project} fails its check. "
                f"{error}\nBuild it anew with: python -m volume_bootstrap deps install --force "
                f"--project {generation.project} --volume {volume.root}"
            ) from error


def _lay(uv: Uv, folder: Path, groups: Sequence[Group], resolved: Resolution) -> None:
    """Lay the packages into a new folder, in the order of their groups."""
    stage("install")
    logger.info("installing %d packages", len(resolved.packages))
    folder.mkdir(parents=True)
    for step in resolution.install_steps(resolved.packages, groups):
        _install(uv, folder, step, resolution.private_indexes(groups))


def _mend(
    uv: Uv, folder: Path, groups: Sequence[Group], resolved: Resolution, generation: Generation
) -> None:
    """Lay the packages anew where what came out of uv's cache is damaged.

    Files of a generation are links into it, so damage there comes back with each link.
    """
    if not (bad := damaged_packages(folder, generation, quick=False)):
        return
    names = sorted({damage.owner for damage in bad})
    logger.warning("uv's cache is damaged; fetching %s anew", ", ".join(names))
    uv.forget(names)
    shutil.rmtree(folder)
    _lay(uv, folder, groups, resolved)
    if bad := damaged_packages(folder, generation, quick=False):
        raise DependencyError(
            f"{bad[0].path.relative_to(folder)} is not what {bad[0].owner} says of its files: "
            f"{bad[0].problem}. Choose another version of it."
        )


def _prove(
    volume: Volume,
    generation: Generation,
    uv: Uv,
    partial: Path,
    resolved: Resolution,
    *,
    afresh: bool,
) -> Generation:
    """Compile what was laid, import it, record it, and give the folder its name."""
    repair_modelscope(partial, volume.models)
    stage("compile")
    now = generations.active(volume, generation.project)
    compile_folder(partial, None if afresh or now is None else volume.generations / now.id)
    stage("import-check")
    with (
        tempfile.TemporaryDirectory(".partial", "image-", volume.generations) as beside,
        ThreadPoolExecutor(1) as pool,
    ):
        # The disk takes what was written while the imports run.
        flushed = pool.submit(files.flush, partial)
        measured = pool.submit(_measured, generation, partial)
        _install(uv, Path(beside), resolved.image, ())
        imported = _import(generation, partial, Path(beside))
        flushed.result()
    stage("record")
    generation = measured.result()
    import_bundle.write(partial, generation.id, imported)
    add_digest(partial, import_bundle.NAME)
    files.write_text(partial / LOCK, resolution.record(resolved))
    files.write_text(partial / "generation.json", dump(generation))
    files.flush(partial)
    partial.replace(volume.generations / generation.id)
    return generation


def _install(
    uv: Uv, folder: Path, packages: Iterable[Package], private: Iterable[dict[str, object]]
) -> None:
    """Lay packages into a folder, from the files of their lock and no others."""
    # uv's cache knows a file again by the index that it came from. Locks leave the index out, so
    # all files get the same one, which is never asked: each file has its address and its SHA-256.
    entries = [
        {"index": NO_INDEX, **(uv.wheels.local(package) if uv.wheels else package)}
        for package in packages
    ]
    if not entries:
        return
    with tempfile.TemporaryDirectory(prefix="speech-lock-") as scratch:
        lock = Path(scratch, LOCK)
        lock.write_text(resolution.dump_lock(entries), encoding="utf-8")
        uv(
            "install", "-r", str(lock), "--target", str(folder), "--link-mode", "hardlink",
            "--preview-features", "pylock",
            settings={"index": [{"name": "lock", "url": NO_INDEX, "explicit": True}, *private]},
        )  # fmt: skip


def _import(generation: Generation, folder: Path, image: Path) -> str:
    """Import the generation's list in a clean process, with it and the image's packages alone.

    Without site-packages: what happens to lie beside the provisioner is no help to a worker.

    Returns
    -------
    What it printed, for `import_bundle.write`.
    """
    lines = [f"import sys; sys.path[:0] = {[str(folder), str(image)]!r}"]
    lines += [f"import {name}" for name in generation.imports]
    program = "\n".join([*lines, import_bundle.LIST_PROGRAM])
    return run([sys.executable, "-I", "-S", "-c", program], QUIET_ENVIRONMENT)


def _measured(generation: Generation, folder: Path) -> Generation:
    sizes = [
        Path(parent, name).lstat().st_size for parent, _, names in os.walk(folder) for name in names
    ]
    return replace(generation, num_files=len(sizes), num_bytes=sum(sizes))
