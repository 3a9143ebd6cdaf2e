"""Bytecode of a generation: linked from an older one where the source is the same file.

It is *unchecked*: nothing compares it with its source when it is imported. A
generation is never edited, and a volume that was copied keeps its bytecode
although its files have other times.
"""

import importlib.util
import logging
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from volume_bootstrap.runner import run

logger = logging.getLogger(__name__)

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
    for source in _sources(folder):
        if previous and _link(source, os.path.join(previous, os.path.relpath(source, folder))):
            num_linked += 1
        else:
            missing.append(source)
    num_processes = min(os.cpu_count() or 1, len(missing))
    slices = ["\n".join(missing[first::num_processes]) for first in range(num_processes)]
    with ThreadPoolExecutor(num_processes or 1) as pool:
        list(
            pool.map(lambda text: run([sys.executable, "-I", "-c", PROGRAM], {}, text=text), slices)
        )
    logger.debug("bytecode: %d linked, %d compiled", num_linked, len(missing))
    return num_linked, len(missing)


def _sources(folder: Path) -> Iterator[str]:
    for parent, _, names in os.walk(folder):
        for name in names:
            if name.endswith(".py"):
                yield os.path.join(parent, name)


def _link(source: str, before: str) -> bool:
    """Link the bytecode of `before`, if that is the same file as `source`."""
    try:
        if not os.path.samefile(source, before):
            return False
        bytecode = importlib.util.cache_from_source(source)
        os.makedirs(os.path.dirname(bytecode), exist_ok=True)
        os.link(importlib.util.cache_from_source(before), bytecode)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True
