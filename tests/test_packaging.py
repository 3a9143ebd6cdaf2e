"""``pip install .``: what the package holds, and that it is typed."""

import subprocess
import sys
import tomllib
import venv
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = [name for name in ("client", "volume_bootstrap", "worker") if (ROOT / name).is_dir()]


def tracked(folder: str) -> set[str]:
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", folder]
    listed = subprocess.run(command, check=True, cwd=ROOT, capture_output=True)
    return set(listed.stdout.decode().split("\0")[:-1])


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir"]
    subprocess.run([*command, folder, ROOT], check=True, timeout=300)
    (wheel,) = folder.glob("*.whl")
    return wheel


def test_the_wheel_holds_the_packages_with_all_their_files(wheel):
    held = {n for n in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in n}
    assert held == set().union(*(tracked(package) for package in PACKAGES))
    assert {f"{package}/py.typed" for package in PACKAGES} <= held
    assert PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"] == [
        "client", "volume_bootstrap", "worker",
    ]  # fmt: skip


def test_the_wheel_says_what_the_project_says(wheel):
    archive = zipfile.ZipFile(wheel)
    (name,) = [n for n in archive.namelist() if n.endswith(".dist-info/METADATA")]
    metadata = message_from_bytes(archive.read(name))
    assert metadata["Version"] == PROJECT["project"]["version"]
    folder = name.removesuffix("METADATA")
    for file in ("LICENSE", "THIRD_PARTY_LICENSES"):
        assert archive.read(f"{folder}licenses/{file}") == (ROOT / file).read_bytes()
    pins = (ROOT / "requirements.txt").read_text().split()
    needs = metadata.get_all("Requires-Dist")
    assert sorted(f"{pin}; extra == 'worker'" for pin in pins) == sorted(
        line for line in needs if "extra == 'worker'" in line
    )
    assert not [line for line in needs if "extra ==" not in line]


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """The interpreter of an environment that has the package alone."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, symlinks=True)
    (packages,) = folder.glob("lib/*/site-packages")
    zipfile.ZipFile(wheel).extractall(packages)
    return folder / "bin" / "python"


def mypy(installed: Path, folder: Path, program: str) -> subprocess.CompletedProcess[str]:
    # A folder without settings: mypy sees what somebody sees who installed the package.
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", folder / "cache"]
    return subprocess.run(
        [*command, "--python-executable", installed, "-c", program],
        check=False,
        cwd=folder,
        capture_output=True,
        text=True,
    )


def test_a_user_gets_the_types(installed, tmp_path):
    program = "from worker.errors import WorkerError\nx: int = WorkerError('no').reply\n"
    done = mypy(installed, tmp_path, program)
    assert 'expression has type "str", variable has type "int"' in done.stdout
    assert "Found 1 error" in done.stdout


def test_without_the_mark_there_are_none(installed, tmp_path):
    (mark,) = installed.parent.parent.glob("lib/*/site-packages/worker/py.typed")
    mark.unlink()
    try:
        done = mypy(installed, tmp_path, "from worker.errors import WorkerError\n")
    finally:
        mark.touch()
    assert "py.typed marker" in done.stdout


def test_what_needs_nothing_runs_on_nothing(installed, tmp_path):
    program = "from volume_bootstrap.layout import Volume; print(Volume('/v').models)"
    command = [installed, "-I", "-c", program.replace("'/v'", "__import__('pathlib').Path('/v')")]
    done = subprocess.run(command, check=True, cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "/v/models\n"
