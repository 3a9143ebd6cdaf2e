"""A project's models on the volume: fetched, verified, exported, recorded."""

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path

from volume_bootstrap import files, sources
from volume_bootstrap.errors import ModelError, SourceError
from volume_bootstrap.export import RECIPE, Exporter
from volume_bootstrap.layout import ModelFile, ModelRecord, Volume
from volume_bootstrap.project import FileEntry, ModelEntry

logger = logging.getLogger(__name__)

RUNTIME = "model.onnx"
"""The exported file, beside the weights it comes from."""


def provision(
    volume: Volume,
    entries: Sequence[ModelEntry],
    recorded: Sequence[ModelRecord],
    generation: Path,
) -> tuple[tuple[ModelRecord, ...], bool]:
    """Bring each model up to date; what is there and whole stays as it is.

    Parameters
    ----------
    recorded : models that the volume's manifests tell of.
    generation : the project's packages, which the exports are judged with.

    Returns
    -------
    What the manifest is to tell now, in the order of `entries`; and whether anything was fetched.

    Raises
    ------
    ModelError
        No source gives a model's files, or they are not the ones they should be.
    """
    records = {}
    before = {record.inputs: record for record in recorded}
    missing = []
    for entry in entries:
        record = before.get(_inputs(entry))
        if record is not None and _is_whole(volume, record):
            records[entry.alias] = record
        else:
            missing.append(entry)
    # Nothing gets its final name before everything is there: while one model fails, the others
    # stay as the manifest tells. The sources come first, because the export is dear.
    sources_used = {entry.alias: _fetch(entry, _partial(volume, entry)) for entry in missing}
    if missing:
        with Exporter(generation) as exporter:
            for entry in missing:
                records[entry.alias] = _export(
                    entry, _partial(volume, entry), sources_used[entry.alias], exporter
                )
    for entry in missing:
        _switch(_partial(volume, entry), volume.models / entry.folder, records[entry.alias])
    return tuple(records[entry.alias] for entry in entries), bool(missing)


def _inputs(entry: ModelEntry) -> str:
    return files.digest_of(RECIPE, entry.model_dump())


def _is_whole(volume: Volume, record: ModelRecord) -> bool:
    folder = volume.models / record.folder
    for file in record.files:
        path = folder / file.path
        if not path.is_file() or files.sha256_of(path) != file.sha256:
            logger.info("%s: %s is missing or damaged", record.alias, file.path)
            return False
    return True


def _partial(volume: Volume, entry: ModelEntry) -> Path:
    """Return where a model is put together: beside its folder, so that a rename moves it."""
    folder = volume.models / entry.folder
    return folder.with_name(folder.name + ".partial")


def _export(entry: ModelEntry, folder: Path, source: str, exporter: Exporter) -> ModelRecord:
    logger.info("%s: exporting to ONNX", entry.alias)
    parity = exporter.export(entry.export, folder, folder / RUNTIME)
    kept = [*(file.path for file in entry.files), RUNTIME]
    return ModelRecord(
        alias=entry.alias,
        id=entry.id,
        revision=entry.revision,
        task=entry.task,
        licence=entry.licence,
        source=source,
        folder=entry.folder,
        runtime=RUNTIME,
        files=tuple(_describe(folder, path) for path in kept),
        parity=parity,
        inputs=_inputs(entry),
    )


def _switch(partial: Path, folder: Path, record: ModelRecord) -> None:
    """Give the files their names, each in one step: a worker finds the old or the new one."""
    for file in record.files:
        files.move_file(partial / file.path, folder / file.path)
    shutil.rmtree(partial)


def _fetch(entry: ModelEntry, folder: Path) -> str:
    """Try the sources in order; say what the one that worked is called."""
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    reasons = []
    for source in entry.sources:
        name = sources.describe(source)
        logger.info("%s: fetching from %s", entry.alias, name)
        try:
            sources.fetch(source, entry.files, folder)
            for file in entry.files:
                _check(folder, file)
        except (SourceError, ModelError) as error:
            reasons.append(f"{name}: {error}")
        else:
            return name
    raise ModelError(f"No source gave model {entry.alias} ({entry.id}). " + " ".join(reasons))


def _check(folder: Path, file: FileEntry) -> None:
    digest = files.sha256_of(folder / file.path)
    if file.sha256 is not None and digest != file.sha256:
        raise ModelError(
            f"{file.path} has SHA-256 {digest}, models.yaml says {file.sha256}; the source is "
            "damaged or serves another file."
        )


def _describe(folder: Path, path: str) -> ModelFile:
    return ModelFile(path, (folder / path).stat().st_size, files.sha256_of(folder / path))
