"""``python -m volume_bootstrap download``: one model by its id, without a project."""

import os
from pathlib import Path
from typing import Annotated

import typer

from volume_bootstrap import console
from volume_bootstrap.cli import jobs
from volume_bootstrap.cli.jobs import Detach, given
from volume_bootstrap.cli.options import AsJson, Force, Quiet, Verbose, VolumeOption, begin
from volume_bootstrap.console import set_up_logging
from volume_bootstrap.errors import ProvisionError
from volume_bootstrap.layout import MOUNTS, ModelRecord, Volume
from volume_bootstrap.lock import writing
from volume_bootstrap.models import download as downloads

ModelId = Annotated[
    str, typer.Argument(metavar="MODEL_ID", help="As its hub names it: iic/SenseVoiceSmall.")
]
Revision = Annotated[
    str | None, typer.Option("--revision", help="Tag, branch or commit. Default: the main one.")
]
CacheDir = Annotated[
    str | None,
    typer.Option(
        "--cache-dir",
        help="Folder for MODELSCOPE_CACHE. Default: the volume's, else MODELSCOPE_CACHE.",
    ),
]
SourceOption = Annotated[
    str, typer.Option("--source", help=f"Hub that it comes from: {', '.join(downloads.HUBS)}.")
]


def download(
    model_id: ModelId,
    revision: Revision = None,
    cache_dir: CacheDir = None,
    source: SourceOption = "modelscope",
    volume: VolumeOption = None,
    force: Force = False,
    detach: Detach = False,
    as_json: AsJson = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Fetch and verify one model, where modelscope and funasr find it; nothing is exported."""
    wish = downloads.Wish(model_id, revision, source)
    downloads.check(wish)
    target = _target(volume, cache_dir, verbose=verbose, quiet=quiet)
    if detach:
        options = [model_id, *given("--revision", revision), *given("--source", source)]
        options += ["--force"] * force
        place = given("--cache-dir", cache_dir) or given("--volume", volume)
        further = [*place, *["-v"] * verbose, *["-q"] * quiet]
        jobs.detach(target, "download", options, further, as_json=as_json)
        return
    with writing(target):
        record, changed = downloads.download(target, wish, force=force)
    _show(target, record, changed=changed, as_json=as_json)


def _target(volume: str | None, cache_dir: str | None, *, verbose: bool, quiet: bool) -> Volume:
    """The volume whose lock is taken, and its folder of models; a lone folder is both."""
    if cache_dir == "":
        raise ProvisionError("--cache-dir is empty; give a folder.")
    if cache_dir is not None and volume is not None:
        raise ProvisionError("Give --cache-dir or --volume, not both: a volume has its own folder.")
    is_mounted = bool(os.environ.get("SPEECH_VOLUME")) or any(m.is_dir() for m in MOUNTS)
    if volume is None and not is_mounted:
        cache_dir = cache_dir or os.environ.get("MODELSCOPE_CACHE") or None
        if cache_dir is None:
            raise ProvisionError(
                "No folder: give --cache-dir or --volume, or set MODELSCOPE_CACHE or SPEECH_VOLUME."
            )
    if cache_dir is None:
        return begin(volume, verbose=verbose, quiet=quiet)
    set_up_logging(verbose=verbose, quiet=quiet)
    cache = Path(cache_dir).absolute()
    if cache.exists() and not cache.is_dir():
        raise ProvisionError(f"{cache} is not a folder; give the folder for MODELSCOPE_CACHE.")
    # On a volume, its lock counts: `setup` may be writing there, even for the first time. A folder
    # that was filled alone has such records as well, so the outermost one is the volume.
    roots = (f for f in reversed((cache, *cache.parents)) if (f / ".metadata").is_dir())
    return Volume(next(roots, cache), cache=cache)


def _show(volume: Volume, record: ModelRecord, *, changed: bool, as_json: bool) -> None:
    name = volume.models / "hub" / record.id
    size_bytes = sum(file.size for file in record.files)
    if as_json:
        console.print_json(
            {
                "id": record.id,
                "revision": record.revision,
                "source": record.source,
                "changed": changed,
                "folder": name,
                "version": volume.models / record.folder,
                "size_bytes": size_bytes,
                "files": record.files,
            }
        )
        return
    console.print_lines(
        f"{record.reference}: {'ready' if changed else 'up to date'}",
        f"  folder   {name}",
        f"  version  {volume.models / record.folder}",
        f"  files    {len(record.files)}, {console.size(size_bytes)}, from {record.source}",
        f"  modelscope and funasr find it with MODELSCOPE_CACHE={volume.models}",
        "  nothing is exported to ONNX, and workers serve only models of a project: `setup` of one "
        "that names this model takes it from here",
    )
