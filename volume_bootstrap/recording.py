"""What a project's manifest is to tell, and the step in which it tells it."""

from dataclasses import replace
from typing import Any

from volume_bootstrap import models
from volume_bootstrap.files import write_text
from volume_bootstrap.layout import Manifest, ModelRecord, Volume, dump
from volume_bootstrap.stages import stage


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
    models.publish(volume, manifest.models)
    return rewritten


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
