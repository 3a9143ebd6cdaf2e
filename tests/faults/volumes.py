"""Volumes that are full, read-only or damaged, and machines that lack what a run needs."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import uv

from tests.faults import namespaces
from tests.faults.cases import Case, Fault
from tests.faults.scene import How, Scene
from volume_bootstrap.layout import Volume

DISK_MB = 40


def _full_disk(free_bytes: int) -> Callable[[Scene], AbstractContextManager[Fault]]:
    """A small file system that holds a whole volume and has so many bytes left."""

    @contextlib.contextmanager
    def make(scene: Scene) -> Iterator[Fault]:
        with namespaces.small_disk(scene.volume, DISK_MB) as prefix:
            how = How(prefix)
            filled = scene.run("setup", how)
            if filled.code:
                raise RuntimeError(f"a disk of {DISK_MB} MB is too small: {filled.log}")
            ballast = str(scene.volume / "ballast")
            program = (
                "import os, sys; stat = os.statvfs(sys.argv[1]);"
                "size = stat.f_bavail * stat.f_bsize - int(sys.argv[3]);"
                "os.posix_fallocate(os.open(sys.argv[2], os.O_CREAT | os.O_WRONLY), 0, size)"
            )
            arguments = [str(scene.volume), ballast, str(free_bytes)]
            subprocess.run([*prefix, sys.executable, "-c", program, *arguments], check=True)
            yield Fault(how, lambda: subprocess.run([*prefix, "rm", ballast], check=True))

    return make


@contextlib.contextmanager
def _read_only(scene: Scene) -> Iterator[Fault]:
    with namespaces.read_only(scene.volume) as prefix:
        again = [*prefix, "mount", "-o", "remount,rw,bind", str(scene.volume)]
        yield Fault(How(prefix), lambda: subprocess.run(again, check=True))


def _damaged(
    find: Callable[[Volume], Path], damage: Callable[[str], str]
) -> Callable[[Scene], AbstractContextManager[Fault]]:
    @contextlib.contextmanager
    def make(scene: Scene) -> Iterator[Fault]:
        path = find(Volume(scene.volume))
        text = damage(path.read_text(encoding="utf-8"))
        # A new file: what is there may be a link that another generation shares.
        path.unlink()
        path.write_text(text, encoding="utf-8")
        yield Fault()

    return make


def _manifest(volume: Volume) -> Path:
    return volume.manifest("tiny")


def _generation(volume: Volume) -> Path:
    return volume.pointer("tiny").resolve() / "generation.json"


def _half(text: str) -> str:
    return text[: len(text) // 2]


def _wrong_types(text: str) -> str:
    """Numbers for texts, texts for lists, but for the format."""
    wrong = {str: 7, list: "seven", dict: ["seven"], int: "7"}
    record = json.loads(text)
    return json.dumps({k: v if k == "format" else wrong.get(type(v), 7) for k, v in record.items()})


@contextlib.contextmanager
def _no_uv(scene: Scene) -> Iterator[Fault]:
    """An interpreter with all that the provisioner imports but uv, and no uv on PATH either."""
    if found := shutil.which("uv", path=os.defpath):
        raise RuntimeError(f"{found} is there on every PATH: the absence of uv cannot be tried")
    folder = scene.checkout.root / "without-uv"
    venv.create(folder)
    python = folder / "bin" / "python"
    packages = Path(sysconfig.get_path("purelib"))
    own = folder / packages.relative_to(sys.prefix)
    for path in packages.iterdir():
        if not path.name.startswith(("uv-", "uv.", "pip")) and path.name != "uv":
            (own / path.name).symlink_to(path)
    how = How(python=str(python), variables={"PATH": f"{python.parent}:{os.defpath}"})
    yield Fault(how, lambda: (python.parent / "uv").symlink_to(uv.find_uv_bin()))
    shutil.rmtree(folder)


CASES = [
    Case("disk is full: no room for packages", _full_disk(300_000), 1, "space"),
    Case("disk is full: no room for the model", _full_disk(7_000_000), 1, "space"),
    Case("volume is read-only", _read_only, 1, "Read-only"),
    Case("manifest is cut in half", _damaged(_manifest, _half), 0, damages=True),
    Case("manifest has wrong types", _damaged(_manifest, _wrong_types), 0, damages=True),
    Case("generation.json is cut in half", _damaged(_generation, _half), 0, damages=True),
    Case("generation.json has wrong types", _damaged(_generation, _wrong_types), 0, damages=True),
    Case("uv is missing", _no_uv, 1, "uv is not installed"),
]
