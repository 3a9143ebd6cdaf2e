"""Scenes for bundles: one whose volume is packed, one whose volume is filled without a network."""

import contextlib
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults.scene import TIMEOUT_S, Finished, How, Scene, scene
from tests.faults.serving import PROJECT
from tests.faults.verdict import KINDS
from volume_bootstrap.bundle.archive import opened
from volume_bootstrap.bundle.manifest import BundleManifest
from volume_bootstrap.errors import BundleError
from volume_bootstrap.packages.resolution import parse_lock, versions_of

ALONE = ("unshare", "--user", "--map-root-user", "--net")
"""What follows has no network, not even loopback."""
CREATE, APPLY = "bundle create", "bundle apply"


@dataclass
class CreateScene(Scene):
    """What is offered is on the volume at once; a run of `bundle create` is to pack it."""

    @property
    def bundle(self) -> Path:
        return self.checkout.root / "bundles" / "tiny.tar"

    @property
    def packed(self) -> Path:
        """The volume that bundles are made of."""
        return self.volume

    def offer_next(self, kinds: Sequence[str] = KINDS) -> None:
        super().offer_next(kinds)
        self._must("setup", "--project", PROJECT, "--volume", str(self.packed))

    def command(self, verb: str, how: How, *options: str) -> list[str]:
        if verb != CREATE:
            return super().command(verb, how, *options)
        tool = [how.python, "-m", "volume_bootstrap", *verb.split(), str(self.bundle)]
        place = ["--project", PROJECT, "--volume", str(self.packed)]
        return [*how.prefix, *tool, *place, *options]

    def run(self, verb: str, how: How | None = None, *options: str) -> Finished:
        """Run it; of a bundle that it says it made, everything is looked at."""
        done = super().run(verb, how, *options)
        if verb != CREATE or done.code:
            return done
        manifest = self._whole()
        versions = set(versions_of(parse_lock(manifest.lock)).values()) if manifest else set()
        left = [path.name for path in self.bundle.parent.iterdir() if path != self.bundle]
        if versions == {self.wanted["packages"]} and not left:
            return done
        return Finished(1, done.output, f"error: the bundle has {versions}; left over: {left}")

    def look(self, how: How | None = None) -> dict[str, Any]:
        """Start a worker; a bundle that has its name is whole, or that is an error, too."""
        seen = super().look(how)
        try:
            self._whole()
        except BundleError as error:
            return {**seen, "error": str(error)}
        return seen

    def _whole(self) -> BundleManifest | None:
        """Read all of the bundle, if it has its name.

        Raises
        ------
        BundleError
            It is not whole.
        """
        if not self.bundle.exists():
            return None
        with opened(self.bundle) as bundle:
            if bundle.damaged(bundle.manifest.contents()):
                raise BundleError(f"{self.bundle} is damaged")
            return bundle.manifest

    def _must(self, *arguments: str) -> None:
        """Run the provisioner, undisturbed."""
        subprocess.run(
            [How().python, "-m", "volume_bootstrap", *arguments],
            cwd=self.checkout.root,
            env=self.environment(),
            check=True,
            capture_output=True,
            timeout=TIMEOUT_S,
        )


@dataclass
class ApplyScene(CreateScene):
    """What is offered is in a bundle; a run of `bundle apply` brings it, without a network."""

    @property
    def packed(self) -> Path:
        return self.checkout.root / "source"

    def offer_next(self, kinds: Sequence[str] = KINDS) -> None:
        super().offer_next(kinds)
        self._must(*self.command(CREATE, How())[3:])

    def command(self, verb: str, how: How, *options: str) -> list[str]:
        if verb != APPLY:
            return super().command(verb, how, *options)
        tool = [how.python, "-m", "volume_bootstrap", *verb.split(), str(self.bundle)]
        return [*how.prefix, *ALONE, *tool, "--volume", str(self.volume), *options]

    def run(self, verb: str, how: How | None = None, *options: str) -> Finished:
        """Run it; one that ends well leaves no wheels on the volume."""
        done = super().run(verb, how, *options)
        if verb == APPLY and not done.code and (self.volume / ".cache" / "bundle").exists():
            return Finished(1, done.output, "error: wheels of the bundle are left over")
        return done


@contextlib.contextmanager
def create_scene(folder: Path) -> Iterator[CreateScene]:
    """Make such a scene in `folder`, gone when the block ends."""
    with scene(folder) as usual:
        yield CreateScene(usual.checkout, usual.index, usual.hub)


@contextlib.contextmanager
def apply_scene(folder: Path) -> Iterator[ApplyScene]:
    """Make such a scene in `folder`, gone when the block ends."""
    with scene(folder) as usual:
        yield ApplyScene(usual.checkout, usual.index, usual.hub)
