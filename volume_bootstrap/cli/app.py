"""``python -m volume_bootstrap``: stdout is data, stderr is progress."""

import logging
import signal
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException

from volume_bootstrap import console, maintenance
from volume_bootstrap.cli import bundle, deps, download, jobs, model_copies, models, pod
from volume_bootstrap.cli.jobs import Detach, given
from volume_bootstrap.cli.options import (
    AnyProjects,
    AsJson,
    DryRun,
    Force,
    Mirror,
    Projects,
    Quick,
    Quiet,
    VariantOption,
    Verbose,
    VolumeOption,
    begin,
    chosen,
    read_projects,
)
from volume_bootstrap.errors import ProvisionError
from volume_bootstrap.layout import Volume
from volume_bootstrap.lock import writing
from volume_bootstrap.maintenance import ProjectStatus
from volume_bootstrap.packages import dependencies
from volume_bootstrap.packages.generations import KEPT
from volume_bootstrap.project import Project
from volume_bootstrap.setup import set_up

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Fill a network volume with what the speech worker needs.",
)
app.add_typer(deps.app, name="deps")
models.app.add_typer(model_copies.app)
app.add_typer(models.app, name="models")
app.add_typer(bundle.app, name="bundle")
app.add_typer(pod.app, name="pod")
app.add_typer(jobs.app, name="jobs")
app.command()(download.download)


@app.command()
def setup(
    project: Projects,
    volume: VolumeOption = None,
    variant: VariantOption = None,
    mirror: Mirror = None,
    dry_run: DryRun = False,
    force: Force = False,
    detach: Detach = False,
    as_json: AsJson = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Bring the volume up to date with one project or more; nothing is done twice."""
    if dry_run and detach:
        raise ProvisionError("Give --dry-run or --detach, not both: a plan is told at once.")
    target = begin(volume, verbose=verbose, quiet=quiet)
    # All are read before the first changes anything.
    described = read_projects(project, variant)

    def plan(each: Project) -> dependencies.Plan:
        return dependencies.plan(target, each, variant=variant, mirror=mirror, force=force)

    if dry_run:
        _show_plans(target, [plan(each) for each in described], force=force, as_json=as_json)
        return
    if detach:
        names = [word for each in dict.fromkeys(project) for word in ("--project", each)]
        options = [*names, *given("--variant", variant), *given("--mirror", mirror)]
        options += ["--force"] * force
        further = [*given("--volume", target.root), *["-v"] * verbose, *["-q"] * quiet]
        jobs.detach(target, "setup", options, further, as_json=as_json)
        return
    results = []
    with writing(target):
        for each in described:
            started = time.perf_counter()
            outcome = set_up(target, plan(each), force=force)
            results.append((outcome, time.perf_counter() - started))
    if as_json:
        console.print_json([{**asdict(outcome), "seconds": s} for outcome, s in results])
        return
    for outcome, seconds in results:
        models.show_outcome(target, outcome, seconds)


@app.command()
def status(
    volume: VolumeOption = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Show what lies on the volume, who uses it, and what room is left."""
    target = begin(volume, verbose=verbose, quiet=quiet)
    found = maintenance.status(target)
    if as_json:
        console.print_json(found)
        return
    free, total = console.size(found.free_bytes), console.size(found.total_bytes)
    console.print_lines(
        f"{found.root}: {free} of {total} free",
        f"  models    {found.models}",
        f"  writer    {found.writer or 'none'}",
        f"  workers   {sum(found.workers.values())}",
    )
    for each in found.projects:
        console.print_lines(*_project_lines(each, found.workers))


@app.command()
def verify(
    project: AnyProjects = None,
    quick: Quick = False,
    volume: VolumeOption = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Compare packages and models with their records: every SHA-256, and each bad file's name."""
    target = begin(volume, verbose=verbose, quiet=quiet)
    names = chosen(target, project)
    console.report(maintenance.verify(target, names, quick=quick), as_json=as_json)


@app.command()
def clean(
    keep: Annotated[int, typer.Option(min=1, help="Generations of each project that stay.")] = KEPT,
    volume: VolumeOption = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Remove what nothing needs: old generations, left-overs of kills, replaced models."""
    target = begin(volume, verbose=verbose, quiet=quiet)
    maintenance.must_exist(target)
    if dry_run:
        _show_removed(_sizes(target, keep), "would be removed", as_json=as_json)
        return
    with writing(target):
        sizes = _sizes(target, keep)
        maintenance.clean(target, list(sizes))
    _show_removed(sizes, "removed", as_json=as_json)


def main() -> None:
    """Run the command line; every error becomes a text and an exit code here."""
    # A pod is stopped with it: what was started ends with us, temporary folders go.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        code = app(standalone_mode=False)
        if code == jobs.INTERRUPTED:
            console.fail("interrupted; run the same again to go on.", code)
        sys.exit(code)
    except TyperException as error:
        sys.exit(console.fail(f"{error.format_message()} Try --help.", 1))
    except ProvisionError as error:
        sys.exit(console.fail(str(error), 1))
    except OSError as error:
        sys.exit(console.fail(f"{error.filename or 'A file'}: {error.strerror or error}", 1))
    except Exception as error:
        logging.getLogger(__name__).exception("unexpected")
        message = f"unexpected {type(error).__name__}: {error}. Please report it."
        sys.exit(console.fail(message, 2))


def _show_plans(
    volume: Volume, plans: list[dependencies.Plan], *, force: bool, as_json: bool
) -> None:
    projects = [plan.project for plan in plans]
    if as_json:
        planned = [deps.plan_as_json(plan) for plan in plans]
        wanted = models.plans_as_json(volume, projects, force=force)
        console.print_json({"packages": planned, "models": wanted})
        return
    deps.show(volume, plans, as_json=False)
    models.show(volume, projects, force=force, as_json=False)


def _project_lines(each: ProjectStatus, workers: dict[str, int]) -> list[str]:
    now = each.active
    lines = [each.name]
    lines.append(f"  packages  {deps.generation_line(now) if now else 'none'}")
    older = [g.id for g in each.generations if now is None or g.id != now.id]
    lines.append(f"  others    {', '.join(older) or 'none'}")
    used = [f"{workers[g.id]} on {g.id}" for g in each.generations if g.id in workers]
    lines.append(f"  workers   {', '.join(used) or 'none'}")
    lines += [models.model_line(record) for record in each.manifest.models] if each.manifest else []
    return lines


def _sizes(volume: Volume, keep: int) -> dict[Path, int]:
    return {path: maintenance.size_of(path) for path in maintenance.removable(volume, keep)}


def _show_removed(sizes: dict[Path, int], what: str, *, as_json: bool) -> None:
    if as_json:
        console.print_json([{"path": path, "size_bytes": size} for path, size in sizes.items()])
        return
    rows = [(str(path), console.size(size)) for path, size in sizes.items()]
    if rows:
        console.print_table(("path", ">size"), rows)
    console.print_lines(f"{len(rows)} {what}, {console.size(sum(sizes.values()))}")
