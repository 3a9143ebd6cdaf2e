"""Reads the documents: headings, blocks, commands; and what programs of this repository take."""

import ast
import functools
import itertools
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "benchmarks" / "README.md",
]
FENCED = re.compile(r"^ *```(?P<kind>\w*)\n(?P<text>.*?)^ *```$", re.MULTILINE | re.DOTALL)
PLACEHOLDERS = "…<>"
"""A word of a command with one of these stands for another."""


def blocks(document: Path, *kinds: str) -> Iterator[str]:
    """Text of the fenced blocks of some kinds."""
    for found in FENCED.finditer(document.read_text()):
        if found["kind"] in kinds:
            yield found["text"]


def prose(document: Path) -> str:
    """The document without its fenced blocks."""
    return FENCED.sub("", document.read_text())


def quoted(document: Path) -> list[str]:
    """What stands between backticks in the prose, on one line or over its end."""
    return [" ".join(text.split()) for text in re.findall(r"`([^`]+)`", prose(document))]


def anchors(document: Path) -> set[str]:
    """Names of the headings, as GitHub makes them."""
    found: list[str] = []
    for title in re.findall(r"^#+ +(.*?) *$", prose(document), re.MULTILINE):
        shown = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title)
        name = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
        found.append(name)
    return {
        f"{name}-{before}" if (before := found[:index].count(name)) else name
        for index, name in enumerate(found)
    }


def links(document: Path) -> list[str]:
    """Targets of links and pictures."""
    return re.findall(r"\]\(([^)\s]+)\)", prose(document))


def lines(document: Path) -> Iterator[str]:
    """Commands: lines of shell in blocks, and what is quoted and begins like one."""
    for text in blocks(document, "console"):
        for line in text.replace("\\\n", " ").splitlines():
            if line.startswith("$ "):
                yield line[2:]
    for text in blocks(document, "bash", "sh"):
        without_bodies = re.sub(r"<<END\n.*?\nEND\n", "\n", text, flags=re.DOTALL)
        yield from without_bodies.replace("\\\n", " ").splitlines()
    for text in re.findall(r"^ {4}(\S.*)$", prose(document), re.MULTILINE):
        if " -m " in text:
            yield text
    for text in quoted(document):
        if re.match(r"(python|make|pip|docker) \S", text):
            yield text


def commands(document: Path) -> Iterator[list[str]]:
    """Words of each simple command of a document."""
    for line in lines(document):
        yield from simple_commands(line)


def simple_commands(line: str) -> Iterator[list[str]]:
    """Words of each simple command of a line; redirections, joins and substitutions end one."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="();|&<>")
    lexer.whitespace_split = True
    lexer.commenters = "#"
    words: list[str] = []
    for word in [*lexer, ";"]:
        if set(word) <= set("();|&<>"):
            if words:
                yield words
            words = []
        elif words or "=" not in word:  # not what is set for the command
            words.append(word)


def bodies(document: Path) -> Iterator[str]:
    """JSON that a document shows or sends."""
    yield from blocks(document, "json")
    for text in blocks(document, "bash", "console"):
        yield from re.findall(r"<<END\n(.*?)\nEND\n", text, re.DOTALL)
        yield from re.findall(r"-d '(\{.*?\})'(?=\s|$)", text, re.DOTALL)


def whole(value: object) -> object:
    """A value of a document with what it leaves out.

    A list that ends with ``"…"`` goes on like its first entry, to the 192 numbers of a voice: the
    only lists of jobs that are too long to show.
    """
    match value:
        case [first, "…"]:
            return [first] * 192
        case list():
            return [whole(each) for each in value]
        case dict():
            return {name: whole(each) for name, each in value.items()}
        case _:
            return value


def source_of(module: str) -> Path | None:
    """File that ``python -m module`` runs, where it is one of this repository."""
    base = ROOT.joinpath(*module.split("."))
    return next((p for p in (base.with_suffix(".py"), base / "__main__.py") if p.exists()), None)


@functools.cache
def options_of(module: str, *subcommands: str) -> frozenset[str]:
    """Options and commands of a program; ``COMMAND`` is among them where it needs one.

    It is asked for its help, unless it is a benchmark or a fault: those import what this
    environment need not have, or begin to work; of them the source is read.
    """
    if module.startswith(("benchmarks", "tests")):
        return frozenset(_declared(source_of(module).parent))
    done = subprocess.run(
        [sys.executable, "-m", module, *subcommands, "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": "/usr/bin:/bin", "COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"},
    )
    taken = re.findall(r"(?<![\w-])--?[a-z][a-z0-9-]*", done.stdout)
    named = re.findall(r"^[│ ] +([a-z][a-z-]*) {2,}\S", done.stdout, re.MULTILINE)
    return frozenset([*taken, *named, *re.findall("COMMAND", done.stdout)])


def _declared(folder: Path) -> Iterator[str]:
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".add_argument"):
                yield from (a.value for a in node.args if isinstance(a, ast.Constant))


def parsed(body: str) -> object:
    """JSON, with what the shell puts in."""
    return whole(json.loads(re.sub(r"'?\$[A-Z]+'?", "x", body)))


def check(words: list[str]) -> None:
    """Whether a command of a document is one: program, module, options, files."""
    shown = " ".join(words)
    program, *rest = words
    if program == "make":
        targets = re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        named = [word for word in rest if "=" not in word and word.isascii()]
        assert set(named[:1]) <= set(targets), shown
    elif program == "pip" and "-r" in rest:
        assert (ROOT / rest[rest.index("-r") + 1]).is_file(), shown
    elif program == "docker" and "-f" in rest:
        check_image(rest, shown)
    elif program.endswith("python") or program == "$B":
        if rest[:1] == ["-m"]:
            check_module(rest[1], rest[2:], shown)
        elif rest:
            assert (ROOT / rest[0]).is_file(), shown


def check_module(module: str, rest: list[str], shown: str) -> None:
    """Whether a module is there and takes these commands and options."""
    if source_of(module) is None:
        assert module in {"pytest", "venv"}, shown
        return
    subcommands: list[str] = []
    takes = options_of(module) if "-" in shown.partition(module)[2] or rest else frozenset()
    for word in rest:
        if word.startswith("-"):
            assert word.partition("=")[0] in takes, f"{word} in: {shown}"
        elif word in takes:
            subcommands.append(word)
            takes = options_of(module, *subcommands)
        elif "COMMAND" in takes:
            assert set(word) & set(PLACEHOLDERS), f"{word} in: {shown}"


def check_image(rest: list[str], shown: str) -> None:
    """Whether a Dockerfile has the target and the arguments."""
    dockerfile = (ROOT / rest[rest.index("-f") + 1]).read_text()
    for option, wanted in itertools.pairwise(rest):
        if option == "--target":
            assert re.search(rf"^FROM .* AS {wanted}$", dockerfile, re.MULTILINE), shown
        elif option == "--build-arg":
            name = wanted.partition("=")[0]
            assert re.search(rf"^ARG {name}\b", dockerfile, re.MULTILINE), shown
