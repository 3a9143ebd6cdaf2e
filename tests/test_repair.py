"""Real wheels of old modelscope releases; each folder's files are links into a cache of uv."""

import base64
import csv
import hashlib
import os
import py_compile
import subprocess
import sys
from pathlib import Path

import pytest

from volume_bootstrap.layout import Volume
from volume_bootstrap.packages.repair import RELEASED, VERSION_FILE, repair_modelscope
from volume_bootstrap.packages.uv_tool import find_uv

OLD, MENDED = "1.15.0", "1.16.1"
NEEDS = (
    "addict==2.4.0",
    "gast==0.6.0",  # the error is with 0.5.5 and 0.6
    "pandas==3.1.1",
    "platformdirs==4.14.5",
    "simplejson==4.3.0",
    "sortedcontainers==2.4.0",
    "yapf==0.43.0",
)
LOAD_INDEX = """
import sys
sys.path[:0] = sys.argv[1:]
from modelscope.utils.ast_utils import load_index
print(len(load_index()["index"]))
"""
AHEAD = "2099-09-06 00:00:00"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of uv on the file system of the folders, for it to link."""
    return tmp_path_factory.mktemp("uv")


@pytest.fixture
def own(tmp_path: Path) -> Volume:
    return Volume(tmp_path / "volume")


def build(volume: Volume, version: str, cache: Path) -> Path:
    """A generation with nothing but modelscope."""
    folder = volume.generations / "0-1"
    pin, target = f"modelscope=={version}", ("--target", str(folder), "--no-deps")
    find_uv(cache)("install", pin, *target, "--link-mode", "hardlink")
    assert (folder / VERSION_FILE).stat().st_nlink > 1
    return folder


def load_index(folder: Path, volume: Volume, *beside: Path) -> subprocess.CompletedProcess[str]:
    """Look the package's classes up, as each import of a pipeline does."""
    return subprocess.run(
        [sys.executable, "-I", "-c", LOAD_INDEX, str(folder), *map(str, beside)],
        env={**os.environ, "MODELSCOPE_CACHE": str(volume.models)},
        capture_output=True,
        text=True,
        check=False,
    )


def content(folder: Path) -> dict[Path, tuple[int, bytes]]:
    """Inode and bytes of each file below a folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path: (path.stat().st_ino, path.read_bytes()) for path in files}


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="3.12 knows the field that 3.11 lacks")
def test_a_stale_index_breaks_the_import_and_the_repair_mends_it(
    own: Volume, volume: Volume, cache: Path, tmp_path: Path
) -> None:
    folder, needs = build(own, OLD, cache), tmp_path / "needs"
    find_uv()("install", *NEEDS, "--target", str(needs), "--no-deps")
    beside = needs, volume.pointer("demo").resolve()
    first = load_index(folder, own, *beside)
    assert first.returncode == 0, first.stderr
    assert (own.models / "ast_indexer").is_file()

    changed = folder / "modelscope" / "models" / "base" / "base_model.py"
    os.utime(changed, (0, 0))  # as another installation into the same folder leaves it
    broken = load_index(folder, own, *beside)
    assert broken.returncode != 0
    assert "'ClassDef' object has no attribute 'type_params'" in broken.stderr

    assert repair_modelscope(folder, own.models)
    mended = load_index(folder, own, *beside)
    assert mended.returncode == 0, mended.stderr
    assert mended.stdout == first.stdout


def test_a_build_from_source_is_dated_and_the_cache_keeps_its_file(
    own: Volume, cache: Path, tmp_path: Path
) -> None:
    folder, archived = build(own, OLD, cache), tmp_path / "archived.py"
    path = folder / VERSION_FILE
    archived.write_text(path.read_text().replace("'2024-06-05 00:00:00'", f"'{AHEAD}'"))
    source = archived.read_text()
    assert AHEAD in source
    path.unlink()
    path.hardlink_to(archived)
    compiled = Path(py_compile.compile(str(path), doraise=True) or "")
    before = content(folder)

    assert repair_modelscope(folder, own.models)
    assert archived.read_text() == source
    assert path.read_text() == source.replace(AHEAD, RELEASED)
    assert not compiled.exists()
    record = next(folder.glob("modelscope-*.dist-info/RECORD"))
    digest = base64.urlsafe_b64encode(hashlib.sha256(path.read_bytes()).digest())
    with record.open(newline="") as file:
        rows = {row[0]: row[1:] for row in csv.reader(file)}
    assert rows[VERSION_FILE] == [
        f"sha256={digest.decode().rstrip('=')}",
        str(path.stat().st_size),
    ]
    after = content(folder)
    assert {p for p, state in before.items() if after.get(p) != state} == {path, record, compiled}
    assert len(rows) == before[record][1].count(b"\n")
    assert not repair_modelscope(folder, own.models)


@pytest.mark.parametrize("version", [OLD, MENDED])
def test_a_release_is_left_as_it_is(own: Volume, cache: Path, version: str) -> None:
    folder = build(own, version, cache)
    before = content(folder)
    assert not repair_modelscope(folder, own.models)
    assert content(folder) == before


def test_an_index_of_a_mended_release_stays(own: Volume, cache: Path) -> None:
    folder = build(own, MENDED, cache)
    own.models.mkdir(parents=True)
    (own.models / "ast_indexer").write_text("{}")
    assert not repair_modelscope(folder, own.models)
    assert (own.models / "ast_indexer").read_text() == "{}"


def test_the_index_is_looked_for_where_the_models_are(
    own: Volume, cache: Path, tmp_path: Path
) -> None:
    folder, elsewhere = build(own, OLD, cache), tmp_path / "models"
    elsewhere.mkdir()
    index = elsewhere / "ast_indexer"
    index.write_text("{}")
    assert repair_modelscope(folder, elsewhere)
    assert not index.exists()
    index.mkdir()
    assert not repair_modelscope(folder, elsewhere)


def test_a_generation_without_modelscope(own: Volume) -> None:
    own.generations.joinpath("0-1").mkdir(parents=True)
    assert not repair_modelscope(own.generations / "0-1", own.models)
