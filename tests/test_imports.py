"""The import rules of docs/architecture.md: each layer imports only what lies below it."""

import ast
import re
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from volume_bootstrap.project_files import ENGINES
from worker.planning import LOADERS

ROOT = Path(__file__).resolve().parent.parent

RULES = (ROOT / "docs" / "architecture.md").read_text().split("## Import rules")[1].split("##")[0]


def layers(package: str, block: str) -> list[set[str]]:
    """What stands beside each other, the highest first."""
    return [
        {n if n == "handler" or "." in n else f"{package}.{n}" for n in line.split()}
        for line in block.strip().splitlines()
    ]


LAYERS = {
    "worker": layers("worker", RULES.split("```")[1]),
    "volume_bootstrap": layers("volume_bootstrap", RULES.split("```")[3]),
}
HEAVY = {
    "av",
    "boto3",
    "ctranslate2",
    "faster_whisper",
    "funasr",
    "jieba",
    "onnxruntime",
    "runpod",
    "scipy",
    "sentencepiece",
    "tokenizers",
    "torch",
}
DEFERRED = {"worker.pings", "worker.s3_session", "worker.scaler"}
"""Modules whose classes are subclasses of such packages' own: they count as heavy themselves."""
SHARED = {f"volume_bootstrap.{name}" for name in ("import_bundle", "layout", "slim_funasr")}
"""What the worker imports of the provisioner."""


def room(module: str) -> str:
    """The module or sub-package that the layers name."""
    return ".".join(module.split(".")[:2])


def sources() -> list[Path]:
    return [ROOT / "handler.py", *sorted((ROOT / "worker").rglob("*.py"))]


def provisioner() -> list[Path]:
    return sorted((ROOT / "volume_bootstrap").rglob("*.py"))


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(p for p in parts if p != "__init__")


def imported(tree: ast.Module, *, at_import: bool) -> Iterator[str]:
    """Modules that a file names in imports; `at_import` leaves out those inside functions."""
    inside: set[ast.AST] = set()
    if at_import:
        for node in ast.walk(tree):
            is_typing = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
            if is_typing or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                inside.update(ast.walk(node))
    for node in ast.walk(tree):
        if node in inside:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def rank(package: str, name: str) -> int | None:
    return next((i for i, layer in enumerate(LAYERS[package]) if name in layer), None)


@pytest.mark.parametrize("path", [*sources(), *provisioner()], ids=module_of)
def test_nothing_imports_upwards(path):
    own = room(module_of(path))
    package = "worker" if own == "handler" else own.partition(".")[0]
    if own == package:
        return
    own_rank = rank(package, own)
    assert own_rank is not None, f"{own} has no place in LAYERS"
    for name in imported(ast.parse(path.read_text()), at_import=False):
        other = room(name)
        other_rank = rank(package, other)
        if other_rank is None or other == own:
            continue
        assert own_rank < other_rank, f"{own} imports {other}, which does not lie below it"


@pytest.mark.parametrize("package", ["worker", "volume_bootstrap", "client"])
def test_no_modules_import_each_other_in_a_circle(package):
    modules = {module_of(path): path for path in sorted((ROOT / package).rglob("*.py"))}
    imports = {
        name: modules.keys() & set(imported(ast.parse(path.read_text()), at_import=True)) - {name}
        for name, path in modules.items()
    }
    # A package's own file is imported before what is in it.
    graph = {
        name: {n for n in found if not name.startswith(f"{n}.")} for name, found in imports.items()
    }
    assert len(list(TopologicalSorter(graph).static_order())) == len(modules)


@pytest.mark.parametrize("package", LAYERS)
def test_each_module_has_one_place(package):
    named = [name for layer in LAYERS[package] for name in layer]
    paths = {"worker": sources(), "volume_bootstrap": provisioner()}[package]
    there = {room(module_of(path)) for path in paths} - {package}
    assert sorted(named) == sorted(there | SHARED)


def test_the_document_names_the_heavy_packages():
    assert not {name for name in HEAVY if not re.search(rf"\b{name}\b", RULES)}


@pytest.mark.parametrize("path", sources(), ids=module_of)
def test_heavy_packages_are_imported_inside_functions(path):
    names = set(imported(ast.parse(path.read_text()), at_import=True))
    if module_of(path) not in DEFERRED:
        assert not names & DEFERRED
        assert not {name.split(".")[0] for name in names} & HEAVY


@pytest.mark.parametrize("path", sources(), ids=module_of)
def test_the_worker_knows_three_modules_of_the_provisioner(path):
    names = imported(ast.parse(path.read_text()), at_import=False)
    rooms = {room(name) for name in names if name.startswith("volume_bootstrap.")}
    assert rooms <= SHARED


@pytest.mark.parametrize("module", sorted(SHARED))
def test_what_both_sides_import_needs_the_standard_library_alone(module):
    path = ROOT / f"{module.replace('.', '/')}.py"
    top = {name.split(".")[0] for name in imported(ast.parse(path.read_text()), at_import=False)}
    assert top <= sys.stdlib_module_names


@pytest.mark.parametrize("path", provisioner(), ids=module_of)
def test_the_provisioner_never_imports_the_worker(path):
    names = imported(ast.parse(path.read_text()), at_import=False)
    assert not [name for name in names if name.split(".")[0] == "worker"]


def test_the_client_and_what_runs_on_a_volume_never_import_each_other():
    """A machine that has recordings has neither a volume nor what the worker needs."""
    theirs = {"handler", "worker", "volume_bootstrap"}
    apart = {"client": theirs, "worker": {"client"}, "volume_bootstrap": {"client"}}
    for package, others in apart.items():
        for path in sorted((ROOT / package).rglob("*.py")):
            names = imported(ast.parse(path.read_text()), at_import=False)
            assert not others & {name.split(".")[0] for name in names}, path


def test_the_client_imports_what_its_requirements_name():
    lines = (ROOT / "requirements-client.txt").read_text().splitlines()
    named = {line.partition("==")[0] for line in lines if "==" in line} | {"botocore", "client"}
    for path in sorted((ROOT / "client").rglob("*.py")):
        names = imported(ast.parse(path.read_text()), at_import=False)
        assert {name.split(".")[0] for name in names} <= named | sys.stdlib_module_names, path


def test_the_worker_loads_each_engine_that_models_yaml_may_name():
    assert set(ENGINES["asr"]) == LOADERS.keys()
    assert set(ENGINES["punctuation"]) == {"funasr"}, "planning.py loads these with FunASR alone"
