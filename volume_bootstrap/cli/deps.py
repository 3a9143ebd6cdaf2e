"""``python -m volume_bootstrap deps``: the packages of projects."""

from dataclasses import asdict
from typing import Annotated, Any

import typer

from volume_bootstrap import console, setup
from volume_bootstrap.cli.options import (
    AnyProjects,
    AsJson,
    DryRun,
    Force,
    Mirror,
    OneProject,
    Projects,
    Quiet,
    VariantOption,
    Verbose,
    VolumeOption,
    begin,
    chosen,
    read_projects,
)
from volume_bootstrap.layout import Generation, Volume
from volume_bootstrap.lock import writing
from volume_bootstrap.packages import building, dependencies, generations
from volume_bootstrap.packages.dependencies import IMAGE_LOCK, Plan
from volume_bootstrap.packages.integrity import damaged_packages
from volume_bootstrap.packages.resolution import image_versions
from volume_bootstrap.project import Project

app = typer.Typer(help="Plan, install, list, check and roll back packages.")


@app.command("plan")
def plan_(
    project: Projects,
    volume: VolumeOption = None,
    variant: VariantOption = None,
    mirror: Mirror = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Show what an install would add (+), change (~) and remove (-)."""
    target = begin(volume, verbose=verbose, quiet=quiet)
    plans = [
        dependencies.plan(target, each, variant=variant, mirror=mirror)
        for each in read_projects(project, variant)
    ]
    show(target, plans, as_json=as_json)


@app.command()
def install(
    project: Projects,
    volume: VolumeOption = None,
    variant: VariantOption = None,
    mirror: Mirror = None,
    dry_run: DryRun = False,
    force: Force = False,
    as_json: AsJson = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Build a generation of what changed, check it, and switch to it."""
    target = begin(volume, verbose=verbose, quiet=quiet)
    described = read_projects(project, variant)

    def plan(each: Project) -> Plan:
        return dependencies.plan(target, each, variant=variant, mirror=mirror, force=force)

    if dry_run:
        show(target, [plan(each) for each in described], as_json=as_json)
        return
    with writing(target):
        results = [setup.install(target, plan(each), force=force) for each in described]
    if as_json:
        console.print_json([{"changed": built, **asdict(g)} for g, built in results])
        return
    for generation, built in results:
        what = "is active now" if built else "is up to date"
        console.print_lines(f"{generation.project}: generation {generation.id} {what}")


@app.command("list")
def list_(
    project: AnyProjects = None,
    volume: VolumeOption = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """List generations, the active one with a star."""
    target = begin(volume, verbose=verbose, quiet=quiet)
    used = generations.workers(target)
    rows = []
    entries: list[dict[str, Any]] = []
    for name in chosen(target, project):
        now = generations.active(target, name)
        for each in generations.of_project(target, name):
            is_active = now is not None and each.id == now.id
            entries.append({"active": is_active, "workers": used.count(each.id), **asdict(each)})
            rows.append(
                (
                    "*" if is_active else "",
                    name,
                    each.id,
                    each.variant or "",
                    str(len(each.packages)),
                    console.size(each.num_bytes),
                    each.built,
                    str(used.count(each.id)),
                )
            )
    if as_json:
        console.print_json(entries)
        return
    columns = ("", "project", "generation", "variant", ">packages", ">size", "built", ">workers")
    console.print_table(columns, rows)


@app.command()
def check(
    project: AnyProjects = None,
    volume: VolumeOption = None,
    mirror: Mirror = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Compare the active generation with its records, and import its list anew."""
    target = begin(volume, verbose=verbose, quiet=quiet)
    damages = []
    for name in chosen(target, project):
        generation = generations.required(target, name)
        found = damaged_packages(target.generations / generation.id, generation, quick=True)
        if not found:
            building.check(target, generation, mirror=mirror)
        damages += found
    console.report(damages, as_json=as_json)


@app.command()
def rollback(
    project: OneProject,
    to: Annotated[
        str | None, typer.Option("--to", help="Id of a generation. Default: the one before.")
    ] = None,
    volume: VolumeOption = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Switch back to an older generation."""
    target = begin(volume, verbose=verbose, quiet=quiet)
    (name,) = chosen(target, [project])
    with writing(target):
        generation = generations.rollback(target, name, to, image_versions(IMAGE_LOCK))
    if as_json:
        console.print_json(generation)
    else:
        console.print_lines(f"{name}: generation {generation.id} is active now")


def show(volume: Volume, plans: list[Plan], *, as_json: bool) -> None:
    """Print plans."""
    if as_json:
        console.print_json([plan_as_json(plan) for plan in plans])
    else:
        console.print_lines(*(line for plan in plans for line in plan_lines(volume, plan)))


def plan_as_json(plan: Plan) -> dict[str, Any]:
    """Return a plan as ``--json`` shows it."""
    return {
        "project": plan.project.name,
        "variant": plan.variant,
        "up_to_date": plan.resolved is None,
        "changes": [{"sign": change.sign, **asdict(change)} for change in plan.changes],
    }


def plan_lines(volume: Volume, plan: Plan) -> list[str]:
    """Return a plan as people read it."""
    variant = f" ({plan.variant})" if plan.variant else ""
    head = f"{plan.project.name}{variant} on {volume.root}: "
    if plan.resolved is None:
        return [f"{head}packages are up to date"]
    if not plan.changes:
        return [f"{head}the same packages, to be built anew"]
    counts = [
        f"{sum(change.sign == sign for change in plan.changes)} {what}"
        for sign, what in (("+", "to add"), ("~", "to change"), ("-", "to remove"))
    ]
    return [
        head + ", ".join(counts),
        *(
            f" {c.sign} {c.name} {' -> '.join(filter(None, (c.before, c.after)))}"
            for c in plan.changes
        ),
    ]


def generation_line(generation: Generation) -> str:
    """Return a generation as people read it, in one line."""
    size = console.size(generation.num_bytes)
    return f"{len(generation.packages)} packages in generation {generation.id}, {size}"
