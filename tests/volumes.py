"""Copies of the provisioned volume, for those who change theirs."""

import shutil
from pathlib import Path

from volume_bootstrap.layout import Volume

VOLUME = Volume(Path(__file__).resolve().parent.parent / "volume")
"""The one that `make test` provisions; not to be changed."""


def copy_volume(root: Path) -> Volume:
    """Copy the models and the manifest of the demo alone; its packages are the same files."""
    own = Volume(root)
    own.generations.mkdir(parents=True)
    active = VOLUME.pointer("demo").resolve()
    (own.generations / active.name).symlink_to(active)
    own.pointer("demo").symlink_to(f".generations/{active.name}")
    others = shutil.ignore_patterns("demo-funasr-*", "*sensevoice-tiny-digits")
    for folder in (".metadata", "models", "samples"):
        shutil.copytree(VOLUME.root / folder, own.root / folder, symlinks=True, ignore=others)
    return own
