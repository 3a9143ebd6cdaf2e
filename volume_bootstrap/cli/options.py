"""What the commands share: their options, the volume they work on, the projects they mean."""

import os
from pathlib import Path
from typing import Annotated

import typer

from volume_bootstrap.console import set_up_logging
from volume_bootstrap.errors import ProvisionError
from volume_bootstrap.layout import MOUNTS, Volume, running_python
from volume_bootstrap.maintenance import project_names
from volume_bootstrap.project import Project, known_projects, read_project

Projects = Annotated[
    list[str], typer.Option("--project", "-p", help="Folder under projects/; repeatable.")
]
AnyProjects = Annotated[
    list[str] | None,
    typer.Option("--project", "-p", help="Repeatable. Default: all on the volume."),
]
OneProject = Annotated[str, typer.Option("--project", "-p", help="Folder under projects/.")]
VolumeOption = Annotated[
    str | None,
    typer.Option(
        "--volume", help="The volume. Default: SPEECH_VOLUME, /runpod-volume, /workspace."
    ),
]
VariantOption = Annotated[
    str | None,
    typer.Option(
        "--variant",
        help="Such as cuda or cpu. Default: the one on the volume, else the project's first.",
    ),
]
Mirror = Annotated[
    str | None,
    typer.Option("--mirror", help="Address of a package index, in place of the default one."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done; do nothing.")]
Force = Annotated[bool, typer.Option("--force", help="Do it anew although nothing changed.")]
Quick = Annotated[
    bool, typer.Option("--quick", help="Compare sizes alone, of models their times as well.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Tell every step.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Tell only warnings and errors.")]


def begin(volume: str | None, *, verbose: bool, quiet: bool) -> Volume:
    """Set up logging and find the volume.

    Raises
    ------
    ProvisionError
        There is none.
    """
    set_up_logging(verbose=verbose, quiet=quiet)
    named = os.environ.get("MODELSCOPE_CACHE")
    # The worker looks for models there, too, when this variable is set.
    cache = Path(named).absolute() if named else None
    return Volume(_find_volume(volume), cache=cache)


def read_projects(names: list[str], variant: str | None = None) -> list[Project]:
    """Read projects, each once; all before anything is changed.

    Parameters
    ----------
    variant : what each of them must have, where it is named.

    Raises
    ------
    ProjectError
        One is wrong, or has no such variant.
    """
    projects = [read_project(name, running_python()) for name in dict.fromkeys(names)]
    for project in projects:
        project.choose_variant(variant)
    return projects


def chosen(volume: Volume, names: list[str] | None) -> list[str]:
    """Names given, or all that the volume holds.

    Raises
    ------
    ProvisionError
        The volume does not hold one of them.
    """
    held = project_names(volume)
    for name in names or []:
        if name not in held:
            raise ProvisionError(
                f"{volume.root} holds no project {name!r} for Python {volume.python}; it holds: "
                f"{', '.join(held) or 'none'}. Projects that it can be filled with: "
                f"{', '.join(known_projects())}."
            )
    return names or held


def _find_volume(given: str | None) -> Path:
    if given == "":
        raise ProvisionError("--volume is empty; give the folder that is the volume.")
    if named := given or os.environ.get("SPEECH_VOLUME"):
        volume = Path(named).absolute()
        if volume.exists() and not volume.is_dir():
            raise ProvisionError(f"{volume} is not a folder; give the folder that is the volume.")
        return volume
    for mount in MOUNTS:
        if mount.is_dir():
            return mount
    raise ProvisionError(
        "No volume: give --volume or set SPEECH_VOLUME; neither /runpod-volume nor /workspace "
        "exists here."
    )
