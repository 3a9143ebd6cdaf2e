"""``python -m volume_bootstrap bundle``: volumes that are filled without a network."""

import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from volume_bootstrap import console
from volume_bootstrap.bundle import applying, creating
from volume_bootstrap.bundle.archive import opened
from volume_bootstrap.bundle.manifest import BundleManifest
from volume_bootstrap.bundle.wheels import Target
from volume_bootstrap.cli import models
from volume_bootstrap.cli.options import (
    AsJson,
    Force,
    Mirror,
    OneProject,
    Quiet,
    Verbose,
    VolumeOption,
    begin,
)
from volume_bootstrap.console import set_up_logging
from volume_bootstrap.errors import BundleError
from volume_bootstrap.layout import running_python
from volume_bootstrap.project import read_project

app = typer.Typer(help="Pack a project into one file; fill a volume from it without a network.")

File = Annotated[Path, typer.Argument(help="The bundle.", show_default=False)]


@app.command()
def create(
    file: File,
    project: OneProject,
    python: Annotated[
        str | None, typer.Option("--python", help="Such as 3.11. Default: this Python.")
    ] = None,
    platform: Annotated[
        str | None,
        typer.Option(
            "--platform",
            help="As uv names it, such as x86_64-manylinux_2_28. Default: this machine.",
        ),
    ] = None,
    volume: VolumeOption = None,
    mirror: Mirror = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Pack a project that is on the volume: its models as they are, its packages as wheels."""
    source = begin(volume, verbose=verbose, quiet=quiet)
    target = Target(python or running_python(), platform, mirror)
    described = read_project(project, target.python)
    manifest = creating.create(source, described, target, file.absolute())
    _show(manifest, file, as_json=as_json)


@app.command()
def apply(
    file: File,
    volume: VolumeOption = None,
    force: Force = False,
    as_json: AsJson = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Bring the volume to what the bundle holds; nothing is written unless all of it fits."""
    target = begin(volume, verbose=verbose, quiet=quiet)
    started = time.perf_counter()
    with opened(file.absolute()) as bundle:
        outcome = applying.apply(target, bundle, force=force)
    seconds = time.perf_counter() - started
    if as_json:
        console.print_json({**asdict(outcome), "seconds": seconds})
        return
    models.show_outcome(target, outcome, seconds)


@app.command()
def show(
    file: File, as_json: AsJson = False, verbose: Verbose = False, quiet: Quiet = False
) -> None:
    """Show what a bundle holds and what it is for."""
    set_up_logging(verbose=verbose, quiet=quiet)
    with opened(file.absolute()) as bundle:
        _show(bundle.manifest, file, as_json=as_json)


@app.command()
def verify(
    file: File, as_json: AsJson = False, verbose: Verbose = False, quiet: Quiet = False
) -> None:
    """Compare everything in a bundle with its SHA-256; name each bad file."""
    set_up_logging(verbose=verbose, quiet=quiet)
    with opened(file.absolute()) as bundle:
        names = bundle.manifest.names()
        bad = sorted(names[each.sha256] for each in bundle.damaged(bundle.manifest.contents()))
    if as_json:
        console.print_json(bad)
    elif not bad:
        console.print_lines("everything is as it was packed")
    if bad:
        raise BundleError(f"{file} is damaged: {', '.join(bad)}. Copy or create it again.")


def _show(manifest: BundleManifest, file: Path, *, as_json: bool) -> None:
    num_bytes = file.stat().st_size
    if as_json:
        console.print_json({"size_bytes": num_bytes, **manifest.model_dump(mode="json")})
        return
    variant = f" ({manifest.variant})" if manifest.variant else ""
    wheels = sum(wheel.size for wheel in manifest.wheels)
    console.print_lines(
        f"{file}: {manifest.project}{variant}, {console.size(num_bytes)}",
        f"  for       Python {manifest.python} on {manifest.platform}",
        f"  packages  {len(manifest.wheels)} wheels, {console.size(wheels)}",
        *(models.model_line(record) for record in manifest.records),
    )
