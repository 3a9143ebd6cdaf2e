"""``THIRD_PARTY_LICENSES``: the licences of all that this repository, its image and volumes carry.

Those of the image's packages are read from their metadata, those of models from projects/*/, those
of vendored files from the text beside them; the rest is written down in licences.toml.
"""

import importlib.metadata
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from volume_bootstrap.project import known_projects, read_project

ROOT = Path(__file__).resolve().parent.parent
NOTES = Path(__file__).with_name("licences.toml")
PYTHON = "3.11"
"""Every project is for it."""

INTRODUCTION = """\
This project is under Apache-2.0 (LICENSE). What follows was made by others. Made by make generate.
"""
MODELS = """\
A volume, and an image of the target `baked`, holds the models of its project. Apache-2.0 and MIT
let you hand them on, with their texts (below, and in LICENSE). Version 1.0 of the FunASR Model
Open Source License asks for a permission (free, funasr@list.alibaba-inc.com) to upload its models
to another platform for download, so ask before you publish an image with them, and read the cards
of those that name no licence.
"""
PACKAGES = """\
Packages on a volume, or in an image of the target `baked`, come from the package index and keep
their licence files in their *.dist-info folders; so do those that these need in turn. The variant
cuda holds NVIDIA's libraries, under NVIDIA's own terms. Named by the projects:
"""
IMAGE = "Packages of the image (requirements.lock), with the licences that their metadata states:\n"
MIT = """\
Permission is hereby granted, free of charge, to any person obtaining a copy of this software and
associated documentation files (the "Software"), to deal in the Software without restriction,
including without limitation the rights to use, copy, modify, merge, publish, distribute,
sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or
substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT
NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND
NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM,
DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT
OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""


def licences() -> str:
    """Return the whole file.

    Raises
    ------
    SystemExit
        licences.toml does not name a package that a project pins.
    """
    notes = tomllib.loads(NOTES.read_text(encoding="utf-8"))
    return "\n".join(
        [
            INTRODUCTION,
            _heading("In this repository"),
            *(_bundled(entry) for entry in notes["bundled"]),
            *(_vendored(path) for path in vendored()),
            _heading("Models"),
            MODELS,
            *_models(notes["notices"]),
            "",
            _heading("Packages"),
            PACKAGES,
            *_pins(notes["packages"]),
            "",
            IMAGE,
            *(f"  {name} {version}: {licence}" for name, version, licence in image_packages()),
            "",
            _heading("The MIT licence"),
            MIT,
        ]
    )


def vendored() -> list[Path]:
    """Licence texts that lie beside vendored files of the worker: ``NAME.LICENSE``."""
    return sorted((ROOT / "worker").rglob("*.LICENSE"))


def image_packages() -> Iterator[tuple[str, str, str]]:
    """Name, version and licence of all that requirements.txt brings, as installed here."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    found: dict[str, importlib.metadata.Distribution] = {}
    seen: set[tuple[str, str]] = set()
    todo = [Requirement(line) for line in lines if line.strip() and not line.startswith("#")]
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        for extra in {"", *requirement.extras}:
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            found[name] = importlib.metadata.distribution(name)
            needs = [Requirement(line) for line in found[name].requires or []]
            todo += [n for n in needs if n.marker is None or n.marker.evaluate({"extra": extra})]
    for package, distribution in sorted(found.items()):
        yield package, distribution.version, _licence_of(distribution)


def pins() -> list[str]:
    """Packages that projects name with their versions, without extras: ``name==version``."""
    named = {
        line
        for project in known_projects()
        for group in read_project(project, PYTHON).dependencies.groups
        for line in group.packages
    }
    exact = (Requirement(line) for line in named)
    # With three signs as well: another build of the same version.
    return sorted({f"{r.name}=={str(r.specifier).lstrip('=')}" for r in exact})


def _heading(title: str) -> str:
    return f"{title}\n{'=' * len(title)}\n"


def _bundled(entry: dict[str, Any]) -> str:
    lines = [entry["name"], *(f"  {path}" for path in entry["paths"])]
    return "\n".join([*lines, f"  Origin: {entry['origin']}", f"  Licence: {entry['licence']}", ""])


def _vendored(path: Path) -> str:
    stem = path.name.removesuffix(".LICENSE")
    beside = sorted(p for p in path.parent.glob(f"{stem}.*") if p != path)
    files = [f"  {p.relative_to(ROOT)}" for p in beside]
    return "\n".join([stem, *files, "", path.read_text(encoding="utf-8").strip(), ""])


def _models(notices: dict[str, str]) -> Iterator[str]:
    for name in known_projects():
        yield f"Project {name}:"
        for model in read_project(name, PYTHON).models:
            words = [model.id, model.licence, notices.get(model.alias)]
            yield f"  {model.alias}: {', '.join(word for word in words if word)}"


def _pins(known: dict[str, str]) -> Iterable[str]:
    if odd := known.keys() ^ set(pins()):
        sys.exit(
            "scripts/licences.toml: [packages] names each package that a project pins and no "
            f"other; it lacks, or has in vain: {', '.join(sorted(odd))}. Read the licence of that "
            "version from its metadata."
        )
    return [f"  {pin.replace('==', ' ')}: {known[pin]}" for pin in sorted(known)]


def _licence_of(distribution: importlib.metadata.Distribution) -> str:
    """What a package's metadata states, at its shortest."""
    metadata = distribution.metadata
    stated = next(
        (metadata[key] for key in ("License-Expression", "License") if key in metadata), ""
    )
    classifiers = [
        line.rpartition(" :: ")[2]
        for line in metadata.get_all("Classifier") or []
        if line.startswith("License :: ")
    ]
    # Older packages have the whole text there.
    short = stated if "\n" not in stated else ""
    return short or " or ".join(classifiers) or "none stated"
