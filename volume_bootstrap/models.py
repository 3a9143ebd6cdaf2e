"""A project's models on the volume: fetched, verified, exported, recorded.

A version of a model is a folder that never changes once it has its name, the
digest of its files. So nothing that is served changes before the manifest is
written, which names other folders from then on.
"""

import errno
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from volume_bootstrap import adoption, files, versions
from volume_bootstrap.errors import ModelError
from volume_bootstrap.export import Exporter, recipe
from volume_bootstrap.gathering import Gathered, gather, gathered_before, mark, partial_folder
from volume_bootstrap.layout import ModelFile, ModelRecord, Volume
from volume_bootstrap.progress import Progress
from volume_bootstrap.project_files import ModelEntry
from volume_bootstrap.stages import stage
from volume_bootstrap.versions import publish, unused, verify

__all__ = ["ModelPlan", "plan", "provision", "publish", "unused", "verify"]

logger = logging.getLogger(__name__)

RUNTIME = "model.onnx"
"""The exported file, beside the weights it comes from."""
MODELS_AT_ONCE = 3
FULL = {errno.ENOSPC, errno.EDQUOT}

Action = Literal["keep", "adopt", "download", "export"]


@dataclass(frozen=True, slots=True)
class ModelPlan:
    """What is to be done for a model, and why; `size_bytes` where it is known without asking."""

    entry: ModelEntry
    action: Action
    reason: str
    size_bytes: int | None


@dataclass(frozen=True, slots=True)
class _Finding:
    """A plan, and the record of the version that serves already, or whose weights do."""

    plan: ModelPlan
    record: ModelRecord | None = None


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
    return [_look(volume, entry, recorded, force=force).plan for entry in entries]


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
    findings = [_look(volume, entry, recorded, force=force) for entry in entries]
    records = {
        finding.plan.entry.alias: finding.record
        for finding in findings
        if finding.record is not None and finding.plan.action == "keep"
    }
    missing = [finding for finding in findings if finding.plan.action != "keep"]
    try:
        # The sources come first, because the export is dear.
        gathered = _gather_all(volume, missing, force=force)
        with Exporter(volume, generation) as exporter:
            for finding, found in zip(missing, gathered, strict=True):
                entry = finding.plan.entry
                folder = partial_folder(volume, entry, force=force)
                records[entry.alias] = _finish(volume, entry, folder, found, exporter)
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise ModelError(
            f"There is no room left for the models on {volume.models}: {error.strerror}. Free some "
            "or enlarge the volume, and run this again: what was fetched stays."
        ) from error
    return tuple(records[entry.alias] for entry in entries), bool(missing)


def _look(
    volume: Volume, entry: ModelEntry, recorded: Sequence[ModelRecord], *, force: bool
) -> _Finding:
    """Find the least that has to be done for a model."""
    if force:
        return _Finding(ModelPlan(entry, "download", "it is to be fetched anew", None))
    weights: ModelRecord | None = None
    damaged = ""
    known = {record.folder for record in recorded}
    beside = (r for r in versions.records_beside(volume, entry.id) if r.folder not in known)
    for record in [*recorded, *beside]:
        if not _holds(record, entry):
            continue
        current = versions.refreshed(volume, record)
        if current is None:
            damaged = f"{record.folder} is damaged"
        elif record.export == _recipe(entry, _originals(record)):
            named = replace(current, alias=entry.alias, task=entry.task, licence=entry.licence)
            return _Finding(ModelPlan(entry, "keep", "it is whole", _size(record)), named)
        else:
            weights = weights or current
    if weights is not None:
        reason = "its weights are there, the ONNX file would be another"
        return _Finding(ModelPlan(entry, "export", reason, _size(weights)), weights)
    for folder in adoption.candidates(volume, entry):
        if all((folder / file.path).is_file() for file in entry.files):
            size = sum((folder / file.path).stat().st_size for file in entry.files)
            reason = f"{folder} holds it, to be verified" + (f"; {damaged}" if damaged else "")
            return _Finding(ModelPlan(entry, "adopt", reason, size or None))
    return _Finding(ModelPlan(entry, "download", damaged or "it is not on the volume", None))


def _holds(record: ModelRecord, entry: ModelEntry) -> bool:
    """Whether a record's original files are those of the entry."""
    originals = _originals(record)
    wanted = {file.path: file.sha256 for file in entry.files} or dict.fromkeys(originals)
    return (
        (record.id, record.revision) == (entry.id, entry.revision)
        and bool(originals)
        and originals.keys() == wanted.keys()
        and all(digest in {None, originals[path]} for path, digest in wanted.items())
    )


def _originals(record: ModelRecord) -> dict[str, str]:
    """SHA-256 of what was fetched, by path."""
    return {file.path: file.sha256 for file in record.files if file.path != record.runtime}


def _recipe(entry: ModelEntry, digests: dict[str, str]) -> str | None:
    return recipe(entry.export, digests) if entry.export else None


def _size(record: ModelRecord) -> int:
    return sum(file.size for file in record.files)


def _gather_all(volume: Volume, missing: Sequence[_Finding], *, force: bool) -> list[Gathered]:
    """Bring the files of several models together at once; report each that fails."""

    def gather_one(finding: _Finding) -> Gathered | ModelError:
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
    digests = _originals(record)
    for path in digests:
        files.remove(folder / path)
        files.link_file(volume.models / record.folder / path, folder / path)
    return mark(folder, Gathered(record.source, digests))


def _finish(
    volume: Volume, entry: ModelEntry, folder: Path, gathered: Gathered, exporter: Exporter
) -> ModelRecord:
    """Export a model whose files are together, and give its folder the name of a version."""
    digests = dict(sorted(gathered.digests.items()))
    if not digests:
        raise ModelError(f"Model {entry.alias} has no files; name them in models.yaml.")
    record = ModelRecord(
        alias=entry.alias, id=entry.id, revision=entry.revision, task=entry.task,
        licence=entry.licence, source=gathered.source, folder="", files=(),
        runtime=None, parity=None, export=_recipe(entry, digests),
    )  # fmt: skip
    if entry.export:
        if RUNTIME in digests:
            raise ModelError(
                f"Model {entry.alias} has a {RUNTIME} of its own, where the exported file would "
                "be; leave it out of `files` in models.yaml."
            )
        stage("export")
        logger.info("%s: exporting to ONNX", entry.alias)
        parity = exporter.export(entry.export, folder, folder / RUNTIME)
        digests[RUNTIME] = files.sha256_of(folder / RUNTIME)
        record = replace(record, runtime=RUNTIME, parity=parity)
    versions.tidy(folder, list(digests))
    described = tuple(_describe(folder / path, path, digest) for path, digest in digests.items())
    record = replace(record, files=described)
    versions.note(folder, record)
    files.flush(folder)
    stage("switch-models")
    return versions.place(volume, folder, record)


def _describe(file: Path, path: str, digest: str) -> ModelFile:
    status = file.stat()
    return ModelFile(path, status.st_size, digest, status.st_mtime_ns)
