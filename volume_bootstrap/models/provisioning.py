"""A project's models on the volume: fetched, verified, exported, recorded.

A version of a model is a folder that never changes once it has its name, the
digest of its files. So nothing that is served changes before the manifest is
written, which names other folders from then on.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from volume_bootstrap import files
from volume_bootstrap.errors import ModelError
from volume_bootstrap.layout import ModelRecord, Volume
from volume_bootstrap.models import versions
from volume_bootstrap.models.gathering import (
    Gathered,
    gather,
    gathered_before,
    mark,
    partial_folder,
)
from volume_bootstrap.models.plans import Finding, ModelPlan, look, originals, recipe_of
from volume_bootstrap.onnx_export.exporter import Exporter
from volume_bootstrap.progress import Progress
from volume_bootstrap.project_files import ModelEntry
from volume_bootstrap.stages import stage

logger = logging.getLogger(__name__)

RUNTIME = "model.onnx"
"""The exported file, beside the weights it comes from."""
MODELS_AT_ONCE = 3


def plan(
    volume: Volume,
    entries: Sequence[ModelEntry],
    recorded: Sequence[ModelRecord],
    *,
    force: bool = False,
) -> list[ModelPlan]:
    """Say what `provision` would do; nothing is changed and no source asked.

    Parameters
    ----------
    recorded : models that the volume's manifests tell of.
    force : fetch each model anew, whatever is there.
    """
    return [look(volume, entry, recorded, force=force).plan for entry in entries]


def provision(
    volume: Volume,
    entries: Sequence[ModelEntry],
    recorded: Sequence[ModelRecord],
    generation: Path,
    *,
    force: bool = False,
) -> tuple[tuple[ModelRecord, ...], bool]:
    """Bring each model up to date; what is there and whole stays as it is.

    Everything is in its place afterwards, but serves only once the manifest names it.

    Parameters
    ----------
    recorded : models that the volume's manifests tell of.
    generation : the project's packages, which the exports are judged with.
    force : fetch each model anew, whatever is there.

    Returns
    -------
    What the manifest is to tell now, in the order of `entries`; and whether any model changed.

    Raises
    ------
    ModelError
        No source gives a model's files, they are not the ones they should be, or the volume is
        full.
    """
    stage("verify")
    findings = [look(volume, entry, recorded, force=force) for entry in entries]
    records = {
        finding.plan.entry.alias: finding.record
        for finding in findings
        if finding.record is not None and finding.plan.action == "keep"
    }
    missing = [finding for finding in findings if finding.plan.action != "keep"]
    with telling_no_room("the models", volume.models):
        # The sources come first, because the export is dear.
        gathered = _gather_all(volume, missing, force=force)
        with Exporter(volume, generation) as exporter:
            for finding, found in zip(missing, gathered, strict=True):
                entry = finding.plan.entry
                folder = partial_folder(volume, entry, force=force)
                export = partial(export_with, exporter, folder)
                records[entry.alias] = finish(volume, entry, folder, found, export)
    return tuple(records[entry.alias] for entry in entries), bool(missing)


@contextmanager
def telling_no_room(what: str, folder: Path) -> Iterator[None]:
    """Make an error that tells what to do of a full volume: `what` was on its way to `folder`.

    Raises
    ------
    ModelError
        It is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in files.FULL:
            raise
        raise ModelError(
            f"There is no room left for {what} on {folder}: {error.strerror}. Free some or enlarge "
            "the volume, and run this again: what is there stays."
        ) from error


def _gather_all(volume: Volume, missing: Sequence[Finding], *, force: bool) -> list[Gathered]:
    """Bring the files of several models together at once; report each that fails."""

    def gather_one(finding: Finding) -> Gathered | ModelError:
        entry = finding.plan.entry
        folder = partial_folder(volume, entry, force=force)
        if finding.plan.action == "export" and finding.record is not None:
            return _link_originals(volume, finding.record, folder)
        try:
            return gather(volume, entry, folder, progress, force=force)
        except ModelError as error:
            return error

    found: list[Gathered] = []
    failures: list[str] = []
    with Progress("models") as progress, ThreadPoolExecutor(MODELS_AT_ONCE) as pool:
        try:
            for result in pool.map(gather_one, missing):
                if isinstance(result, ModelError):
                    failures.append(str(result))
                else:
                    found.append(result)
        except BaseException:
            # The end of the run or a full disk: whoever downloads is not waited for.
            progress.stop()
            pool.shutdown(cancel_futures=True)
            raise
    if failures:
        raise ModelError("\n".join(failures))
    return found


def _link_originals(volume: Volume, record: ModelRecord, folder: Path) -> Gathered:
    """Fill a folder with the weights of a version that is there."""
    if (before := gathered_before(folder)) is not None:
        return before
    digests = originals(record)
    for path in digests:
        files.remove(folder / path)
        files.link_file(volume.models / record.folder / path, folder / path)
    return mark(folder, Gathered(record.source, digests))


def export_with(exporter: Exporter, folder: Path, network: str) -> float:
    """Leave the exported file in a model's folder; its difference from the original."""
    stage("export")
    logger.info("exporting %s to ONNX", folder.parent.name.removeprefix("."))
    return exporter.export(network, folder, folder / RUNTIME)


def finish(
    volume: Volume,
    entry: ModelEntry,
    folder: Path,
    gathered: Gathered,
    export: Callable[[str], float],
) -> ModelRecord:
    """Export a model whose files are together, and give its folder the name of a version.

    Parameters
    ----------
    export : leaves the exported file of a network in the folder, and returns its difference from
        the original; called for models that have one.

    Raises
    ------
    ModelError
        There are no files, one would be in the exported file's place, or the export fails.
    """
    digests = dict(sorted(gathered.digests.items()))
    if not digests:
        raise ModelError(f"Model {entry.alias} has no files; name them in models.yaml.")
    record = ModelRecord(
        alias=entry.alias, id=entry.id, revision=entry.revision, task=entry.task,
        engine=entry.engine, licence=entry.licence, source=gathered.source, folder="", files=(),
        runtime=None, parity=None, export=recipe_of(entry, digests),
    )  # fmt: skip
    if entry.export:
        if RUNTIME in digests:
            raise ModelError(
                f"Model {entry.alias} has a {RUNTIME} of its own, where the exported file would "
                "be; leave it out of `files` in models.yaml."
            )
        parity = export(entry.export)
        digests[RUNTIME] = files.sha256_of(folder / RUNTIME)
        record = replace(record, runtime=RUNTIME, parity=parity)
    return versions.complete(volume, folder, record, digests)
