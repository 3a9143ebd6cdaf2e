"""The wheels of a bundle: resolved for its target, fetched, and built where there are none."""

import logging
import os
import platform
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from packaging.utils import parse_wheel_filename

from volume_bootstrap import files
from volume_bootstrap.bundle.manifest import BundledWheel
from volume_bootstrap.errors import BundleError, DependencyError, SourceError, ToolError
from volume_bootstrap.layout import Generation, Volume, running_python
from volume_bootstrap.packages import resolution
from volume_bootstrap.packages.dependencies import resolve_groups
from volume_bootstrap.packages.resolution import Package, Resolution
from volume_bootstrap.packages.uv_tool import Uv, find_uv
from volume_bootstrap.progress import Progress
from volume_bootstrap.project import Project
from volume_bootstrap.project_files import Group
from volume_bootstrap.runner import run
from volume_bootstrap.sources.local import take
from volume_bootstrap.sources.transfer import save_all
from volume_bootstrap.sources.wanted import Wanted
from volume_bootstrap.stages import stage

logger = logging.getLogger(__name__)

PAGE_BYTES = 4096
"""What a file takes at least: file systems give room in pages."""
BYTECODE_BY_SOURCE = 1.5
"""Bytecode takes 1.37 times the room of its source in the packages of demo."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a bundle is for; a `platform` as uv names it, such as x86_64-manylinux_2_28."""

    python: str
    platform: str | None
    mirror: str | None

    @property
    def platform_name(self) -> str:
        """The platform, or this machine's."""
        libc, version = platform.libc_ver()
        here = f"{platform.machine()}-{'manylinux_' if libc == 'glibc' else libc}"
        return self.platform or here + version.replace(".", "_")


@dataclass(frozen=True, slots=True)
class _File:
    """A file of the lock: the package that it is of, its name, its address, its SHA-256."""

    package: str
    name: str
    address: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Access:
    """How files of indexes are asked for: a file of certificates, and the credentials by host."""

    certificates: str | None
    credentials: Mapping[str, str]

    def address(self, address: str) -> str:
        """The address of a file with the credentials of an index on its host: a lock has none."""
        parts = urlsplit(address)
        if not (credentials := self.credentials.get(parts.netloc)):
            return address
        return parts._replace(netloc=f"{credentials}@{parts.netloc}").geturl()


def resolve(
    volume: Volume, project: Project, generation: Generation, target: Target
) -> tuple[Resolution, Access]:
    """Resolve a project for the target, to the versions that serve on the volume.

    Raises
    ------
    DependencyError
        They do not resolve there.
    """
    stage("resolve")
    logger.info("%s: resolving for Python %s", project.name, target.python)
    pins = "".join(
        f"{name}=={version}\n"
        for name, version in generation.packages.items()
        if version != resolution.NO_VERSION
    )
    options: list[str] = []
    if target.python != running_python():
        options += ["--python-version", target.python]
    if target.platform is not None:
        options += ["--python-platform", target.platform]
    with tempfile.TemporaryDirectory(prefix="speech-pins-") as folder:
        constraints = Path(folder, "pins.txt")
        constraints.write_text(pins, encoding="utf-8")
        try:
            uv = find_uv(None, target.mirror)
            asking = replace(uv, target=(*options, "--constraints", str(constraints)))
            groups = project.groups(generation.variant)
            return resolve_groups(asking, groups), _access(uv, groups)
        except ToolError as error:
            raise DependencyError(
                f"The packages of project {project.name} that serve on {volume.root} do not "
                f"resolve for Python {target.python} on {target.platform_name}. {error}"
            ) from error


def _access(uv: Uv, groups: Sequence[Group]) -> Access:
    tables = [*uv.places.indexes(), *resolution.private_indexes(groups)]
    addresses = [*(str(table["url"]) for table in tables), *uv.places.links]
    places = [urlsplit(address).netloc.rpartition("@") for address in addresses]
    certificates = uv.environment.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_FILE")
    return Access(certificates, {host: said for said, at, host in places if at})


def gather(
    resolved: Resolution, access: Access, target: Target, folder: Path
) -> list[tuple[BundledWheel, Path]]:
    """Bring all wheels of a lock into a folder; what is there from an earlier run stays.

    Returns
    -------
    Each with its path, in the order of the lock.

    Raises
    ------
    BundleError
        A file cannot be had, or a package has no wheel for the target and none can be built.
    """
    wanted = [file for package in (*resolved.packages, *resolved.image) for file in _files(package)]
    stage("fetch")
    try:
        _fetch(wanted, access, folder)
    except SourceError as error:
        raise BundleError(
            f"A package cannot be fetched: {error} What was fetched stays: run the same again."
        ) from error
    stage("build")
    found = []
    for file in wanted:
        path = folder / file.name
        if path.suffix != ".whl":
            path = _build(path, file, target)
        wheel = BundledWheel(
            package=file.package,
            name=path.name,
            sha256=files.sha256_of(path),
            size=path.stat().st_size,
            laid_bytes=_laid_bytes(path),
        )
        found.append((wheel, path))
    return found


def _files(package: Package) -> list[_File]:
    """Return the wheels of a package, or where it has none, the one file that there is."""
    entries: list[dict[str, Any]] = (
        package.get("wheels")
        or [entry for entry in (package.get("archive"), package.get("sdist")) if entry][:1]
    )
    if not entries:
        raise BundleError(
            f"{package['name']} {package.get('version', '')} comes from a folder or a repository; "
            "a bundle holds wheels. Build one (pip wheel) and name it in dependencies.yaml."
        )
    found = []
    for entry in entries:
        address = resolution.address_of(entry)
        name = unquote(urlsplit(address).path.rpartition("/")[2])
        found.append(_File(package["name"], name, address, entry["hashes"]["sha256"]))
    return found


def _fetch(wanted: Sequence[_File], access: Access, folder: Path) -> None:
    """Bring files into a folder, each with the SHA-256 that the lock has."""
    folder.mkdir(parents=True, exist_ok=True)
    missing: dict[str, _File] = {}
    for file in wanted:
        path = folder / file.name
        if path.is_file() and files.sha256_of(path) == file.sha256:
            continue
        parts = urlsplit(file.address)
        if parts.scheme == "file":
            take(Path(url2pathname(parts.path)), Wanted(file.name, sha256=file.sha256), folder)
        else:
            missing[file.name] = file
    if not missing:
        return
    logger.info("fetching %d packages", len(missing))
    # requests costs more than a run with nothing to fetch.
    from volume_bootstrap.sources import web

    with web.session() as session, Progress("packages") as progress:
        session.verify = access.certificates or True
        save_all(
            [Wanted(file.name, sha256=file.sha256) for file in missing.values()],
            folder,
            lambda file: web.opener(session, access.address(missing[file.path].address), _refused),
            progress,
        )


def _refused(status: int) -> str:
    if status in {401, 403}:
        return "Name the index with the credentials that it asks for: https://NAME:WORD@HOST/..."
    return ""


def _build(source: Path, file: _File, target: Target) -> Path:
    """Build the wheel of a source archive; only one that runs everywhere can be said to fit."""
    folder = source.with_name(f"{file.sha256[:12]}.built")
    if not list(folder.glob("*.whl")):
        logger.info("building %s", source.name)
        with tempfile.TemporaryDirectory(".partial", dir=source.parent) as partial:
            pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", partial]
            environment = {"PIP_DISABLE_PIP_VERSION_CHECK": "1"}
            if target.mirror:
                # No option: it may hold a password, which the log and the list of processes show.
                environment["PIP_INDEX_URL"] = target.mirror
            try:
                run([*pip, str(source)], environment)
            except ToolError as error:
                raise BundleError(
                    f"{file.package} has no wheel for Python {target.python} on "
                    f"{target.platform_name}, and none can be built of {source.name}. {error}"
                ) from error
            files.remove(folder)
            folder.mkdir()
            for wheel in Path(partial).glob("*.whl"):
                wheel.replace(folder / wheel.name)
    (wheel,) = folder.glob("*.whl")
    if {tag.platform for tag in parse_wheel_filename(wheel.name)[3]} != {"any"}:
        raise BundleError(
            f"{file.package} has no wheel for Python {target.python} on {target.platform_name}; "
            f"{wheel.name}, built here, may not run there. Put a wheel of it where pip looks "
            "(an extra index or find-links)."
        )
    return wheel


def _laid_bytes(wheel: Path) -> int:
    """Room that a wheel takes once it is unpacked and byte-compiled."""
    with zipfile.ZipFile(wheel) as members:
        sizes = [(info.filename, info.file_size) for info in members.infolist()]
    compiled = [int(s * BYTECODE_BY_SOURCE) for name, s in sizes if name.endswith(".py")]
    return sum(-(-size // PAGE_BYTES) * PAGE_BYTES for size in [*(s for _, s in sizes), *compiled])
