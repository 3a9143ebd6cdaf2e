"""Requirements -> a lock: exact versions, the file of each, and its SHA-256 (PEP 751)."""

import copy
import os
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import tomli_w
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from volume_bootstrap.errors import DependencyError
from volume_bootstrap.packages.uv_tool import Places, Uv
from volume_bootstrap.project import ROOT
from volume_bootstrap.project_files import PLACEHOLDER, Group

Package = dict[str, Any]
"""One entry of a lock's `packages`."""

LOCK_HEAD = {"lock-version": "1.0", "created-by": "volume_bootstrap"}
NO_VERSION = "of an address"
"""Stands for the version of a package that is named by an address."""
CUDA_SUFFIX = re.compile(r"-cu(\d\d)$")
CUDA_SIDE_BY_SIDE = re.compile(r"^nvidia-(cublas|cuda-nvrtc)(-|$)")
"""Packages whose libraries bear the release in their names, such as libcublas.so.12: a process may
load two of them. Those of cuDNN and NCCL, for one, have the same name in each release."""


@dataclass(frozen=True, slots=True)
class Resolution:
    """What a project's groups come to; `image` is what they need of the image's packages."""

    packages: tuple[Package, ...]
    image: tuple[Package, ...]

    @property
    def versions(self) -> dict[str, str]:
        return versions_of(self.packages)


def versions_of(packages: Iterable[Package]) -> dict[str, str]:
    """Versions by normalised name."""
    return {p["name"]: str(p.get("version", NO_VERSION)) for p in packages}


def compile_lock(
    uv: Uv, requirements: str, *options: str, settings: Mapping[str, Any] | None = None
) -> tuple[Package, ...]:
    """Resolve requirements for this interpreter.

    Raises
    ------
    ToolError
        They do not resolve.
    """
    output = uv(
        "compile", "-", "--format", "pylock.toml", "--no-header", "--quiet", *options,
        text=requirements, settings=settings,
    )  # fmt: skip
    return tuple(tomllib.loads(output).get("packages", ()))


def read_lock(path: Path) -> tuple[Package, ...]:
    """Packages of a ``pylock.toml``."""
    return parse_lock(path.read_text(encoding="utf-8"))


def parse_lock(text: str) -> tuple[Package, ...]:
    """Packages of the text of a ``pylock.toml``."""
    return tuple(tomllib.loads(text)["packages"])


def record(resolved: Resolution) -> str:
    """Return the lock as a generation keeps it: without credentials and signed queries."""
    return dump_lock([_public(package) for package in (*resolved.packages, *resolved.image)])


def _public(package: Package) -> Package:
    public = copy.deepcopy(package)
    for file in filter(
        None, [*public.get("wheels", ()), public.get("sdist"), public.get("archive")]
    ):
        if "url" in file:
            parts = urlsplit(file["url"])
            file["url"] = parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()
    return public


def dump_lock(packages: Iterable[Package]) -> str:
    """A ``pylock.toml`` of packages that came from one."""
    return tomli_w.dumps({**LOCK_HEAD, "packages": list(packages)})


def resolve_groups(uv: Uv, groups: Sequence[Group], image_lock: Path) -> Resolution:
    """Resolve groups together, under the image's versions.

    Groups with an index of their own are looked up there first, by name alone; the rest then has
    to go with the very files that were found. So no other package comes from that index.

    Raises
    ------
    DependencyError
        The packages need more than one major version of CUDA.
    ToolError
        They do not resolve.
    """
    fixed: dict[str, Package] = {}
    for group in groups:
        if group.has_own_index:
            beside = uv.with_places(_places(group))
            found = compile_lock(beside, "\n".join(group.packages), "--no-deps")
            fixed |= {package["name"]: package for package in found}
    extras: dict[str, set[str]] = {}
    for line in (line for group in groups for line in group.packages):
        extras.setdefault(canonicalize_name(Requirement(line).name), set()).update(
            Requirement(line).extras
        )
    lines = [
        f"{name}[{','.join(sorted(extras[name]))}] @ {_address(package)}"
        for name, package in fixed.items()
    ]
    lines += [line for group in groups if not group.has_own_index for line in group.packages]
    # What these packages declare to need is wrong: to uv they need nothing.
    alone = [name for group in groups if group.no_deps for name in group.names]
    metadata = [{"name": name, "requires-dist": []} for name in alone]
    resolved = compile_lock(
        uv,
        "\n".join(lines),
        *("--constraints", str(image_lock)),
        settings={"dependency-metadata": metadata, "index": private_indexes(groups)},
    )
    image = image_versions(image_lock)
    packages = tuple(fixed.get(package["name"], package) for package in resolved)
    _check_cuda(versions_of(packages))
    return Resolution(
        tuple(package for package in packages if package["name"] not in image),
        tuple(package for package in packages if package["name"] in image),
    )


def install_steps(
    packages: Sequence[Package], groups: Sequence[Group]
) -> list[tuple[Package, ...]]:
    """Packages in the order in which they are laid over each other; mostly one step."""
    orders: Mapping[str, int] = {
        name: group.install_order for group in groups for name in group.names
    }
    steps: dict[int, list[Package]] = {}
    for package in packages:
        steps.setdefault(orders.get(package["name"], 0), []).append(package)
    return [tuple(steps[order]) for order in sorted(steps)]


def private_indexes(groups: Sequence[Group]) -> list[dict[str, object]]:
    """Indexes of groups whose addresses hold credentials, as uv's settings have them.

    Explicit: no package is looked for there; uv takes from them how to ask for the files.
    """
    places = [_places(group) for group in groups]
    indexes = [url for p in places for url in (p.default, *p.extra) if url]
    private = [(url, "simple") for url in indexes] + [(u, "flat") for p in places for u in p.links]
    return [
        {"name": f"private-{number}", "url": url, "explicit": True, "format": kind}
        for number, (url, kind) in enumerate(private)
        if "@" in urlsplit(url).netloc
    ]


def _places(group: Group) -> Places:
    """Where the group's own packages come from."""
    links = [_expand(link) for link in group.find_links]
    return Places(
        None if group.index_url is None else _expand(group.index_url),
        tuple(_expand(url) for url in group.extra_index_urls),
        tuple(link if "://" in link else str(ROOT / link) for link in links),
    )


def _expand(address: str) -> str:
    return PLACEHOLDER.sub(lambda match: os.environ.get(match["name"]) or match["default"], address)


def _address(package: Package) -> str:
    """Address of the one file that a lock for this interpreter has for a package."""
    file = (package.get("wheels") or [package.get("sdist") or package.get("archive")])[0]
    if file is None:
        raise DependencyError(
            f"{package['name']} {package.get('version', '')} has neither a wheel nor a source "
            "archive where its group looks; name another version or another index."
        )
    return f"{address_of(file)}#sha256={file['hashes']['sha256']}"


def address_of(file: Mapping[str, Any]) -> str:
    """Address of a file of a lock; that of a local one begins with ``file:``."""
    return str(file["url"]) if "url" in file else Path(file["path"]).absolute().as_uri()


def image_versions(image_lock: Path) -> dict[str, str]:
    """What the image holds on this machine, by normalised name."""
    versions: dict[str, str] = {}
    for line in image_lock.read_text(encoding="utf-8").splitlines():
        text = line.partition("#")[0].strip()
        if not text:
            continue
        pin = Requirement(text)
        if pin.marker is None or pin.marker.evaluate():
            versions[canonicalize_name(pin.name)] = str(pin.specifier).removeprefix("==")
    return versions


def _check_cuda(versions: Mapping[str, str]) -> None:
    """Refuse libraries of two CUDA releases: the second that a process loads fails."""
    majors: dict[str, list[str]] = {}
    for name, version in versions.items():
        if CUDA_SIDE_BY_SIDE.match(name):
            continue
        if suffix := CUDA_SUFFIX.search(name):
            majors.setdefault(suffix[1], []).append(name)
        elif name == "nvidia-cuda-runtime":
            # From CUDA 13 on, NVIDIA's packages bear the release in the version alone.
            majors.setdefault(version.partition(".")[0], []).append(name)
    if len(majors) > 1:
        found = "; ".join(f"CUDA {m}: {', '.join(names[:3])}" for m, names in majors.items())
        raise DependencyError(
            f"The packages need libraries of more than one CUDA release ({found}). Choose builds "
            "of torch and onnxruntime-gpu for the same one."
        )
