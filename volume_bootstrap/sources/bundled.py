"""Models that this repository carries."""

from collections.abc import Sequence
from pathlib import Path

from volume_bootstrap.errors import SourceError
from volume_bootstrap.project import ROOT
from volume_bootstrap.project_files import BundledSource
from volume_bootstrap.sources.local import take
from volume_bootstrap.sources.wanted import Wanted


def fetch(source: BundledSource, wanted: Sequence[Wanted], folder: Path) -> dict[str, str]:
    """Copy the files out of the repository."""
    digests = {}
    for file in wanted:
        path = ROOT / source.path / file.path
        if not path.is_file():
            raise SourceError(f"{path} does not exist; the checkout is not complete.")
        digests[file.path] = take(path, file, folder)
    return digests
