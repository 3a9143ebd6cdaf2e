"""Files that are already on a disk: verified and copied into a model's folder."""

from pathlib import Path

from volume_bootstrap.errors import SourceError
from volume_bootstrap.files import copy_file
from volume_bootstrap.sources.wanted import Digest, Wanted


def take(path: Path, wanted: Wanted, folder: Path) -> str:
    """Copy a file to its path in `folder` if it is the one that is wanted; return its SHA-256.

    Raises
    ------
    SourceError
        It is another file.
    """
    digest = Digest(wanted)
    with path.open("rb") as file:
        digest.update_from(file)
    if not digest.matches:
        raise SourceError(
            f"{wanted.path} has SHA-256 {digest.sha256}, models.yaml says {wanted.sha256}; "
            "the source is damaged or serves another file."
        )
    copy_file(path, folder / wanted.path)
    return digest.sha256
