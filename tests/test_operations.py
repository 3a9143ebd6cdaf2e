"""docs/operations.md knows every error that the code can end with."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.generate_job_api import errors

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "docs" / "operations.md").read_text()
SOURCES = [ROOT / "handler.py", *sorted((ROOT / "worker").rglob("*.py"))]
TREES = {
    path.relative_to(ROOT): ast.parse(path.read_text())
    for path in SOURCES
    if path.name != "__main__.py"  # a command line tells the one who gave it
}
PASSED_ON = {"error", "error.reply", "str(error)"}
"""What a job would be answered, told at start; the table of codes has it."""


def startup_errors() -> Iterator[tuple[str, str]]:
    """Where each StartupError is made, and the first sentence of what it says."""
    for path, tree in TREES.items():
        assigned = {
            node.targets[0].id: node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        }
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and ast.unparse(node.func) == "StartupError"):
                continue
            (said,) = node.args
            where = f"{path}:{node.lineno}"
            if isinstance(said, ast.Name) and said.id in assigned:
                said = assigned[said.id]
            if ast.unparse(said) not in PASSED_ON:
                yield where, first_sentence(said)


def first_sentence(said: ast.expr) -> str:
    """What a message begins with, as the document has it: ``…`` for what only its moment knows."""
    parts = said.values if isinstance(said, ast.JoinedStr) else [said]
    text = "".join(part.value if isinstance(part, ast.Constant) else "…" for part in parts)
    # One that is nothing but a value is that of another message.
    sentences = [each for each in text.removesuffix(".").split(". ") if each != "…"]
    assert sentences, f"{ast.unparse(said)} says nothing of its own"
    return sentences[0]


SAID = dict(startup_errors())


def test_the_search_finds_them():
    assert len(SAID) >= 18
    assert any(where.startswith("handler.py") for where in SAID)


@pytest.mark.parametrize("where", SAID)
def test_each_reason_not_to_start_is_told(where):
    assert f"`{SAID[where]}`" in TEXT, f"docs/operations.md lacks `{SAID[where]}`"


@pytest.mark.parametrize("error", list(errors()), ids=lambda error: error.code)
def test_each_code_is_told(error):
    assert f"\n### {error.code}\n" in TEXT


def calls(level: str) -> Iterator[str]:
    """Messages of a level as the document has them, but those that are a value alone."""
    for tree in TREES.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == f"logger.{level}":
                message = re.sub(r"%\w", "…", node.args[0].value)
                if message != "…":
                    yield message


@pytest.mark.parametrize("message", [*calls("error"), *calls("exception")])
def test_each_log_line_of_an_error_is_told(message):
    assert f"`{message}`" in TEXT, f"docs/operations.md lacks `{message}`"


def test_no_log_line_is_told_that_the_code_does_not_write():
    shared = ast.parse((ROOT / "volume_bootstrap" / "import_bundle.py").read_text())
    said = [
        re.sub(r"%\w", "…", node.value)
        for tree in (shared, *TREES.values())
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    told = TEXT.split("### Log lines")[1].split("### Health")[0]
    rows = set(re.findall(r"^\| `([^`]+)` \| ", told, re.MULTILINE)) - {"message"}
    assert len(rows) >= 10
    for row in rows:
        for words in (part.strip(" :") for part in row.split("…")):
            assert any(words in text for text in said), row


def test_the_fields_of_the_last_line_and_of_health_are_told(service):
    health = service.answer({"task": "health"})
    told = TEXT.split("### Health")[1].split("## Scaling")[0]
    for name in re.findall(r"^\| `([a-z_.]+)` \|", told, re.MULTILINE):
        found = health
        for part in name.split("."):
            assert part in found, name
            found = found[part]
