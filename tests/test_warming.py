"""Imports from the bundle of a generation: the same modules, without a look at the volume."""

import json
import os
import py_compile
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import VOLUME
from tests.test_bootstrap_dependencies import active, install, lock, tiny, volume, wheels
from tests.wheels import ROOT, make_wheel
from volume_bootstrap import import_bundle
from volume_bootstrap.import_bundle import IDENTITY
from volume_bootstrap.packages.integrity import damaged_packages

__all__ = ["lock", "volume", "wheels"]  # fixtures

CODE = """
import greeting.words
from greeting.words import word
"""
MEMBERS = {
    "greeting/words.py": b"def word():\n    raise ValueError('said')\n",
    "greeting/unused.py": b"",
    "greeting/letter.txt": b"dear",
    "other/__init__.py": b"import sys; sys.modules['alias'] = sys.modules['greeting']\n",
}
IMPORT = """
import importlib, pathlib, sys
from volume_bootstrap.layout import Volume
from worker.activation import activate
activate(Volume(pathlib.Path(sys.argv[1])), "tiny")
"""
OPENS = (
    IMPORT
    + """
opened = []
EVENTS = {"open", "os.listdir", "os.scandir"}
sys.addaudithook(lambda event, args: event in EVENTS and opened.append(str(args[0])))
import greeting
print([path for path in opened if "generations" in path])
"""
)
LOOKS = (
    IMPORT
    + """
import importlib.resources, inspect, traceback
import greeting, greeting.unused
print(*(type(m.__spec__.loader).__name__ for m in (greeting, greeting.unused)))
print(greeting.__file__, greeting.__path__, greeting.words.__cached__)
print(importlib.resources.files("greeting").joinpath("letter.txt").read_text())
print(inspect.getsource(greeting.word))
try:
    greeting.word()
except ValueError:
    print(traceback.format_exc())
"""
)


@pytest.fixture
def folder(volume, wheels, lock) -> Path:
    """A generation whose package has two modules in its import list and one that is not."""
    make_wheel(wheels, "greeting", "3.0", code=CODE, members=MEMBERS)
    install(volume, tiny("greeting==3.0", imports=("greeting", "other")), lock)
    return volume.pointer("tiny").resolve()


def run(program: str, volume) -> str:
    command = [sys.executable, "-W", "error", "-c", program, str(volume.root)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def index_of(folder: Path) -> dict:
    return json.loads((folder / import_bundle.NAME).read_bytes().split(b"\n", 1)[0])


def test_the_bundle_holds_what_the_import_list_imports(folder):
    assert index_of(folder)["modules"].keys() == {"greeting", "greeting.words", "other"}


def test_the_bundle_is_verified(volume, folder):
    assert damaged_packages(folder, active(volume), quick=False) == []
    path = folder / import_bundle.NAME
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    (damage,) = damaged_packages(folder, active(volume), quick=False)
    assert damage.path == path


def test_an_import_opens_nothing_on_the_volume(volume, folder):
    assert run(OPENS, volume) == "[]\n"


def test_without_it_imports_open_files(volume, folder):
    (folder / import_bundle.NAME).unlink()
    assert "words.cpython" in run(OPENS, volume)


def test_modules_look_as_without_it(volume, folder):
    with_bundle = run(LOOKS, volume)
    (folder / import_bundle.NAME).unlink()
    without = run(LOOKS, volume)
    assert with_bundle.startswith("_Loader SourceFileLoader")
    assert with_bundle.split("\n", 1)[1] == without.split("\n", 1)[1]
    assert str(folder / "greeting" / "words.py") in without


@pytest.mark.parametrize(
    "change", [*IDENTITY, "modules", "libraries", "shorter", "garbage", "list"]
)
def test_one_that_does_not_fit_serves_nothing_and_says_so(volume, folder, change):
    path = folder / import_bundle.NAME
    line, _, code = path.read_bytes().partition(b"\n")
    if change == "shorter":
        os.truncate(path, path.stat().st_size - 1)
    elif change in {"garbage", "list"}:
        path.write_bytes({"garbage": b"\x00\xff\n", "list": b"[]\n"}[change] + code)
    else:
        path.write_bytes(json.dumps(json.loads(line) | {change: None}).encode() + b"\n" + code)
    printed = run(OPENS, volume)
    assert "words.cpython" in printed
    assert "serves no imports, which takes longer" in printed


def test_a_module_without_a_source_is_left_to_python(tmp_path):
    source = tmp_path / "secret.py"
    source.write_text("word = 'said'\n")
    py_compile.compile(str(source), cfile=str(tmp_path / "secret.pyc"))
    source.unlink()
    path = f"import sys; sys.path.insert(0, {str(tmp_path)!r})"
    command = [sys.executable, "-c", f"{path}; import secret\n{import_bundle.LIST_PROGRAM}"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    import_bundle.write(tmp_path, "g", listed.stdout)
    program = f"""
{path}
from pathlib import Path
from volume_bootstrap.import_bundle import install
print(install(Path({str(tmp_path)!r}), "g"))
import secret
print(secret.word)
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "True\nsaid\n"


def test_libraries_come_from_where_they_lie():
    index = index_of(VOLUME.pointer("demo"))
    modules, libraries = index["modules"], index["libraries"]
    assert modules["numpy"][2] > 0
    path, _, size = modules["onnxruntime.capi.onnxruntime_pybind11_state"]
    assert size == 0
    assert path in libraries
    assert any("av.libs" in path for path in libraries)
