"""What the manifests of a volume tell of its models, and the step in which one tells otherwise."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

from volume_bootstrap.files import write_text
from volume_bootstrap.layout import LayoutError, Manifest, ModelRecord, Volume, dump, read_manifest
from volume_bootstrap.models import versions
from volume_bootstrap.stages import stage

logger = logging.getLogger(__name__)


def write(volume: Volume, manifest: Manifest) -> bool:
    """Let the manifest tell of models, and other tools find them; whether it told otherwise."""
    text = dump(manifest)
    path = volume.manifest(manifest.project)
    rewritten = not path.is_file() or path.read_bytes() != text.encode()
    if rewritten:
        # The switch: from here on the worker finds the new models.
        stage("manifest")
        write_text(path, text)
    copy = volume.manifest_copy(manifest.project)
    if not copy.is_file() or copy.read_bytes() != text.encode():
        write_text(copy, text)
    stage("publish")
    versions.publish(volume, manifest.models)
    return rewritten


def manifests(volume: Volume) -> dict[Path, Manifest]:
    """Manifests that can be read, of each project and Python, by their path."""
    found = {}
    for path in sorted(volume.metadata.glob("*-py*.json")):
        try:
            found[path] = read_manifest(path)
        except LayoutError as error:
            logger.warning("%s Its models are looked at anew.", error)
    return found


def recorded_models(volume: Volume) -> list[ModelRecord]:
    """Models that any manifest on the volume tells of: they serve every project and Python."""
    return [record for manifest in manifests(volume).values() for record in manifest.models]


def merged(there: Manifest | None, other: Manifest) -> Manifest:
    """Put the models of `other` into a manifest: in place of those of their alias, else after them.

    No model is lost. The defaults of a task become the other's only where all models that they name
    are in the manifest then: workers load these when they start. A model whose files are the same
    keeps its times.
    """
    if there is None:
        return other
    new = {record.alias: record for record in other.models}
    kept = [_newer(record, new.pop(record.alias, record)) for record in there.models]
    records = (*kept, *new.values())
    aliases = {record.alias for record in records}
    loadable = {t: o for t, o in other.defaults.items() if named_models(o) <= aliases}
    return Manifest(there.project, there.python, {**there.defaults, **loadable}, records)


def named_models(options: dict[str, Any]) -> set[str]:
    """Aliases that the defaults of a task name."""
    named = options.get("models", {})
    return set(named.values()) if isinstance(named, dict) else {named}


def lacking(manifest: Manifest) -> list[str]:
    """Aliases that the manifest's defaults name and that it does not tell of, sorted."""
    named = {alias for options in manifest.defaults.values() for alias in named_models(options)}
    return sorted(named - {record.alias for record in manifest.models})


def contents(record: ModelRecord) -> set[tuple[str, int, str]]:
    """What tells one version from another: path, size and SHA-256 of each file."""
    return {(file.path, file.size, file.sha256) for file in record.files}


def _newer(old: ModelRecord, new: ModelRecord) -> ModelRecord:
    if old.folder == new.folder and contents(old) == contents(new):
        return replace(new, files=old.files)
    return new
