"""``models import``, ``export`` and ``push``: models that come and go without a hub."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from volume_bootstrap import console, maintenance
from volume_bootstrap.bucket.store import Place
from volume_bootstrap.cli.models import model_line, unreadable
from volume_bootstrap.cli.options import (
    AsJson,
    Quiet,
    Verbose,
    VolumeOption,
    begin,
    chosen,
    read_projects,
)
from volume_bootstrap.errors import ModelError
from volume_bootstrap.layout import LayoutError, Manifest, ModelRecord, Volume, manifest_of
from volume_bootstrap.lock import writing
from volume_bootstrap.models import exporting
from volume_bootstrap.models.importing import import_model
from volume_bootstrap.models.push import Pushed, command_on_a_pod, push
from volume_bootstrap.models.recording import lacking
from volume_bootstrap.project import Project, known_projects
from volume_bootstrap.project_files import ModelEntry

app = typer.Typer()

Aliases = Annotated[list[str], typer.Argument(metavar="ALIAS...", help="As `models list` shows.")]
OfProject = Annotated[
    str | None,
    typer.Option("--project", "-p", help="Needed where several have a model of that alias."),
]
Endpoint = Annotated[
    str | None,
    typer.Option("--endpoint-url", help="Of an S3 API. Default: AWS_ENDPOINT_URL, else Amazon."),
]


@app.command("import")
def import_(
    folder: Annotated[Path, typer.Argument(help="Holds the model's files by their paths.")],
    alias: Annotated[str, typer.Option("--as", help="The model's alias in models.yaml.")],
    project: OfProject = None,
    volume: VolumeOption = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Take a model that was copied by hand, once its files are those of models.yaml."""
    target = begin(volume, verbose=verbose, quiet=quiet)
    described, entry = _entry(target, alias, project)
    with writing(target):
        record, changed = import_model(target, described, entry, folder.absolute())
    missing = lacking(manifest_of(target, described.name))
    if as_json:
        told = {"project": described.name, "changed": changed, "model": record, "lacking": missing}
        console.print_json(told)
        return
    state = "ready" if changed else "up to date"
    console.print_lines(f"{described.name}: {alias} is {state}", model_line(record))
    _show_lacking(missing)


@app.command()
def export(
    aliases: Aliases,
    to: Annotated[str, typer.Option("--to", help="A folder, or s3://BUCKET/PREFIX.")],
    endpoint_url: Endpoint = None,
    project: OfProject = None,
    volume: VolumeOption = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Copy models to a folder or a bucket; `models import` takes them from there."""
    target = begin(volume, verbose=verbose, quiet=quiet)
    _, records = _records(target, aliases, project)
    if to.startswith("s3:"):
        with writing(target):
            done = exporting.to_bucket(target, records, Place(to, endpoint_url))
    else:
        folder = _folder(to)
        done = [exporting.to_folder(target, record, folder) for record in records]
    places = [f"{to.rstrip('/')}/{record.alias}" for record in records]
    if as_json:
        console.print_json(
            [
                {"model": record, "place": place, "changed": changed}
                for record, place, changed in zip(records, places, done, strict=True)
            ]
        )
        return
    for place, changed in zip(places, done, strict=True):
        console.print_lines(f"{place}: {'exported' if changed else 'it is there already'}")


@app.command("push")
def push_(
    aliases: Aliases,
    to: Annotated[str, typer.Option("--to", help="s3://VOLUME_ID, with a prefix if need be.")],
    endpoint_url: Endpoint = None,
    project: OfProject = None,
    volume: VolumeOption = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Bring models to another volume through its S3 API; no pod is needed, packages stay here."""
    target = begin(volume, verbose=verbose, quiet=quiet)
    maintenance.must_exist(target)
    with writing(target):
        manifest, records = _records(target, aliases, project)
        names = [record.alias for record in records]
        pushed = push(target, manifest, names, Place(to, endpoint_url))
    if as_json:
        console.print_json({**asdict(pushed), "on_a_pod": command_on_a_pod(pushed.project)})
        return
    _show_pushed(pushed)


def _folder(to: str) -> Path:
    """Folder that is meant; an address that is none of a bucket would become one."""
    if not to or "://" in to:
        raise ModelError(f"--to is {to!r}; give a folder, or s3://BUCKET/PREFIX.")
    return Path(to).absolute()


def _entry(volume: Volume, alias: str, named: str | None) -> tuple[Project, ModelEntry]:
    """Find the project that an alias is meant of: of those on the volume, else of all there are."""
    known = known_projects()
    held = [name for name in maintenance.project_names(volume) if name in known]
    for names in [[named]] if named else [held, known]:
        projects = read_projects(names)
        found = [(p, model) for p in projects for model in p.models if model.alias == alias]
        if len(found) == 1:
            return found[0]
        if found:
            raise ModelError(_ambiguous([alias], [p.name for p, _ in found]))
    having = sorted({model.alias for project in projects for model in project.models})
    raise ModelError(
        f"No models.yaml of {named or 'any project'} has {alias!r}; there are: "
        f"{', '.join(having) or 'none'}."
    )


def _records(
    volume: Volume, aliases: list[str], named: str | None
) -> tuple[Manifest, list[ModelRecord]]:
    """Find the manifest that tells of all the aliases, and what it tells of them."""
    wanted = list(dict.fromkeys(aliases))
    manifests = []
    for name in chosen(volume, [named] if named else None):
        try:
            manifests.append(manifest_of(volume, name))
        except LayoutError as error:
            raise unreadable(error, name, volume) from error
    found = [m for m in manifests if all(m.model(alias) for alias in wanted)]
    if len(found) == 1:
        told = [record for alias in wanted if (record := found[0].model(alias))]
        return found[0], told
    if found:
        raise ModelError(_ambiguous(wanted, [manifest.project for manifest in found]))
    there = "; ".join(f"{m.project}: {', '.join(r.alias for r in m.models)}" for m in manifests)
    raise ModelError(
        f"No manifest on {volume.root} tells of {', '.join(wanted)}; it has: {there or 'none'}."
    )


def _ambiguous(aliases: list[str], projects: list[str]) -> str:
    names = ", ".join(projects)
    return f"Several projects have {', '.join(aliases)}: {names}. Name one with --project."


def _show_pushed(pushed: Pushed) -> None:
    files = "1 file" if pushed.num_sent == 1 else f"{pushed.num_sent} files"
    sent = f"{files}, {console.size(pushed.sent_bytes)} sent"
    state = "its manifest names them now" if pushed.switched else "its manifest named them already"
    console.print_lines(
        f"{pushed.project} on {pushed.target}: {sent}; {state}",
        *(model_line(record) for record in pushed.models),
        "  packages were not pushed: a pod with the volume installs them with `setup`",
        "  names for modelscope and funasr themselves are links, which no S3 API makes; the worker",
        f"  needs none. On a pod: {command_on_a_pod(pushed.project)}",
    )
    _show_lacking(pushed.lacking)


def _show_lacking(aliases: Sequence[str]) -> None:
    if aliases:
        console.print_lines(f"  workers start when these are there, too: {', '.join(aliases)}")
