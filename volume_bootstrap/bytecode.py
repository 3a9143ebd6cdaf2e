"""Bytecode of a generation: linked from an older one where the source is the same file.

It is *unchecked*: nothing compares it with its source when it is imported. A
generation is never edited, and a volume that was copied keeps its bytecode
although its files have other times.
"""

import logging
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from volume_bootstrap.runner import run

logger = logging.getLogger(__name__)

CACHE = "__pycache__"
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
    """Give every module of `folder` its bytecode.

    Parameters
    ----------
    previous : an older generation, whose bytecode serves where both hold the same file.

    Returns
    -------
    How many were linked, and how many were there to compile.
    """
    missing: list[str] = []
    num_linked = 0
    for parent, sources in _sources(folder):
        kept = _link_all(parent, sources, _beside(parent, folder, previous))
        num_linked += len(kept)
        missing += [os.path.join(parent, name) for name in sources if name not in kept]
    num_processes = min(os.cpu_count() or 1, len(missing))
    slices = ["\n".join(missing[first::num_processes]) for first in range(num_processes)]
    with ThreadPoolExecutor(num_processes or 1) as pool:
        list(
            pool.map(lambda text: run([sys.executable, "-I", "-c", PROGRAM], {}, text=text), slices)
        )
    logger.debug("bytecode: %d linked, %d compiled", num_linked, len(missing))
    return num_linked, len(missing)


def _sources(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Each folder that holds modules, and their names."""
    for parent, _, names in os.walk(folder):
        if sources := [name for name in names if name.endswith(".py")]:
            yield parent, sources


def _beside(parent: str, folder: Path, previous: Path | None) -> str | None:
    """Path in `previous` of what `parent` is in `folder`."""
    if previous is None:
        return None
    return os.path.join(previous, os.path.relpath(parent, folder))


def _link_all(parent: str, sources: list[str], before: str | None) -> set[str]:
    """Link the bytecode of modules that are the same file in `before`; names of those."""
    if before is None or not os.path.isdir(os.path.join(before, CACHE)):
        return set()
    with os.scandir(before) as entries:
        inodes = {entry.name: entry.inode() for entry in entries}
    os.makedirs(os.path.join(parent, CACHE), exist_ok=True)
    linked = set()
    for name in sources:
        # Both folders lie on one file system, where an inode is one file.
        if os.stat(os.path.join(parent, name)).st_ino != inodes.get(name):
            continue
        bytecode = os.path.join(CACHE, f"{name[:-3]}.{sys.implementation.cache_tag}.pyc")
        try:
            os.link(os.path.join(before, bytecode), os.path.join(parent, bytecode))
        except FileNotFoundError:
            continue
        linked.add(name)
    return linked
