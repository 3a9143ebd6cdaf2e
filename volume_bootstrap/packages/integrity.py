"""Whether a generation still holds what was installed: by the RECORD of each package."""

import base64
import csv
import hashlib
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import canonicalize_name

from volume_bootstrap.layout import Generation, Volume
from volume_bootstrap.packages.bytecode import CACHE, DIGESTS, read_digests

SHA256 = re.compile(r"^sha256=(?P<digest>[A-Za-z0-9_-]{43})$")


@dataclass(frozen=True, slots=True)
class Damage:
    """One file that is not as it was provisioned; `owner` is a model's alias or a package."""

    owner: str
    path: Path
    problem: str


@dataclass(frozen=True, slots=True)
class _Recorded:
    """A line of a RECORD: size in bytes and SHA-256, where the line has them."""

    size: int | None
    sha256: bytes | None


def distributions(folder: Path) -> dict[str, Path]:
    """``.dist-info`` folders by the normalised name of their package."""
    paths = folder.glob("*.dist-info")
    return {canonicalize_name(path.name.partition("-")[0]): path for path in paths}


def missing_packages(volume: Volume, generation: Generation) -> list[str]:
    """Names of a generation's packages that are not in its folder."""
    found = distributions(volume.generations / generation.id)
    return [name for name in generation.packages if name not in found]


def damaged_packages(folder: Path, generation: Generation, *, quick: bool) -> list[Damage]:
    """Name each file of a generation that is missing or changed; bytecode included.

    Parameters
    ----------
    folder : where it lies.
    quick : compare sizes alone, and bytecode not at all; else SHA-256 as well.
    """
    known = distributions(folder)
    # Where packages carry the same file, any of them may be the one that was laid on top.
    expected: dict[Path, list[_Recorded]] = {}
    owners: dict[Path, str] = {}
    found = []
    for name, version in generation.packages.items():
        record = known.get(name, folder / f"{name}.dist-info") / "RECORD"
        if not record.is_file():
            found.append(Damage(name, record, f"missing: package {name} {version}"))
            continue
        for relative, recorded in _read(record):
            # What a wheel brings of bytecode is not kept: it may be another Python's.
            if CACHE not in relative.split("/"):
                expected.setdefault(folder / relative, []).append(recorded)
                owners[folder / relative] = name
    if not quick:
        try:
            digests = {path: bytes.fromhex(hex_) for path, hex_ in read_digests(folder).items()}
        except ValueError as error:
            found.append(Damage("bytecode", folder / DIGESTS, f"it cannot be read: {error}"))
            digests = {}
        expected |= {folder / path: [_Recorded(None, sha256)] for path, sha256 in digests.items()}
    with ThreadPoolExecutor() as pool:
        problems = pool.map(lambda item: _problem(*item, quick=quick), expected.items())
        for path, problem in zip(expected, problems, strict=True):
            if problem:
                found.append(Damage(owners.get(path, "bytecode"), path, problem))
    return found


def _read(record: Path) -> Iterator[tuple[str, _Recorded]]:
    with record.open(encoding="utf-8", newline="") as file:
        for row in csv.reader(file):
            path, digest, size = [*row, "", ""][:3]
            match = SHA256.match(digest)
            yield (
                path,
                _Recorded(
                    int(size) if size.isdecimal() else None,
                    base64.urlsafe_b64decode(match["digest"] + "=") if match else None,
                ),
            )


def _problem(path: Path, recorded: list[_Recorded], *, quick: bool) -> str:
    """Say what is wrong with a file, or nothing."""
    try:
        size = path.stat().st_size
        fitting = [r for r in recorded if r.size in {None, size}]
        if not fitting:
            sizes = " or ".join(str(r.size) for r in recorded)
            return f"it has {size} bytes, {sizes} were installed"
        if quick or any(r.sha256 is None for r in fitting):
            return ""
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        return error.strerror or str(error)
    if digest not in {r.sha256 for r in fitting}:
        return f"its SHA-256 is {digest.hex()}, another was installed"
    return ""
