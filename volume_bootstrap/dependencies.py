"""A project's packages on the volume: resolve, build beside, verify, switch.

What the image holds (requirements.lock) constrains the resolution and is left
out of the generation: the volume comes first on ``sys.path`` and would shadow
it. Every change builds a new folder; a kill leaves the old one in use.
"""

import logging
import re
import secrets
import shutil
import sys
import sysconfig
from pathlib import Path

from volume_bootstrap import files
from volume_bootstrap.errors import DependencyError, ToolError
from volume_bootstrap.layout import Generation, LayoutError, Volume, dump, read_generation
from volume_bootstrap.project import ROOT, Project
from volume_bootstrap.runner import QUIET_ENVIRONMENT, run
from volume_bootstrap.uv_tool import Uv, find_uv

logger = logging.getLogger(__name__)

IMAGE_LOCK = ROOT / "requirements.lock"
RECIPE = 1
"""Raised when the same inputs should build another folder."""


def install(volume: Volume, project: Project, image_lock: Path = IMAGE_LOCK) -> bool:
    """Bring the project's active generation up to date.

    Returns
    -------
    Whether anything was built; not, where the active one has the same inputs.

    Raises
    ------
    DependencyError
        The packages do not resolve, install or import; the volume serves as before.
    """
    inputs = files.digest_of(
        RECIPE,
        project.dependencies.model_dump(),
        image_lock.read_text(encoding="utf-8"),
        sysconfig.get_config_var("SOABI"),
    )
    if _active_inputs(volume, project.name) == inputs:
        return False

    try:
        uv = find_uv(cache=volume.root / ".cache" / "uv")
        logger.info("resolving %d packages", len(project.dependencies.packages))
        image = resolve(uv, image_lock.read_text(encoding="utf-8"), "--no-deps")
        resolved = resolve(
            uv, "\n".join(project.dependencies.packages), "--constraints", str(image_lock)
        )
        packages = {name: v for name, v in resolved.items() if name not in image}
        built = volume.generations.glob("*-*[0-9]/generation.json")
        last = max((int(path.parent.name.rpartition("-")[2]) for path in built), default=0)
        generation = Generation(
            id=f"{files.digest_of(packages)[:12]}-{last + 1}",
            project=project.name,
            python=volume.python,
            abi=str(sysconfig.get_config_var("SOABI")),
            inputs=inputs,
            packages=packages,
            image_packages={name: v for name, v in resolved.items() if name in image},
            imports=tuple(project.dependencies.imports),
        )
        _build(volume, generation, uv)
    except ToolError as error:
        raise DependencyError(f"The packages of project {project.name} failed. {error}") from error
    files.point(volume.pointer(project.name), f".generations/{generation.id}")
    logger.info("generation %s is active", generation.id)
    return True


def resolve(uv: Uv, requirements: str, *options: str) -> dict[str, str]:
    """Resolve requirements to exact versions, by normalised name."""
    output = uv(
        "compile", "-", *options, "--no-header", "--no-annotate", "--quiet", text=requirements
    )
    pins = re.findall(r"^([A-Za-z0-9._-]+)==([^\s;]+)", output, re.MULTILINE)
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in pins}


def _active_inputs(volume: Volume, project: str) -> str | None:
    try:
        return read_generation(volume.pointer(project) / "generation.json").inputs
    except LayoutError:
        return None


def _build(volume: Volume, generation: Generation, uv: Uv) -> None:
    """Build the folder beside its name, check it, and only then give it the name."""
    # A uv that outlived a killed provisioner may still write to its folder: that goes as far as
    # it can, and the new one has a name that nobody else writes to.
    for leftover in volume.generations.glob("*.partial"):
        shutil.rmtree(leftover, ignore_errors=True)
    partial = volume.generations / f"{generation.id}.{secrets.token_hex(4)}.partial"
    partial.mkdir(parents=True)
    pins = "\n".join(f"{name}=={version}" for name, version in generation.packages.items())
    logger.info("installing %d packages", len(generation.packages))
    target = ("--target", str(partial), "--no-deps", "--compile-bytecode", "--quiet")
    uv("install", *target, "-r", "-", text=pins)
    _check_imports(partial, generation.imports)
    files.write_text(partial / "generation.json", dump(generation))
    partial.replace(volume.generations / generation.id)


def _check_imports(folder: Path, imports: tuple[str, ...]) -> None:
    """Import the project's list in a clean process, with this folder first on the path."""
    program = f"import sys; sys.path.insert(0, {str(folder)!r})\n" + "\n".join(
        f"import {name}" for name in imports
    )
    run([sys.executable, "-I", "-c", program], QUIET_ENVIRONMENT)
