"""What importing a generation's list opens, in one file: ``imports.bundle``.

A network volume takes milliseconds for each open and each look at a name, and a cold worker needs
hundreds of both for small files of bytecode. The provisioner writes them into one file, with where
each module lies; the worker takes them from there, and reads the shared libraries ahead. Standard
library only: both sides import this module.

The file is a line of JSON (`Index`), then the ``.pyc`` files one after another. It serves imports
alone: ``__file__``, resources and sources stay those of the generation's folder, and without the
file Python finds everything there itself.
"""

import contextlib
import importlib.util
import json
import logging
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.abc import MetaPathFinder
from importlib.machinery import (
    EXTENSION_SUFFIXES,
    ExtensionFileLoader,
    ModuleSpec,
    PathFinder,
    SourceFileLoader,
)
from pathlib import Path
from types import ModuleType

logger = logging.getLogger(__name__)

NAME = "imports.bundle"
FORMAT = 1
IDENTITY = ("format", "generation", "magic", "num_bytes")
"""What of the index says that a bundle is whole and meant for this process."""
READERS = 8
"""Libraries that are opened side by side: what takes time is the way to the volume and back."""

LIST_PROGRAM = r"""
import json, os, sys, types
origins = {}
for name, module in list(sys.modules.items()):
    spec = vars(module).get("__spec__") if isinstance(module, types.ModuleType) else None
    if spec is not None and spec.name == name and spec.has_location:
        origins[name] = os.path.realpath(spec.origin)
with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as maps:
    mapped = {line.split(maxsplit=5)[5].rstrip("\n") for line in maps if "/" in line}
print("\nIMPORTED", json.dumps({"modules": origins, "mapped": sorted(mapped)}))
"""
"""Ends a program that imports: prints where its modules come from and what it has mapped."""


def write(folder: Path, generation: str, output: str) -> None:
    """Write the bundle of a generation whose modules are compiled.

    Parameters
    ----------
    generation : its id; a bundle that was copied elsewhere serves nobody.
    output : of a program that ended with `LIST_PROGRAM`.
    """
    found = json.loads(output.rpartition("\nIMPORTED ")[2].partition("\n")[0])
    contents: list[bytes] = []
    modules: dict[str, tuple[str, int, int]] = {}
    offset = 0
    for name, path in _inside(folder, found["modules"]).items():  # in the order of the imports
        content = _bytecode(folder, path)
        # What a package puts under another name than its own stays a matter of the package.
        if content is None or name != _module_name(path):
            continue
        modules[name] = (path, offset, len(content))
        contents.append(content)
        offset += len(content)
    mapped = {path: path for path in found["mapped"]}
    index = {
        "format": FORMAT,
        "generation": generation,
        "magic": importlib.util.MAGIC_NUMBER.hex(),
        "num_bytes": offset,
        "modules": modules,
        "libraries": sorted(_inside(folder, mapped).values()),
    }
    with (folder / NAME).open("wb") as file:
        file.write(json.dumps(index).encode() + b"\n")
        file.writelines(contents)


def _inside(folder: Path, paths: Mapping[str, str]) -> dict[str, str]:
    """The paths that lie in a folder, relative to it."""
    prefix = f"{folder.resolve()}{os.sep}"
    return {
        name: path.removeprefix(prefix) for name, path in paths.items() if path.startswith(prefix)
    }


def _bytecode(folder: Path, path: str) -> bytes | None:
    """The ``.pyc`` of a module's source; empty for a library, none where there is neither."""
    if path.endswith(tuple(EXTENSION_SUFFIXES)):
        return b""
    if not path.endswith(".py"):
        return None
    compiled = Path(importlib.util.cache_from_source(folder / path))
    return compiled.read_bytes() if compiled.is_file() else None


def _module_name(path: str) -> str:
    """Name under which Python finds a file of the folder."""
    *packages, file = Path(path).parts
    name = file.partition(".")[0]
    return ".".join(packages if name == "__init__" else [*packages, name])


def install(folder: Path, generation: str) -> bool:
    """Import from a generation's bundle from now on, and read its libraries ahead.

    Returns
    -------
    Whether there is a bundle that serves; without one, imports only take longer.
    """
    if any(isinstance(each, BundleFinder) and each.folder == folder for each in sys.meta_path):
        return True
    try:
        with (folder / NAME).open("rb") as file:
            index = json.loads(file.readline())
            start, size = file.tell(), os.fstat(file.fileno()).st_size
            expected = (FORMAT, generation, importlib.util.MAGIC_NUMBER.hex(), size - start)
            if tuple(index[name] for name in IDENTITY) != expected:
                raise ValueError("it is of another generation or Python")  # noqa: TRY301
            modules = {
                name: (path, start + at, n) for name, (path, at, n) in index["modules"].items()
            }
            libraries = [folder / path for path in index["libraries"]]
            descriptor = os.dup(file.fileno())
    except FileNotFoundError:  # a generation of an older provisioner
        return False
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        logger.warning("%s serves no imports, which takes longer: %s", folder / NAME, error)
        return False
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_WILLNEED)
    finder = BundleFinder(folder, modules, descriptor)
    sys.meta_path.insert(sys.meta_path.index(PathFinder), finder)
    read_ahead(libraries)
    return True


def read_ahead(paths: Iterable[Path]) -> None:
    """Let the kernel read files that will be mapped soon; returns at once."""
    readers = ThreadPoolExecutor(READERS, thread_name_prefix="read-ahead")
    for path in paths:
        readers.submit(_advise, path)
    readers.shutdown(wait=False)


def _advise(path: Path) -> None:
    # Who needs a library that cannot be opened says so.
    with contextlib.suppress(OSError), path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)


class BundleFinder(MetaPathFinder):
    """Finds the modules of a bundle; the rest is left to Python.

    Parameters
    ----------
    folder : the generation, as ``sys.path`` has it.
    modules : path, offset of the bytecode in `file` and its size, by name; size 0: a library.
    file : descriptor of the bundle, which stays open as long as the process.
    """

    def __init__(
        self, folder: Path, modules: Mapping[str, tuple[str, int, int]], file: int
    ) -> None:
        self.folder = folder
        self._modules = modules
        self._file = file

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,  # noqa: ARG002 - the bundle knows it
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        """Say where a module of the bundle lies, without a look at the volume."""
        if fullname not in self._modules:
            return None
        inside, offset, size = self._modules[fullname]
        origin = str(self.folder / inside)
        loader = (
            _Loader(fullname, origin, self._file, offset, size)
            if size
            else ExtensionFileLoader(fullname, origin)
        )
        return importlib.util.spec_from_file_location(fullname, origin, loader=loader)


class _Loader(SourceFileLoader):
    """Takes a module's bytecode from the bundle, everything else from the module's folder."""

    def __init__(self, fullname: str, path: str, file: int, offset: int, size: int) -> None:
        super().__init__(fullname, path)
        self._bytecode = importlib.util.cache_from_source(path)
        self._slice = (file, size, offset)

    def path_stats(self, path: str) -> Mapping[str, float]:
        # Unchecked bytecode is compared with nothing, and asking costs a way to the volume.
        return {"mtime": 0.0, "size": 0} if path == self.path else super().path_stats(path)

    def get_data(self, path: str) -> bytes:
        return os.pread(*self._slice) if path == self._bytecode else super().get_data(path)
