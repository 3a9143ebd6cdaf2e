import marshal
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pytest

from tests.index_server import serve
from tests.wheels import ROOT, environment, make_index, make_wheel, snapshot, use
from volume_bootstrap import setup
from volume_bootstrap.errors import DependencyError, ProjectError
from volume_bootstrap.layout import Generation, Volume, read_generation
from volume_bootstrap.packages.building import check
from volume_bootstrap.packages.dependencies import plan
from volume_bootstrap.packages.integrity import damaged_packages
from volume_bootstrap.packages.resolution import read_lock
from volume_bootstrap.project import Project
from volume_bootstrap.project_files import DependenciesFile, Group, ProjectFile

ACTIVATE = """
import pathlib, sys
from volume_bootstrap.layout import Volume
from worker.activation import activate
activate(Volume(pathlib.Path(sys.argv[1])), "tiny")
import greeting
print(greeting.version, greeting.__file__)
"""


def tiny(*packages: str, imports: tuple[str, ...] = ("greeting",)) -> Project:
    return grouped(Group(name="base", packages=list(packages)), imports=imports)


def grouped(
    *groups: Group, imports: tuple[str, ...] = ("greeting",), variants: tuple[str, ...] = ()
) -> Project:
    described = DependenciesFile(
        variants=list(variants), groups=list(groups), imports=list(imports)
    )
    return Project("tiny", ProjectFile(python=["3.11", "3.12"]), described, ())


def install(volume: Volume, project: Project, lock: Path, **options: object) -> bool:
    force = bool(options.get("force"))
    planned = plan(volume, project, image_lock=lock, **options)
    return setup.install(volume, planned, force=force)[1]


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


def active(volume: Volume) -> Generation:
    return read_generation(volume.pointer("tiny") / "generation.json")


def partials(volume: Volume) -> list[Path]:
    return list(volume.generations.glob("*.partial"))


def test_packages_are_installed_and_recorded(volume, wheels, lock):
    assert install(volume, tiny("greeting==1.0", "farewell"), lock)
    folder = volume.pointer("tiny")
    generation = active(volume)
    assert generation.packages == {"farewell": "1.0", "greeting": "1.0"}
    assert generation.image_packages == {}
    assert generation.imports == ("greeting",)
    assert folder.resolve().name == generation.id
    assert names(folder) == {"greeting", "farewell"}
    assert list(folder.glob("greeting/__pycache__/*.pyc"))
    assert partials(volume) == []


def test_the_lock_names_each_file_with_its_hash(volume, wheels, lock):
    install(volume, tiny("greeting==1.0", "farewell"), lock)
    packages = read_lock(volume.pointer("tiny") / "pylock.toml")
    assert [package["name"] for package in packages] == ["farewell", "greeting"]
    for package in packages:
        (wheel,) = package["wheels"]
        assert len(wheel["hashes"]["sha256"]) == 64


def test_files_are_links_into_uvs_cache(volume, wheels, lock):
    install(volume, tiny("greeting==1.0"), lock)
    path = volume.pointer("tiny") / "greeting" / "__init__.py"
    (cached,) = (volume.root / ".cache" / "uv").glob("archive-v*/*/greeting/__init__.py")
    assert path.samefile(cached)


def test_the_packages_of_the_image_constrain_and_are_left_out(volume, wheels, lock):
    make_wheel(wheels, "in-image", "1.0")
    make_wheel(wheels, "in-image", "2.0")
    make_wheel(wheels, "not-needed", "1.0")
    make_wheel(wheels, "app", "1.0", requires=["in_image>=1", "greeting"], code="import in_image")
    lock.write_text("in-image==1.0\nnot-needed==1.0\nelsewhere==9 ; sys_platform == 'win32'\n")
    assert install(volume, tiny("app", imports=("app", "greeting")), lock)
    generation = active(volume)
    assert generation.image_packages == {"in-image": "1.0"}
    assert generation.packages == {"app": "1.0", "greeting": "2.0"}
    assert names(volume.pointer("tiny")) == {"app", "greeting"}


def test_a_need_that_the_image_cannot_meet_is_an_error(volume, wheels, lock):
    make_wheel(wheels, "in-image", "1.0")
    make_wheel(wheels, "in-image", "2.0")
    make_wheel(wheels, "app", "1.0", requires=["in-image==2.0"])
    lock.write_text("in-image==1.0\n")
    with pytest.raises(DependencyError, match=r"(?s)project tiny do not resolve.*in-image==2\.0"):
        install(volume, tiny("app", imports=("app",)), lock)


def test_a_second_time_builds_nothing_and_starts_no_uv(volume, wheels, lock, monkeypatch):
    install(volume, tiny("greeting==1.0"), lock)
    before = snapshot(volume.root)
    monkeypatch.setenv("UV_FIND_LINKS", str(wheels / "nowhere"))  # every uv fails on it
    assert not install(volume, tiny("greeting==1.0"), lock)
    assert snapshot(volume.root) == before
    with pytest.raises(DependencyError, match="nowhere"):
        install(volume, tiny("greeting==2.0"), lock)


def test_a_plan_tells_what_would_change_and_changes_nothing(volume, wheels, lock):
    make_wheel(wheels, "late", "1.0")
    install(volume, tiny("greeting==1.0", "farewell"), lock)
    before = snapshot(volume.generations)
    planned = plan(volume, tiny("greeting==2.0", "late"), image_lock=lock)
    assert [(c.sign, c.name, c.before, c.after) for c in planned.changes] == [
        ("-", "farewell", "1.0", None),
        ("~", "greeting", "1.0", "2.0"),
        ("+", "late", None, "1.0"),
    ]
    assert snapshot(volume.generations) == before
    assert plan(volume, tiny("greeting==1.0", "farewell"), image_lock=lock).changes == []


def test_a_changed_pin_switches_to_a_new_folder(volume, wheels, lock):
    install(volume, tiny("greeting==1.0", "farewell"), lock)
    old = volume.pointer("tiny").resolve()
    before = snapshot(old)
    assert install(volume, tiny("greeting==2.0"), lock)
    new = volume.pointer("tiny").resolve()
    assert new != old
    assert names(new) == {"greeting"}  # farewell is gone
    assert active(volume).packages == {"greeting": "2.0"}
    assert snapshot(old) == before
    assert names(old) == {"greeting", "farewell"}


def test_going_back_switches_to_the_folder_that_is_there(volume, wheels, lock):
    for version in ("1.0", "2.0", "1.0"):
        install(volume, tiny(f"greeting=={version}"), lock)
    assert len(list(volume.generations.iterdir())) == 2
    assert active(volume).packages == {"greeting": "1.0"}


def test_force_builds_another_folder(volume, wheels, lock):
    install(volume, tiny("greeting==1.0"), lock)
    old = volume.pointer("tiny").resolve()
    before = snapshot(old)
    assert install(volume, tiny("greeting==1.0"), lock, force=True)
    assert volume.pointer("tiny").resolve() != old
    assert snapshot(old) == before


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


def test_a_package_that_somebody_removed_is_built_anew(volume, wheels, lock):
    install(volume, tiny("greeting==1.0"), lock)
    old = volume.pointer("tiny").resolve()
    for path in (old / "greeting-1.0.dist-info").iterdir():
        path.unlink()
    (old / "greeting-1.0.dist-info").rmdir()
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
    target, before = pointer.readlink(), snapshot(volume.generations)
    with pytest.raises(DependencyError, match=f"(?s)project tiny .*{words}"):
        install(volume, tiny(*packages, imports=imports), lock)
    assert pointer.readlink() == target
    assert snapshot(volume.generations) == before

    install(volume, tiny("greeting==2.0"), lock)
    assert partials(volume) == []
    assert active(volume).packages == {"greeting": "2.0"}


def test_the_import_list_is_not_met_by_the_working_directory(
    volume, wheels, lock, tmp_path, monkeypatch
):
    (tmp_path / "absent.py").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(DependencyError, match="No module named 'absent'"):
        install(volume, tiny("greeting", imports=("absent",)), lock)


def test_the_import_list_is_not_met_by_what_lies_beside_the_provisioner(volume, wheels, lock):
    assert subprocess.run([sys.executable, "-c", "import rich"], check=False).returncode == 0
    with pytest.raises(DependencyError, match="No module named 'rich'"):
        install(volume, tiny("greeting", imports=("greeting", "rich")), lock)


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


# Bytecode


def test_bytecode_is_linked_where_the_source_is_the_same(volume, wheels, lock):
    install(volume, tiny("greeting==1.0", "farewell"), lock)
    old = volume.pointer("tiny").resolve()
    install(volume, tiny("greeting==2.0", "farewell"), lock)
    new = volume.pointer("tiny").resolve()
    (kept,) = new.glob("farewell/__pycache__/*.pyc")
    assert kept.samefile(old / kept.relative_to(new))
    (fresh,) = new.glob("greeting/__pycache__/*.pyc")
    assert not fresh.samefile(old / fresh.relative_to(new))
    assert "2.0" in str(marshal.loads(fresh.read_bytes()[16:]).co_consts)


def test_bytecode_serves_whatever_the_times_of_the_files(volume, wheels, lock):
    """As on a volume that was copied."""
    install(volume, tiny("greeting==1.0"), lock)
    folder = volume.pointer("tiny").resolve()
    (bytecode,) = folder.glob("greeting/__pycache__/*.pyc")
    flags = int.from_bytes(bytecode.read_bytes()[4:8], "little")
    assert flags == 0b01  # hash-based and unchecked
    os.utime(folder / "greeting" / "__init__.py", (0, 0))
    program = f"import sys; sys.path.insert(0, {str(folder)!r}); import greeting"
    said = subprocess.run(
        [sys.executable, "-v", "-c", program], capture_output=True, text=True, check=True
    ).stderr
    assert f"code object from '{bytecode}'" in said


def test_a_source_that_does_not_compile_is_left_without(volume, wheels, lock):
    make_wheel(wheels, "template", "1.0", members={"template/x.py": b"{{ name }} = 1 +\n"})
    assert install(volume, tiny("greeting==1.0", "template"), lock)
    assert not list(volume.pointer("tiny").glob("template/__pycache__/x.*"))
    assert list(volume.pointer("tiny").glob("template/__pycache__/__init__.*"))


# Groups


@pytest.fixture
def index(tmp_path: Path, wheels: Path) -> str:
    """An index that also has what other places have, in other versions."""
    folder = tmp_path / "index"
    for name, version in (("net", "1.0"), ("greeting", "9.0"), ("needed", "9.0")):
        make_wheel(folder / name, name, version, requires=["needed"] if name == "net" else [])
    make_wheel(wheels, "needed", "1.0")
    make_wheel(wheels, "net", "5.0")
    return make_index(folder)


def test_a_groups_index_serves_the_packages_that_it_names_alone(volume, lock, index):
    """Two indexes with other versions of the same packages."""
    project = grouped(
        Group(name="base", packages=["greeting"]),
        Group(name="net", packages=["net"], index_url=index),
        imports=("greeting", "net", "needed"),
    )
    assert install(volume, project, lock)
    assert active(volume).packages == {"greeting": "2.0", "net": "1.0", "needed": "1.0"}


def test_extra_places_are_looked_at_besides(volume, lock, index, wheels, tmp_path):
    make_wheel(tmp_path / "links", "net", "7.0")
    links = Group(name="net", packages=["net"], find_links=[str(tmp_path / "links")])
    assert install(volume, grouped(links, imports=("net",)), lock)
    assert active(volume).packages["net"] == "7.0"
    extra = Group(name="net", packages=["net"], extra_index_urls=[index])
    assert install(volume, grouped(extra, imports=("net",)), lock)
    assert active(volume).packages["net"] == "5.0"  # the best of all


def test_an_index_may_be_replaced_by_a_variable(volume, lock, index, monkeypatch):
    address = "${NET_INDEX:-file:///nowhere/simple}"
    project = grouped(
        Group(name="net", packages=["net"], index_url=address), imports=("net", "needed")
    )
    with pytest.raises(DependencyError, match="net"):
        install(volume, project, lock)
    monkeypatch.setenv("NET_INDEX", index)
    assert install(volume, project, lock)
    assert active(volume).packages == {"net": "1.0", "needed": "1.0"}


def test_a_mirror_replaces_the_default_index_only(volume, lock, index, wheels, tmp_path):
    make_wheel(tmp_path / "mirror" / "only-there", "only-there", "1.0")
    mirror = make_index(tmp_path / "mirror")
    project = grouped(
        Group(name="base", packages=["only-there", "greeting"]),
        Group(name="net", packages=["net"], index_url=index),
        imports=("only_there",),
    )
    with pytest.raises(DependencyError, match="only-there"):
        plan(volume, project, image_lock=lock)
    planned = plan(volume, project, image_lock=lock, mirror=mirror)
    assert {c.name: c.after for c in planned.changes} == {
        "greeting": "2.0",
        "needed": "1.0",
        "net": "1.0",
        "only-there": "1.0",
    }


def test_declared_needs_that_are_wrong_are_ignored(volume, wheels, lock):
    make_wheel(wheels, "app", "1.0", requires=["does-not-exist>=3"])
    make_wheel(wheels, "other", "1.0", requires=["app"])
    with pytest.raises(DependencyError, match="does-not-exist"):
        install(volume, tiny("app", "greeting==2.0", imports=("app",)), lock)
    project = grouped(
        Group(name="base", packages=["other", "greeting==2.0"]),
        Group(name="alone", packages=["app"], no_deps=True),
        imports=("app", "greeting"),
    )
    assert install(volume, project, lock)
    assert active(volume).packages == {"app": "1.0", "greeting": "2.0", "other": "1.0"}


def test_needs_are_ignored_of_a_package_from_its_own_index_too(volume, lock, index):
    project = grouped(
        Group(name="net", packages=["net"], index_url=index, no_deps=True), imports=("net",)
    )
    assert install(volume, project, lock)
    assert active(volume).packages == {"net": "1.0"}


@pytest.mark.parametrize("last", ["one", "two"])
def test_the_order_of_installing_decides_between_packages_with_the_same_file(
    volume, wheels, lock, last
):
    for name in ("one", "two"):
        members = {"shared/__init__.py": f"owner = {name!r}\n".encode()}
        make_wheel(wheels, name, "1.0", members=members)
    groups = [
        Group(name=name, packages=[name], install_order=1 if name == last else 0)
        for name in ("one", "two")
    ]
    assert install(volume, grouped(*groups, imports=("shared",)), lock)
    shared = volume.pointer("tiny") / "shared" / "__init__.py"
    assert shared.read_text() == f"owner = {last!r}\n"
    # uv's cache keeps each package's own.
    cached = (volume.root / ".cache" / "uv").glob("archive-v*/*/shared/__init__.py")
    assert sorted(p.read_text() for p in cached) == ["owner = 'one'\n", "owner = 'two'\n"]


def test_markers_choose_for_this_machine(volume, wheels, lock):
    project = tiny(
        "greeting==1.0 ; sys_platform == 'linux'", "greeting==2.0 ; sys_platform != 'linux'"
    )
    assert install(volume, project, lock)
    assert active(volume).packages == {"greeting": "1.0"}


def test_variants(volume, wheels, lock):
    project = grouped(
        Group(name="base", packages=["farewell"]),
        Group(name="greeting", variants=["new"], packages=["greeting==2.0"]),
        Group(name="greeting", variants=["old"], packages=["greeting==1.0"]),
        variants=("new", "old"),
    )
    assert install(volume, project, lock)
    assert (active(volume).variant, active(volume).packages["greeting"]) == ("new", "2.0")
    assert install(volume, project, lock, variant="old")
    assert (active(volume).variant, active(volume).packages["greeting"]) == ("old", "1.0")
    # What the volume has is what an unnamed variant means.
    assert not install(volume, project, lock)
    with pytest.raises(ProjectError, match="has no variant 'odd'; it has: new, old"):
        plan(volume, project, image_lock=lock, variant="odd")


@pytest.mark.parametrize(
    ("needs", "words"),
    [
        (["nvidia-cudnn-cu12==1", "nvidia-cudnn-cu13==1"], "CUDA 12: nvidia-cudnn-cu12"),
        (["nvidia-cudnn-cu12==1", "nvidia-cuda-runtime==13.0.1"], "CUDA 13: nvidia-cuda-runtime"),
    ],
)
def test_two_releases_of_cuda_are_refused(volume, wheels, lock, needs, words):
    for need in needs:
        make_wheel(wheels, *need.split("=="))
    make_wheel(wheels, "torch", "1.0", requires=needs[:1])
    make_wheel(wheels, "onnxruntime-gpu", "1.0", requires=needs[1:])
    with pytest.raises(DependencyError, match=f"more than one CUDA release.*{words}"):
        plan(volume, tiny("torch", "onnxruntime-gpu"), image_lock=lock)


def test_libraries_that_bear_their_release_stand_beside_another(volume, wheels, lock):
    make_wheel(wheels, "nvidia-cublas-cu12", "1")
    make_wheel(wheels, "nvidia-cuda-runtime", "13.0.1")
    project = tiny("nvidia-cublas-cu12", "nvidia-cuda-runtime")
    assert plan(volume, project, image_lock=lock).resolved.versions.keys() == {
        "nvidia-cublas-cu12",
        "nvidia-cuda-runtime",
    }


def test_a_package_from_an_address_is_installed(volume, wheels, lock):
    (wheel,) = wheels.glob("greeting-2.0*")
    assert install(volume, tiny(f"greeting @ {wheel.as_uri()}"), lock)
    assert active(volume).packages == {"greeting": "2.0"}
    assert not install(volume, tiny(f"greeting @ {wheel.as_uri()}"), lock)


def test_a_file_that_changed_since_it_was_resolved_is_refused(volume, wheels, lock):
    planned = plan(volume, tiny("greeting==1.0"), image_lock=lock)
    (wheel,) = wheels.glob("greeting-1.0*")
    with zipfile.ZipFile(wheel, "a") as changed:
        changed.writestr("greeting/evil.py", "")
    with pytest.raises(DependencyError, match=r"(?s)Hash mismatch.*serves what it served"):
        setup.install(volume, planned, force=False)
    assert not volume.pointer("tiny").exists()
    assert partials(volume) == []


# Checks


def test_a_check_imports_anew(volume, wheels, lock):
    install(volume, tiny("greeting==1.0"), lock)
    check(volume, active(volume))
    # A copy with the damage, as a file of a generation is a link into uv's cache.
    path = volume.pointer("tiny") / "greeting" / "__init__.py"
    (path.parent / "new").write_text("raise RuntimeError('gone bad')\n")
    (path.parent / "new").rename(path)
    for bytecode in path.parent.glob("__pycache__/*"):
        bytecode.unlink()
    with pytest.raises(DependencyError, match=r"(?s)fails its check.*gone bad.*--force"):
        check(volume, active(volume))


def test_a_volume_without_hard_links_into_the_cache_is_told_and_served(
    volume, wheels, lock, tmp_path, caplog
):
    """The cache lies on another file system, where no link can reach."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as elsewhere:
        assert Path(elsewhere).stat().st_dev != tmp_path.stat().st_dev
        volume.root.mkdir()
        (volume.root / ".cache").symlink_to(elsewhere)
        assert install(volume, tiny("greeting==1.0"), lock)
    assert "Failed to hardlink files; falling back to full copy" in caplog.text
    assert (volume.pointer("tiny") / "greeting" / "__init__.py").stat().st_nlink == 1


# Damage


def write_into(path: Path, text: str) -> None:
    """Write in place: a file of a generation is the same one as in uv's cache."""
    with path.open("w") as file:
        file.write(text)


def test_damage_in_uvs_cache_does_not_come_back(volume, wheels, lock, caplog):
    install(volume, tiny("greeting==1.0"), lock)
    source = volume.pointer("tiny") / "greeting" / "__init__.py"
    write_into(source, "version = '0.0'\n")
    assert install(volume, tiny("greeting==1.0"), lock, force=True)
    assert "uv's cache is damaged; fetching greeting anew" in caplog.text
    assert (
        (volume.pointer("tiny") / "greeting" / "__init__.py")
        .read_text()
        .startswith("version = '1.0'")
    )


def test_a_wheel_whose_record_is_wrong_is_told_when_asked(volume, wheels, lock):
    path = make_wheel(wheels, "odd", "1.0")
    with zipfile.ZipFile(path) as wheel:
        contents = {name: wheel.read(name) for name in wheel.namelist()}
    with zipfile.ZipFile(path, "w") as wheel:
        for name, content in contents.items():
            wheel.writestr(name, b"odd = 1\n" if name == "odd/__init__.py" else content)
    with pytest.raises(DependencyError, match=r"odd/__init__\.py is not what odd says"):
        install(volume, tiny("odd", imports=("odd",)), lock, force=True)


def test_damaged_bytecode_is_named_and_built_anew(volume, wheels, lock):
    install(volume, tiny("greeting==1.0"), lock)
    folder = volume.pointer("tiny").resolve()
    (bytecode,) = folder.glob("greeting/__pycache__/*.pyc")
    write_into(bytecode, "")
    (damage,) = damaged_packages(folder, active(volume), quick=False)
    assert damage.path == bytecode
    assert install(volume, tiny("greeting==1.0"), lock, force=True)
    assert not damaged_packages(volume.pointer("tiny").resolve(), active(volume), quick=False)


def test_a_wheel_that_brings_bytecode_gets_its_own(volume, wheels, lock):
    members = {"withpyc/__pycache__/__init__.cpython-311.pyc": b"no bytecode at all"}
    make_wheel(wheels, "withpyc", "1.0", members=members)
    for version in ("1.0", "2.0"):
        project = tiny("withpyc", f"greeting=={version}", imports=("withpyc",))
        assert install(volume, project, lock)
        folder = volume.pointer("tiny").resolve()
        assert not damaged_packages(folder, active(volume), quick=False)


# Private places


def test_extras_of_a_package_with_its_own_index_count(volume, lock, wheels, tmp_path):
    make_wheel(wheels, "more", "1.0")
    folder = tmp_path / "own" / "net"
    make_wheel(folder, "net", "1.0", requires=["more ; extra == 'all'"], extras=["all"])
    own = make_index(tmp_path / "own")
    project = grouped(Group(name="n", packages=["net[all]"], index_url=own), imports=("net",))
    assert install(volume, project, lock)
    assert active(volume).packages == {"more": "1.0", "net": "1.0"}


@pytest.mark.parametrize("place", ["index_url", "extra_index_urls"])
def test_a_private_index_is_asked_with_its_credentials_which_stay_here(
    volume, wheels, lock, tmp_path, monkeypatch, place
):
    make_wheel(tmp_path / "private", "secret", "1.0", requires=["greeting"])
    monkeypatch.setenv("UV_OFFLINE", "0")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serve(tmp_path / "private") as index:
        index.misbehave(credentials="someone:pass-word")
        url = index.url.replace("://", "://someone:pass-word@")
        group = Group.model_validate(
            {"name": "n", "packages": ["secret"], place: url if place == "index_url" else [url]}
        )
        assert install(volume, grouped(group, imports=("secret",)), lock)
        assert active(volume).packages == {"greeting": "2.0", "secret": "1.0"}
        folder = volume.pointer("tiny").resolve()
        for path in (folder / "pylock.toml", folder / "generation.json"):
            assert "pass-word" not in path.read_text()
        index.misbehave(credentials="someone:else")
        with pytest.raises(DependencyError) as error:
            install(volume, grouped(group, imports=("secret",)), lock, force=True)
        assert "pass-word" not in str(error.value)


def test_nothing_but_links_is_asked_where_pip_is_told_so(
    volume, wheels, lock, monkeypatch, tmp_path
):
    make_wheel(tmp_path / "index" / "only-there", "only-there", "1.0")
    monkeypatch.setenv("PIP_INDEX_URL", make_index(tmp_path / "index"))
    assert plan(volume, tiny("only-there"), image_lock=lock).changes
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(DependencyError, match="only-there was not found"):
        plan(volume, tiny("only-there"), image_lock=lock)
    assert install(volume, tiny("greeting==1.0"), lock)


def test_what_was_published_a_moment_ago_is_found(volume, lock, wheels, tmp_path, monkeypatch):
    """Although an index's pages count as fresh for some minutes."""
    make_wheel(tmp_path / "served", "young", "1.0")
    volume.root.mkdir()
    monkeypatch.setenv("UV_OFFLINE", "0")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serve(tmp_path / "served") as index:
        monkeypatch.setenv("PIP_INDEX_URL", index.url)
        assert install(volume, tiny("young==1.0", imports=("young",)), lock)
        before = index.requests()
        assert install(volume, tiny("young==1.0", imports=()), lock)
        assert index.requests() == before
        make_wheel(tmp_path / "served", "young", "2.0")
        assert install(volume, tiny("young==2.0", imports=("young",)), lock)
        assert active(volume).packages == {"young": "2.0"}


def test_damaged_digests_of_bytecode_are_damage(volume, wheels, lock):
    install(volume, tiny("greeting==1.0"), lock)
    folder = volume.pointer("tiny").resolve()
    write_into(folder / "bytecode.sha256", "no digest  greeting/x.pyc\n")
    (damage,) = damaged_packages(folder, active(volume), quick=False)
    assert damage.path == folder / "bytecode.sha256"
