"""Models that this repository carries."""

from pathlib import Path

from volume_bootstrap.errors import SourceError
from volume_bootstrap.files import copy_file
from volume_bootstrap.project import ROOT, BundledSource, FileEntry


def fetch(source: BundledSource, files: list[FileEntry], folder: Path) -> None:
    """Copy the files out of the repository."""
    for file in files:
        path = ROOT / source.path / file.path
        if not path.is_file():
            raise SourceError(f"{path} does not exist; the checkout is not complete.")
        copy_file(path, folder / file.path)
