"""The import rules of docs/architecture.md: each layer imports only what lies below it."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

LAYERS = [
    {"handler"},
    {"worker.runpod_app"},
    {"worker.service"},
    {"worker.replies"},
    {"worker.planning", "worker.recordings"},
    {
        "worker.diarization",
        "worker.transcription",
        "worker.fetch",
        "worker.audio",
        "worker.schema",
    },
    {"worker.engines", "worker.formats", "worker.media", "worker.model_cache", "worker.net"},
    {"worker.model_store", "worker.device", "worker.features", "worker.guard"},
    {
        "worker.activation",
        "worker.control",
        "worker.heartbeat",
        "worker.segments",
        "worker.settings",
        "worker.telemetry",
        "worker.text",
        "worker.naming",
        "worker.waveform",
    },
    {"worker.errors", "volume_bootstrap.layout", "volume_bootstrap.slim_funasr"},
]
SAME_LAYER = {
    ("worker.model_cache", "worker.engines"),  # it keeps their sessions
}
HEAVY = {
    "av",
    "boto3",
    "ctranslate2",
    "faster_whisper",
    "funasr",
    "kaldi_native_fbank",
    "onnxruntime",
    "runpod",
    "scipy",
    "sentencepiece",
    "tokenizers",
    "torch",
}
SHARED = {"volume_bootstrap.layout", "volume_bootstrap.slim_funasr"}
"""What the worker imports of the provisioner."""


def room(module: str) -> str:
    """The module or sub-package that the layers name."""
    return ".".join(module.split(".")[:2])


def sources() -> list[Path]:
    return [ROOT / "handler.py", *sorted((ROOT / "worker").rglob("*.py"))]


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


def rank(name: str) -> int | None:
    return next((i for i, layer in enumerate(LAYERS) if name in layer), None)


@pytest.mark.parametrize("path", sources(), ids=module_of)
def test_nothing_imports_upwards(path):
    own = room(module_of(path))
    if own == "worker":
        return
    own_rank = rank(own)
    assert own_rank is not None, f"{own} has no place in LAYERS"
    for name in imported(ast.parse(path.read_text()), at_import=False):
        other = room(name)
        other_rank = rank(other)
        if other_rank is None or other == own:
            continue
        allowed = own_rank < other_rank or (own, other) in SAME_LAYER
        assert allowed, f"{own} imports {other}, which does not lie below it"


@pytest.mark.parametrize("path", sources(), ids=module_of)
def test_heavy_packages_are_imported_inside_functions(path):
    top = {name.split(".")[0] for name in imported(ast.parse(path.read_text()), at_import=True)}
    assert not top & HEAVY


@pytest.mark.parametrize("path", sources(), ids=module_of)
def test_the_worker_knows_two_modules_of_the_provisioner(path):
    names = imported(ast.parse(path.read_text()), at_import=False)
    rooms = {room(name) for name in names if name.startswith("volume_bootstrap.")}
    assert rooms <= SHARED


@pytest.mark.parametrize("module", sorted(SHARED))
def test_what_both_sides_import_needs_the_standard_library_alone(module):
    path = ROOT / f"{module.replace('.', '/')}.py"
    top = {name.split(".")[0] for name in imported(ast.parse(path.read_text()), at_import=False)}
    assert top <= sys.stdlib_module_names


@pytest.mark.parametrize("path", sorted((ROOT / "volume_bootstrap").rglob("*.py")), ids=module_of)
def test_the_provisioner_never_imports_the_worker(path):
    names = imported(ast.parse(path.read_text()), at_import=False)
    assert not [name for name in names if name.split(".")[0] == "worker"]
