"""Bytecode of a generation: linked from an older one where the source is the same file.

It is *unchecked*: nothing compares it with its source when it is imported. A
generation is never edited, and a volume that was copied keeps its bytecode
although its files have other times. ``bytecode.sha256`` in the generation, in
the format of sha256sum, is what ``verify`` compares it with.
"""

import logging
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from volume_bootstrap import files
from volume_bootstrap.runner import run

logger = logging.getLogger(__name__)

CACHE = "__pycache__"
DIGESTS = "bytecode.sha256"
# A source that does not compile is left without, as pip leaves it: packages carry templates, and
# modules for other Pythons.
PROGRAM = """
import compileall, py_compile, sys
for line in sys.stdin:
    compileall.compile_file(
        line.rstrip("\\n"), quiet=2, force=True,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )
"""


def compile_folder(folder: Path, previous: Path | None) -> tuple[int, int]:
    """Give every module of `folder` its bytecode, and write down the digests of that.

    Parameters
    ----------
    previous : an older generation, whose bytecode serves where both hold the same file.

    Returns
    -------
    How many were linked, and how many were there to compile.
    """
    known = read_digests(previous) if previous else {}
    digests: dict[str, str] = {}
    missing: list[str] = []
    for inside, sources in _sources(folder):
        # Path of each module's bytecode, as the digests have it.
        bytecode = {name: os.path.join(inside, CACHE, _compiled_name(name)) for name in sources}
        linked: set[str] = set()
        if previous:
            candidates = {name: path for name, path in bytecode.items() if path in known}
            linked = _link(folder, previous, inside, candidates)
        digests |= {bytecode[name]: known[bytecode[name]] for name in linked}
        missing += [os.path.join(inside, name) for name in sources if name not in linked]
    num_linked = len(digests)
    _compile(folder, missing)
    for source in missing:
        inside, name = os.path.split(source)
        path = os.path.join(inside, CACHE, _compiled_name(name))
        if os.path.exists(os.path.join(folder, path)):
            digests[path] = files.sha256_of(folder / path)
    lines = [f"{digest}  {path}\n" for path, digest in sorted(digests.items())]
    files.write_text(folder / DIGESTS, "".join(lines))
    logger.debug("bytecode: %d linked, %d compiled", num_linked, len(missing))
    return num_linked, len(missing)


def add_digest(folder: Path, name: str) -> None:
    """Write down the digest of one more file of a generation, for ``verify``."""
    lines = (folder / DIGESTS).read_text(encoding="utf-8")
    files.write_text(folder / DIGESTS, f"{lines}{files.sha256_of(folder / name)}  {name}\n")


def read_digests(folder: Path) -> dict[str, str]:
    """SHA-256 of each module's bytecode in a generation, by its path; none where it has no list."""
    try:
        text = (folder / DIGESTS).read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    pairs = (line.partition("  ") for line in text.splitlines())
    return {path: digest for digest, _, path in pairs}


def _sources(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Each folder that holds modules, and their names; bytecode that a wheel brought goes."""
    for parent, folders, names in os.walk(folder):
        if CACHE in folders:
            folders.remove(CACHE)
            shutil.rmtree(os.path.join(parent, CACHE))
        if sources := [name for name in names if name.endswith(".py")]:
            inside = os.path.relpath(parent, folder)
            yield "" if inside == "." else inside, sources


def _link(folder: Path, previous: Path, inside: str, candidates: Mapping[str, str]) -> set[str]:
    """Link the bytecode of modules that are the same file in both folders; names of those."""
    if not candidates:
        return set()
    with os.scandir(os.path.join(previous, inside)) as entries:
        inodes = {entry.name: entry.inode() for entry in entries}
    os.mkdir(os.path.join(folder, inside, CACHE))
    linked = set()
    for name, bytecode in candidates.items():
        # Both folders lie on one file system, where an inode is one file.
        if os.stat(os.path.join(folder, inside, name)).st_ino == inodes.get(name):
            try:
                os.link(os.path.join(previous, bytecode), os.path.join(folder, bytecode))
            except FileNotFoundError:
                continue
            linked.add(name)
    return linked


def _compile(folder: Path, sources: list[str]) -> None:
    """Compile modules, a share in each of as many processes as there are processors."""
    paths = [os.path.join(folder, source) for source in sources]
    num_processes = min(os.cpu_count() or 1, len(paths))
    shares = ["\n".join(paths[first::num_processes]) for first in range(num_processes)]
    with ThreadPoolExecutor(num_processes or 1) as pool:
        list(
            pool.map(lambda text: run([sys.executable, "-I", "-c", PROGRAM], {}, text=text), shares)
        )


def _compiled_name(source: str) -> str:
    return f"{source.removesuffix('.py')}.{sys.implementation.cache_tag}.pyc"
