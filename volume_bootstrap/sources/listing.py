"""What a hub lists of a model: checked, because it becomes paths and digests on the volume."""

import logging
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from volume_bootstrap.errors import SourceError
from volume_bootstrap.project_files import ModelEntry
from volume_bootstrap.sources.wanted import DRAFTS, FETCHED, INDEX, RECORD, Wanted

logger = logging.getLogger(__name__)

OWN = {DRAFTS, RECORD, FETCHED, INDEX}
"""Names that mean something else in a model's folder."""
MOST_NAME_BYTES = 240
"""File systems take 255; what is not whole yet has a longer name."""
MOST_PATH_BYTES = 1024
SHA256 = re.compile(r"[0-9a-f]{64}")


def chosen(entry: ModelEntry, listed: Sequence[Wanted]) -> list[Wanted]:
    """Of what a hub lists, the files of models.yaml, where it names any.

    Raises
    ------
    SourceError
        The list is empty or damaged, lacks a file, or has another one than models.yaml says.
    """
    by_path = _by_path(listed)
    if not by_path:
        raise SourceError(
            f"The hub lists no file of {entry.id}: it is empty, or not for everybody to see."
        )
    found = []
    for wanted in entry.files:
        file = by_path.get(wanted.path)
        if file is None:
            raise SourceError(
                f"The hub lists no {wanted.path}; it has: {', '.join(sorted(by_path))}."
            )
        if wanted.sha256 and file.sha256 not in {None, wanted.sha256}:
            raise SourceError(
                f"The hub lists {wanted.path} with SHA-256 {file.sha256}, models.yaml says "
                f"{wanted.sha256}: it is another file or revision."
            )
        found.append(replace(file, sha256=wanted.sha256 or file.sha256))
    return found if entry.files else list(by_path.values())


def _by_path(listed: Sequence[Wanted]) -> dict[str, Wanted]:
    by_path: dict[str, Wanted] = {}
    for file in listed:
        if not _can_be_held(file.path):
            raise SourceError(f"The hub lists {file.path!r}, which no model's folder can hold.")
        if file.path.partition("/")[0].removesuffix(".partial") in OWN:
            logger.info("%s is not taken: it is a tool's own file, none of the model", file.path)
            continue
        if file.path in by_path:
            raise SourceError(f"The hub lists {file.path!r} twice.")
        by_path[file.path] = _checked(file)
    for path in by_path:
        for folder in PurePosixPath(path).parents:
            if str(folder) in by_path:
                raise SourceError(f"The hub lists {str(folder)!r} as a file and as a folder.")
    return by_path


def _can_be_held(path: object) -> bool:
    if not isinstance(path, str) or "\0" in path:
        return False
    try:
        length = len(path.encode())
    except UnicodeEncodeError:
        return False
    parts = path.split("/")
    return (
        length <= MOST_PATH_BYTES
        and not {"", ".", ".."} & set(parts)
        and all(len(part.encode()) <= MOST_NAME_BYTES for part in parts)
    )


def _checked(file: Wanted) -> Wanted:
    """A file with what is told of it as it should be; hubs differ in how they write nothing."""
    sha256, git_sha1 = file.sha256 or None, file.git_sha1 or None
    if sha256 is not None:
        sha256 = str(sha256).lower()
        if not SHA256.fullmatch(sha256):
            raise SourceError(f"The hub lists {file.path} with {sha256!r} for a SHA-256.")
    # A list may say 0 for what it does not know, and git's digest begins with the size.
    is_sized = isinstance(file.size, int) and file.size > 0
    return Wanted(
        file.path,
        file.size if is_sized else None,
        sha256,
        git_sha1 if is_sized or file.size == 0 else None,
    )
