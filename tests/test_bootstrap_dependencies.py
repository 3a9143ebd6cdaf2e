import subprocess
import sys
from pathlib import Path

import pytest

from tests.wheels import ROOT, environment, make_wheel, snapshot, use
from volume_bootstrap.dependencies import install
from volume_bootstrap.errors import DependencyError
from volume_bootstrap.layout import Volume, read_generation
from volume_bootstrap.project import DependenciesFile, Project, ProjectFile

ACTIVATE = """
import pathlib, sys
from volume_bootstrap.layout import Volume
from worker.activation import activate
activate(Volume(pathlib.Path(sys.argv[1])), "tiny")
import greeting
print(greeting.version, greeting.__file__)
"""


def tiny(*packages: str, imports: tuple[str, ...] = ("greeting",)) -> Project:
    return Project(
        "tiny",
        ProjectFile(python=["3.11", "3.12"], defaults={}),
        DependenciesFile(packages=list(packages), imports=list(imports)),
        (),
    )


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only place that packages come from."""
    folder = tmp_path / "wheels"
    make_wheel(folder, "greeting", "1.0")
    make_wheel(folder, "greeting", "2.0")
    make_wheel(folder, "farewell", "1.0")
    use(monkeypatch, environment(tmp_path / "empty", PIP_FIND_LINKS=str(folder)))
    return folder


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    """An image without packages."""
    path = tmp_path / "requirements.lock"
    path.write_text("")
    return path


@pytest.fixture
def volume(tmp_path: Path) -> Volume:
    return Volume(tmp_path / "volume")


def names(folder: Path) -> set[str]:
    """Packages that can be imported from a generation."""
    return {path.parent.name for path in folder.glob("*/__init__.py")}


def partials(volume: Volume) -> list[Path]:
    return list(volume.generations.glob("*.partial"))


def test_packages_are_installed_and_recorded(volume, wheels, lock):
    assert install(volume, tiny("greeting==1.0", "farewell"), lock)
    folder = volume.pointer("tiny")
    generation = read_generation(folder / "generation.json")
    assert generation.packages == {"farewell": "1.0", "greeting": "1.0"}
    assert generation.image_packages == {}
    assert generation.imports == ("greeting",)
    assert folder.resolve().name == generation.id
    assert names(folder) == {"greeting", "farewell"}
    assert list(folder.glob("greeting/__pycache__/*.pyc"))
    assert partials(volume) == []


def test_the_packages_of_the_image_constrain_and_are_left_out(volume, wheels, lock):
    make_wheel(wheels, "in-image", "1.0")
    make_wheel(wheels, "in-image", "2.0")
    make_wheel(wheels, "not-needed", "1.0")
    make_wheel(wheels, "app", "1.0", requires=["in_image>=1", "greeting"])
    lock.write_text("in-image==1.0\nnot-needed==1.0\nelsewhere==9 ; sys_platform == 'win32'\n")
    assert install(volume, tiny("app", imports=("app", "greeting")), lock)
    generation = read_generation(volume.pointer("tiny") / "generation.json")
    assert generation.image_packages == {"in-image": "1.0"}
    assert generation.packages == {"app": "1.0", "greeting": "2.0"}
    assert names(volume.pointer("tiny")) == {"app", "greeting"}


def test_a_need_that_the_image_cannot_meet_is_an_error(volume, wheels, lock):
    make_wheel(wheels, "in-image", "1.0")
    make_wheel(wheels, "in-image", "2.0")
    make_wheel(wheels, "app", "1.0", requires=["in-image==2.0"])
    lock.write_text("in-image==1.0\n")
    with pytest.raises(DependencyError, match=r"(?s)project tiny failed.*in-image==2\.0"):
        install(volume, tiny("app", imports=("app",)), lock)


def test_a_second_time_builds_nothing_and_starts_no_uv(volume, wheels, lock, monkeypatch):
    install(volume, tiny("greeting==1.0"), lock)
    before = snapshot(volume.root)
    monkeypatch.setenv("UV_FIND_LINKS", str(wheels / "nowhere"))  # every uv fails on it
    assert not install(volume, tiny("greeting==1.0"), lock)
    assert snapshot(volume.root) == before
    with pytest.raises(DependencyError, match="nowhere"):
        install(volume, tiny("greeting==2.0"), lock)


def test_a_changed_pin_switches_to_a_new_folder(volume, wheels, lock):
    install(volume, tiny("greeting==1.0", "farewell"), lock)
    old = volume.pointer("tiny").resolve()
    before = snapshot(old)
    assert install(volume, tiny("greeting==2.0"), lock)
    new = volume.pointer("tiny").resolve()
    assert new != old
    assert names(new) == {"greeting"}  # farewell is gone
    assert read_generation(new / "generation.json").packages == {"greeting": "2.0"}
    assert snapshot(old) == before
    assert names(old) == {"greeting", "farewell"}


def test_going_back_builds_a_folder_of_its_own(volume, wheels, lock):
    for version in ("1.0", "2.0", "1.0"):
        install(volume, tiny(f"greeting=={version}"), lock)
    built = sorted(path.name for path in volume.generations.iterdir())
    assert sorted(name[-2:] for name in built) == ["-1", "-2", "-3"]
    assert volume.pointer("tiny").resolve().name.endswith("-3")


def test_another_image_builds_anew(volume, wheels, lock):
    install(volume, tiny("greeting==1.0"), lock)
    make_wheel(wheels, "in-image", "1.0")
    lock.write_text("in-image==1.0\n")
    assert install(volume, tiny("greeting==1.0"), lock)


def test_a_damaged_record_builds_anew(volume, wheels, lock):
    install(volume, tiny("greeting==1.0"), lock)
    old = volume.pointer("tiny").resolve()
    record = old / "generation.json"
    record.write_text(record.read_text()[:100])
    assert install(volume, tiny("greeting==1.0"), lock)
    assert volume.pointer("tiny").resolve() != old


@pytest.mark.parametrize(
    ("packages", "imports", "words"),
    [
        (("greeting==2.0", "broken"), ("greeting", "broken"), "ValueError: not today"),
        (("greeting==2.0",), ("greeting", "absent"), "No module named 'absent'"),
        (("greeting==3.0",), ("greeting",), r"greeting==3\.0"),
        (("greeting==2.0", "nowhere-at-all"), ("greeting",), "nowhere-at-all was not found"),
    ],
)
def test_what_fails_leaves_the_active_generation(volume, wheels, lock, packages, imports, words):
    make_wheel(wheels, "broken", "1.0", code="raise ValueError('not today')\n")
    install(volume, tiny("greeting==1.0"), lock)
    pointer = volume.pointer("tiny")
    target, before = pointer.readlink(), snapshot(pointer.resolve())
    with pytest.raises(DependencyError, match=f"(?s)project tiny failed.*{words}"):
        install(volume, tiny(*packages, imports=imports), lock)
    assert pointer.readlink() == target
    assert snapshot(pointer.resolve()) == before

    install(volume, tiny("greeting==2.0"), lock)
    assert partials(volume) == []
    assert read_generation(pointer / "generation.json").packages == {"greeting": "2.0"}


def test_the_import_list_is_not_met_by_the_working_directory(
    volume, wheels, lock, tmp_path, monkeypatch
):
    (tmp_path / "absent.py").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(DependencyError, match="No module named 'absent'"):
        install(volume, tiny("greeting", imports=("absent",)), lock)


def test_a_volume_may_be_mounted_elsewhere(volume, wheels, lock, tmp_path):
    install(volume, tiny("greeting==1.0"), lock)
    assert not volume.pointer("tiny").readlink().is_absolute()
    moved = volume.root.rename(tmp_path / "another mount: point")
    printed = subprocess.run(
        [sys.executable, "-c", ACTIVATE, str(moved)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert printed.startswith(f"1.0 {moved}")
    assert not install(Volume(moved), tiny("greeting==1.0"), lock)
