"""``python -m volume_bootstrap models``: the models of projects."""

from typing import Any

import typer

from volume_bootstrap import console, maintenance, setup
from volume_bootstrap.cli.deps import generation_line
from volume_bootstrap.cli.options import (
    AnyProjects,
    AsJson,
    DryRun,
    Force,
    Projects,
    Quick,
    Quiet,
    Verbose,
    VolumeOption,
    begin,
    chosen,
    read_projects,
)
from volume_bootstrap.errors import ModelError
from volume_bootstrap.layout import LayoutError, ModelRecord, Volume, read_manifest
from volume_bootstrap.lock import writing
from volume_bootstrap.models import provisioning
from volume_bootstrap.models.recording import recorded_models
from volume_bootstrap.project import Project

app = typer.Typer(help="Plan, download, list, verify, import, export and push models.")


@app.command()
def plan(
    project: Projects,
    volume: VolumeOption = None,
    force: Force = False,
    as_json: AsJson = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Show what a download would keep, adopt, export and fetch."""
    target = begin(volume, verbose=verbose, quiet=quiet)
    show(target, read_projects(project), force=force, as_json=as_json)


@app.command()
def download(
    project: Projects,
    volume: VolumeOption = None,
    dry_run: DryRun = False,
    force: Force = False,
    as_json: AsJson = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Fetch, verify and export models, and tell the worker of them."""
    target = begin(volume, verbose=verbose, quiet=quiet)
    described = read_projects(project)
    if dry_run:
        show(target, described, force=force, as_json=as_json)
        return
    with writing(target):
        results = [(each.name, *setup.download(target, each, force=force)) for each in described]
    if as_json:
        console.print_json(
            [{"project": n, "changed": changed, "models": r} for n, r, changed in results]
        )
        return
    for name, records, changed in results:
        console.print_lines(f"{name}: models are {'ready' if changed else 'up to date'}")
        console.print_lines(*(model_line(record) for record in records))


@app.command("list")
def list_(
    project: AnyProjects = None,
    volume: VolumeOption = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """List the models that manifests tell of."""
    target = begin(volume, verbose=verbose, quiet=quiet)
    entries: list[dict[str, Any]] = []
    rows = []
    for name in chosen(target, project):
        try:
            records = read_manifest(target.manifest(name)).models
        except LayoutError as error:
            raise unreadable(error, name, target) from error
        entries.append({"project": name, "models": records})
        rows += [(name, *_row(record)) for record in records]
    if as_json:
        console.print_json(entries)
        return
    columns = ("project", "alias", "model", "task", ">size", "source", "licence")
    console.print_table(columns, rows)


@app.command()
def verify(
    project: AnyProjects = None,
    quick: Quick = False,
    volume: VolumeOption = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Compare every file of the models with the manifest; name each bad one."""
    target = begin(volume, verbose=verbose, quiet=quiet)
    damages = [
        damage
        for name in chosen(target, project)
        for damage in maintenance.verify_models(target, name, quick=quick)
    ]
    console.report(damages, as_json=as_json)


def show(volume: Volume, projects: list[Project], *, force: bool, as_json: bool) -> None:
    """Print what a download would do."""
    plans = plans_as_json(volume, projects, force=force)
    if as_json:
        console.print_json(plans)
        return
    rows = [
        (
            plan["project"],
            model["alias"],
            model["action"],
            "" if model["size_bytes"] is None else console.size(model["size_bytes"]),
            model["reason"],
        )
        for plan in plans
        for model in plan["models"]
    ]
    console.print_table(("project", "model", "action", ">size", "reason"), rows)


def plans_as_json(volume: Volume, projects: list[Project], *, force: bool) -> list[dict[str, Any]]:
    """Return plans as ``--json`` shows them."""
    recorded = recorded_models(volume)
    return [
        {
            "project": project.name,
            "models": [
                {
                    "alias": plan.entry.alias,
                    "id": plan.entry.id,
                    "action": plan.action,
                    "size_bytes": plan.size_bytes,
                    "reason": plan.reason,
                }
                for plan in provisioning.plan(volume, project.models, recorded, force=force)
            ],
        }
        for project in projects
    ]


def unreadable(error: LayoutError, project: str, volume: Volume) -> ModelError:
    """A manifest that cannot be read, as an error that says what to do."""
    return ModelError(
        f"{error} Write it with: python -m volume_bootstrap models download --project {project} "
        f"--volume {volume.root}"
    )


def show_outcome(volume: Volume, outcome: setup.Outcome, seconds: float) -> None:
    """Print what a set-up left: packages and models."""
    done = f"set up in {seconds:.1f} s" if outcome.changed else "nothing to do"
    console.print_lines(
        f"{outcome.generation.project} on {volume.root}: {done}",
        f"  packages  {generation_line(outcome.generation)}",
        *(model_line(record) for record in outcome.models),
    )


def model_line(record: ModelRecord) -> str:
    """Return a model as people read it, in one line."""
    exported = "" if record.parity is None else f"  ONNX within {record.parity:.1e} of torch"
    size = console.size(sum(file.size for file in record.files))
    return f"  model     {record.alias}  {record.id}  {size}{exported}"


def _row(record: ModelRecord) -> tuple[str, ...]:
    size = console.size(sum(file.size for file in record.files))
    return (record.alias, record.reference, record.task, size, record.source, record.licence)
