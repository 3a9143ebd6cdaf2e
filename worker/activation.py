"""The volume's dependencies first on ``sys.path``. Standard library only.

Runs before anything heavy is imported. The folder is named by its real path,
so that a worker keeps its generation when the volume switches to another.
"""

import importlib.metadata
import os
import sys
import sysconfig
from pathlib import Path

from volume_bootstrap import import_bundle
from volume_bootstrap.layout import (
    Generation,
    LayoutError,
    Volume,
    read_generation,
    running_python,
)
from worker.errors import StartupError


def choose_project(volume: Volume, wanted: str | None) -> str:
    """Name of the one project that this worker serves.

    Raises
    ------
    StartupError
        The volume does not hold the project, or there is more than one to choose from.
    """
    found = volume.projects()
    if wanted is None and len(found) == 1:
        return found[0]
    if wanted in found:
        return wanted
    held = ", ".join(found) or "none"
    if wanted is None and found:
        raise StartupError(
            f"Set SPEECH_PROJECT to one of the projects on the volume {volume.root}: {held}."
        )
    raise StartupError(
        f"Fill the volume with: python -m volume_bootstrap setup --project {wanted or 'NAME'} "
        f"--volume {volume.root}. It holds no project {wanted or ''} for Python {volume.python}; "
        f"it holds: {held}."
    )


def activate(volume: Volume, project: str) -> Generation:
    """Prepend the project's active generation to ``sys.path``.

    Raises
    ------
    StartupError
        There is no generation, or it was built for another Python or another image.
    """
    folder = volume.pointer(project).resolve()
    # The platform is told the first 256 characters, so messages say first what to do.
    setup = f"run: python -m volume_bootstrap setup --project {project} --volume {volume.root}"
    try:
        generation = read_generation(folder / "generation.json")
    except LayoutError as error:
        raise StartupError(
            f"To mend the volume, {setup}. It has no usable dependencies: {error}"
        ) from error
    abi = sysconfig.get_config_var("SOABI")
    if (generation.python, generation.abi) != (running_python(), abi):
        raise StartupError(
            f"With this Python, {running_python()} ({abi}), {setup}. The dependencies in {folder} "
            f"are built for Python {generation.python} ({generation.abi})."
        )
    for name, resolved in generation.image_packages.items():
        installed = _installed_version(name)
        if installed != resolved:
            raise StartupError(
                f"With the requirements of this image, {setup}. The dependencies in {folder} need "
                f"{name} {resolved} from the image, which has {installed or 'none'}."
            )
    prepend(folder)
    import_bundle.install(folder, generation.id)
    # ONNX Runtime calls home and keeps a database, unless it is told not to before its import.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    return generation


def activated(volume: Volume) -> str | None:
    """Id of the generation that this process imports from; the volume may have switched since."""
    generations = volume.generations.resolve()
    return next((Path(p).name for p in sys.path if Path(p).parent == generations), None)


def prepend(folder: Path) -> None:
    """Put `folder` first on ``sys.path``, once."""
    path = str(folder)
    if path not in sys.path:
        sys.path.insert(0, path)


def _installed_version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
