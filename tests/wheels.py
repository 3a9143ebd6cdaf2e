"""Tiny wheels in a folder of their own, and checkouts whose provisioner finds nothing else."""

import base64
import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent


def make_wheel(
    folder: Path,
    name: str,
    version: str,
    *,
    requires: Sequence[str] = (),
    extras: Sequence[str] = (),
    code: str = "",
    members: Mapping[str, bytes] | None = None,
) -> Path:
    """Write a wheel with one package in it, whose ``__init__`` is the version and `code`."""
    package = name.replace("-", "_")
    info = f"{package}-{version}.dist-info"
    needs = "".join(f"Provides-Extra: {extra}\n" for extra in extras)
    needs += "".join(f"Requires-Dist: {requirement}\n" for requirement in requires)
    contents = {
        f"{package}/__init__.py": f"version = {version!r}\n{code}",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        **(members or {}),
    }
    lines = [_recorded(path, content) for path, content in contents.items()]
    contents[f"{info}/RECORD"] = "".join([*lines, f"{info}/RECORD,,\n"])
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{package}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for member, content in contents.items():
            wheel.writestr(member, content)
    return path


def _recorded(path: str, content: str | bytes) -> str:
    data = content.encode() if isinstance(content, str) else content
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    return f"{path},sha256={digest},{len(data)}\n"


def make_index(folder: Path) -> str:
    """Turn folders of wheels, one a project, into a simple index; return its URL."""
    folder.mkdir(parents=True, exist_ok=True)
    for project in folder.iterdir():
        links = "".join(f'<a href="{w.name}">{w.name}</a>\n' for w in project.glob("*.whl"))
        (project / "index.html").write_text(links)
    return folder.as_uri()


def environment(empty: Path, **variables: str) -> dict[str, str]:
    """This process's environment with packages from nowhere but what `variables` name."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "UV_"))}
    return {
        **kept,
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_INDEX_URL": make_index(empty),
        # No configuration of this machine's user.
        "XDG_CONFIG_HOME": str(empty),
        "XDG_CONFIG_DIRS": str(empty),
        "UV_OFFLINE": "1",
        **variables,
    }


def use(monkeypatch: pytest.MonkeyPatch, variables: Mapping[str, str]) -> None:
    """Make `variables` this process's whole environment."""
    for name in set(os.environ) - set(variables):
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


@dataclass(frozen=True)
class Checkout:
    """A copy of the provisioner with one project, ``tiny``, and a folder of wheels."""

    root: Path

    @property
    def wheels(self) -> Path:
        return self.root / "wheels"

    @property
    def volume(self) -> Path:
        return self.root / "volume"

    @property
    def pointer(self) -> Path:
        python = f"py{sys.version_info.major}.{sys.version_info.minor}"
        return self.volume / "python-deps" / python / "tiny"

    def describe(
        self, packages: list[str], imports: list[str], models: Sequence[object] = ()
    ) -> None:
        """Write the project's three files, with one group of packages."""
        folder = self.root / "projects" / "tiny"
        folder.mkdir(parents=True, exist_ok=True)
        contents = {
            "project": {"python": ["3.11", "3.12"], "defaults": {}, "samples": ["sample.wav"]},
            "dependencies": {
                "groups": [{"name": "base", "packages": packages}],
                "imports": imports,
            },
            "models": {"models": list(models)},
        }
        for name, content in contents.items():
            (folder / f"{name}.yaml").write_text(yaml.safe_dump(content))

    def environment(self, **variables: str) -> dict[str, str]:
        return environment(self.root / "empty", **{"PIP_FIND_LINKS": str(self.wheels), **variables})

    def command(self, *options: str) -> list[str]:
        options = options or ("--volume", str(self.volume))
        return [sys.executable, "-m", "volume_bootstrap", "setup", "--project", "tiny", *options]

    def setup(self, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run ``python -m volume_bootstrap setup`` to its end."""
        return self.run(*self.command(*options)[3:], **variables)

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run ``python -m volume_bootstrap`` to its end."""
        return subprocess.run(
            [sys.executable, "-m", "volume_bootstrap", *arguments],
            cwd=self.root,
            env=self.environment(**variables),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )


def make_checkout(root: Path) -> Checkout:
    """Copy the provisioner and give it a project of one package, ``greeting`` 1.0."""
    checkout = Checkout(root)
    checkout.wheels.mkdir(parents=True)
    shutil.copytree(
        ROOT / "volume_bootstrap",
        root / "volume_bootstrap",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    (root / "requirements.lock").write_text("")
    (root / "sample.wav").write_bytes(b"RIFF")
    make_wheel(checkout.wheels, "greeting", "1.0")
    checkout.describe(["greeting==1.0"], ["greeting"])
    return checkout


def snapshot(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Every path below `folder` with its inode, size and time of change.

    A folder's time is left out: the lock comes and goes in one.
    """
    return {
        str(path.relative_to(folder)): (
            stat.st_ino,
            stat.st_size,
            0 if path.is_dir() else stat.st_mtime_ns,
        )
        for path in sorted(folder.rglob("*"))
        for stat in [path.lstat()]
    }
