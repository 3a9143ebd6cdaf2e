"""A tiny project on a volume, its bundle, and bundles that say something else."""

import hashlib
import json
import shutil
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.wheels import ROOT, Checkout, make_checkout, use
from volume_bootstrap.bundle import archive
from volume_bootstrap.bundle.applying import apply
from volume_bootstrap.bundle.archive import opened
from volume_bootstrap.bundle.creating import create
from volume_bootstrap.bundle.manifest import BundleManifest
from volume_bootstrap.bundle.wheels import Target
from volume_bootstrap.layout import Volume, running_python
from volume_bootstrap.packages.dependencies import plan
from volume_bootstrap.project import Project, read_project
from volume_bootstrap.setup import Outcome, set_up

WEIGHTS = "projects/demo/models/speech_fsmn_vad_zh-cn-16k-common-pytorch"
MODEL = {
    "alias": "vad",
    "id": "tests/vad",
    "task": "vad",
    "licence": "Apache-2.0",
    "files": [{"path": "config.yaml"}, {"path": "am.mvn"}],
    "sources": [{"kind": "bundled", "path": WEIGHTS}],
}
SAMPLE = "tests/data/sample.wav"


@dataclass(frozen=True)
class Tiny:
    """A project of one package and one model, the volume it is on, and where its wheels are."""

    checkout: Checkout

    @property
    def volume(self) -> Volume:
        return Volume(self.checkout.volume)

    @property
    def project(self) -> Project:
        return self.described(running_python())

    def described(self, python: str) -> Project:
        return read_project("tiny", python, self.checkout.root)

    def ask(self, *packages: str, imports: tuple[str, ...] = ("greeting",)) -> None:
        """Let the project ask for packages."""
        self.checkout.describe(list(packages), list(imports), [MODEL])
        sample = self.checkout.root / SAMPLE
        sample.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / SAMPLE, sample)
        path = self.checkout.root / "projects" / "tiny" / "project.yaml"
        path.write_text(path.read_text().replace("sample.wav", SAMPLE))

    def set_up(self) -> Outcome:
        """Fill the volume."""
        return set_up(self.volume, plan(self.volume, self.project), force=False)

    def bundle(self, path: Path, python: str = "", platform: str | None = None) -> BundleManifest:
        """Create a bundle."""
        python = python or running_python()
        return create(self.volume, self.described(python), Target(python, platform, None), path)


@contextmanager
def tiny(folder: Path) -> Iterator[Tiny]:
    """Describe the project; until the block ends packages come from its wheels alone."""
    made = Tiny(make_checkout(folder / "checkout"))
    with pytest.MonkeyPatch.context() as patch:
        use(patch, made.checkout.environment())
        shutil.copytree(ROOT / WEIGHTS, made.checkout.root / WEIGHTS)
        made.ask("greeting==1.0")
        yield made


def applied(path: Path, volume: Volume, *, force: bool = False) -> Outcome:
    """Apply a bundle."""
    with opened(path) as bundle:
        return apply(volume, bundle, force=force)


def changed(path: Path, target: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """Copy a bundle whose manifest says something else, and is right in form for what it says.

    Contents stay what they are, one after another.
    """
    with tarfile.open(path) as tar:
        read = {name: tar.extractfile(name).read() for name in tar.getnames()}  # type: ignore[union-attr]
    manifest = json.loads(read[archive.MANIFEST])
    change(manifest)
    described = json.dumps(manifest).encode()
    digest = f"{hashlib.sha256(described).hexdigest()}  {archive.MANIFEST}\n".encode()
    contents = {**read, archive.MANIFEST: described, archive.DIGEST: digest}
    with target.open("wb") as file:
        for name, content in contents.items():
            file.write(archive.header(name, len(content)) + content)
            file.write(bytes(archive.padding(len(content))))
        file.write(archive.END)
    return target


def flipped(path: Path, target: Path, offset: int) -> Path:
    """Copy a bundle with one bit turned over."""
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    target.write_bytes(content)
    return target
