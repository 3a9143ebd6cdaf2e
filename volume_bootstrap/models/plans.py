"""What is to be done for a model: found by looking at the volume alone."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from volume_bootstrap.layout import ModelRecord, Volume
from volume_bootstrap.models import adoption, versions
from volume_bootstrap.onnx_export.exporter import recipe
from volume_bootstrap.project_files import ModelEntry

Action = Literal["keep", "adopt", "download", "export"]


@dataclass(frozen=True, slots=True)
class ModelPlan:
    """What is to be done for a model, and why; `size_bytes` where it is known without asking."""

    entry: ModelEntry
    action: Action
    reason: str
    size_bytes: int | None


@dataclass(frozen=True, slots=True)
class Finding:
    """A plan, and the record of the version that serves already, or whose weights do."""

    plan: ModelPlan
    record: ModelRecord | None = None


def look(
    volume: Volume, entry: ModelEntry, recorded: Sequence[ModelRecord], *, force: bool
) -> Finding:
    """Find the least that has to be done for a model; nothing is changed and no source asked.

    Parameters
    ----------
    recorded : models that the volume's manifests tell of.
    force : fetch it anew, whatever is there.
    """
    if force:
        return Finding(ModelPlan(entry, "download", "it is to be fetched anew", None))
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
        elif record.export == recipe_of(entry, originals(record)):
            named = replace(
                current,
                alias=entry.alias,
                task=entry.task,
                engine=entry.engine,
                licence=entry.licence,
            )
            return Finding(ModelPlan(entry, "keep", "it is whole", _size(record)), named)
        else:
            weights = weights or current
    if weights is not None:
        reason = "its weights are there, the ONNX file would be another"
        return Finding(ModelPlan(entry, "export", reason, _size(weights)), weights)
    for folder in adoption.candidates(volume, entry):
        if all((folder / file.path).is_file() for file in entry.files):
            size = sum((folder / file.path).stat().st_size for file in entry.files)
            reason = f"{folder} holds it, to be verified" + (f"; {damaged}" if damaged else "")
            return Finding(ModelPlan(entry, "adopt", reason, size or None))
    return Finding(ModelPlan(entry, "download", damaged or "it is not on the volume", None))


def _holds(record: ModelRecord, entry: ModelEntry) -> bool:
    """Whether a record's original files are those of the entry."""
    fetched = originals(record)
    wanted = {file.path: file.sha256 for file in entry.files} or dict.fromkeys(fetched)
    return (
        (record.id, record.revision) == (entry.id, entry.revision)
        and bool(fetched)
        and fetched.keys() == wanted.keys()
        and all(digest in {None, fetched[path]} for path, digest in wanted.items())
    )


def fits(record: ModelRecord, entry: ModelEntry) -> bool:
    """Whether a record is of the entry's files, and of the ONNX file that this tool would make."""
    return _holds(record, entry) and record.export == recipe_of(entry, originals(record))


def originals(record: ModelRecord) -> dict[str, str]:
    """SHA-256 of what was fetched, by path."""
    return {file.path: file.sha256 for file in record.files if file.path != record.runtime}


def recipe_of(entry: ModelEntry, digests: dict[str, str]) -> str | None:
    """Digest of what the model's ONNX file is exported from and with, where it has one."""
    return recipe(entry.export, digests) if entry.export else None


def _size(record: ModelRecord) -> int:
    return sum(file.size for file in record.files)
