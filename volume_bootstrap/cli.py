"""``python -m volume_bootstrap``: stdout is data, stderr is progress."""

import logging
import os
import signal
import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.logging import RichHandler

from volume_bootstrap.errors import ProvisionError
from volume_bootstrap.layout import Volume, running_python
from volume_bootstrap.lock import writing
from volume_bootstrap.project import read_project
from volume_bootstrap.setup import Outcome, set_up

MOUNTS = (Path("/runpod-volume"), Path("/workspace"))

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def provisioner() -> None:
    """Fill a network volume with what the speech worker needs."""


@app.command()
def setup(
    project: Annotated[list[str], typer.Option(help="Folder under projects/; repeatable.")],
    volume: Annotated[
        Path | None,
        typer.Option(help="The volume. Default: SPEECH_VOLUME, /runpod-volume, /workspace."),
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Tell every step.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Tell only errors.")] = False,
) -> None:
    """Bring the volume up to date with one project or more; nothing is done twice."""
    _set_up_logging(verbose=verbose, quiet=quiet)
    target = Volume(_find_volume(volume), cache=_model_cache())
    # All are read before the first changes anything.
    described = [read_project(name, running_python()) for name in project]
    with writing(target):
        for each in described:
            started = time.perf_counter()
            outcome = set_up(target, each)
            _print(each.name, target, outcome, time.perf_counter() - started)


def main() -> None:
    """Run the command line; every error becomes a text and an exit code here."""
    # A pod is stopped with it: what was started ends with us, temporary folders go.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        app()
    except ProvisionError as error:
        sys.exit(_fail(str(error), 1))
    except OSError as error:
        sys.exit(_fail(f"{error.filename or 'A file'}: {error.strerror or error}", 1))
    except Exception as error:
        logging.getLogger(__name__).exception("unexpected")
        sys.exit(_fail(f"unexpected {type(error).__name__}: {error}. Please report it.", 2))


def _fail(message: str, code: int) -> int:
    Console(stderr=True, highlight=False, soft_wrap=True).print(f"error: {message}", markup=False)
    return code


def _find_volume(given: Path | None) -> Path:
    if given is None and (named := os.environ.get("SPEECH_VOLUME")):
        given = Path(named)
    if given is not None:
        if given.exists() and not given.is_dir():
            raise ProvisionError(f"{given} is not a folder; give the folder that is the volume.")
        return given.absolute()
    for mount in MOUNTS:
        if mount.is_dir():
            return mount
    raise ProvisionError(
        "No volume: give --volume or set SPEECH_VOLUME; neither /runpod-volume nor /workspace "
        "exists here."
    )


def _model_cache() -> Path | None:
    """Where the worker looks for models, too, when this variable is set."""
    named = os.environ.get("MODELSCOPE_CACHE")
    return Path(named).absolute() if named else None


def _print(project: str, volume: Volume, outcome: Outcome, seconds: float) -> None:
    done = f"set up in {seconds:.1f} s" if outcome.changed else "nothing to do"
    lines = [f"{project} on {volume.root}: {done}"]
    lines.append(f"  packages  {outcome.num_packages} in generation {outcome.generation}")
    for model in outcome.models:
        size = sum(file.size for file in model.files) / 1e6
        lines.append(
            f"  model     {model.alias}  {model.id}  {size:.1f} MB  "
            f"ONNX within {model.parity:.1e} of torch"
        )
    typer.echo("\n".join(lines))


def _set_up_logging(*, verbose: bool, quiet: bool) -> None:
    level = logging.DEBUG if verbose else logging.ERROR if quiet else logging.INFO
    handler = RichHandler(
        console=Console(stderr=True), show_path=False, show_level=False, markup=False
    )
    logging.basicConfig(level=level, format="%(message)s", handlers=[handler])
