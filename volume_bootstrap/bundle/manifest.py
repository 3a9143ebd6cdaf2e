"""What the manifest of a bundle says; its own mistakes are refused here."""

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Annotated

from packaging.utils import InvalidWheelFilename, parse_wheel_filename
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, model_validator

from volume_bootstrap.layout import ModelRecord
from volume_bootstrap.project import Project
from volume_bootstrap.project_files import (
    DependenciesFile,
    ModelEntry,
    ModelsFile,
    ProjectFile,
    RelativePath,
    Sha256,
)
from volume_bootstrap.sources.listing import OWN

MOST_NAME_BYTES = 255
"""Of one name on the file systems of Linux."""
MOST_WRITTEN_BYTES = MOST_NAME_BYTES - len(".partial")
"""Of a name that the provisioner writes beside first."""
LOCKED_KEYS = {
    "name",
    "version",
    "marker",
    "requires-python",
    "index",
    "wheels",
    "sdist",
    "archive",
}
"""What an entry of a bundle's lock may have; a folder or a repository would be asked for."""


def _wheel_name(name: str) -> str:
    try:
        parse_wheel_filename(name)
    except InvalidWheelFilename as error:
        raise ValueError(str(error)) from error
    if "/" in name:
        raise ValueError(f"{name!r} is no file name")
    return name


def _file_path(path: str) -> str:
    """Refuse what no file system, or no other tool, takes as the path of a model's file."""
    parts = PurePosixPath(path).parts
    if str(PurePosixPath(path)) != path or not path.isprintable() or not parts:
        raise ValueError(f"{path!r} is no plain path")
    if any(len(part.encode()) > MOST_NAME_BYTES for part in parts):
        raise ValueError(f"{path!r:.60} has a name of more than {MOST_NAME_BYTES} bytes")
    if parts[0] in OWN or path == ".":
        raise ValueError(f"{path!r} is a name that the provisioner keeps itself")
    return path


def _plain_name(name: str) -> str:
    """Refuse what is no name of one file, or cannot be shown."""
    if not name.isprintable() or "/" in name or name in {"", ".", ".."}:
        raise ValueError(f"{name!r} is no name of a file")
    if len(name.encode()) > MOST_WRITTEN_BYTES:
        raise ValueError(f"{name!r:.60} has more than {MOST_WRITTEN_BYTES} bytes")
    return name


NameLength = Field(max_length=MOST_WRITTEN_BYTES)
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*$"), NameLength]
Size = Annotated[int, Field(ge=0)]
WheelName = Annotated[str, AfterValidator(_wheel_name), NameLength]
_PATH = TypeAdapter(
    Annotated[RelativePath, AfterValidator(_file_path)], config=ConfigDict(defer_build=True)
)


class _Strict(BaseModel):
    # Built where a bundle is read.
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class Content(_Strict):
    """Bytes of the bundle, by their digest; `size` is in bytes."""

    sha256: Sha256
    size: Size


class BundledWheel(Content):
    """A wheel of a package; `laid_bytes` is the room that it takes once installed and compiled."""

    package: str
    name: WheelName
    laid_bytes: Size


class BundledSample(Content):
    """A sample, by its file name."""

    name: Annotated[str, AfterValidator(_plain_name)]


class BundleManifest(_Strict):
    """What a bundle holds, and what it was made for.

    `settings`, `dependencies` and `models` are the project's three files, with all that it extends;
    its samples are in `samples` alone. `lock` is the ``pylock.toml`` that a generation records, and
    `image` the versions of the image's packages that it counts on: their wheels are here as well,
    for the check of the imports. `records` are the models as they were on the volume, what was
    exported included, without place and times. `platform` is as uv names it.
    """

    project: Name
    settings: ProjectFile
    dependencies: DependenciesFile
    models: list[ModelEntry]
    variant: str | None
    python: str
    platform: str
    lock: str
    image: dict[str, str]
    wheels: list[BundledWheel]
    records: list[ModelRecord]
    samples: list[BundledSample]

    @model_validator(mode="after")
    def _consistent(self) -> "BundleManifest":
        ModelsFile(models=self.models)
        if self.variant is not None and self.variant not in self.dependencies.variants:
            raise ValueError(f"`variant` is {self.variant!r}, which the project has not")
        if [(m.alias, m.id) for m in self.models] != [(r.alias, r.id) for r in self.records]:
            raise ValueError("`records` are not those of `models`")
        for record in self.records:
            paths = [_PATH.validate_python(file.path) for file in record.files]
            folders = {str(parent) for path in paths for parent in PurePosixPath(path).parents}
            if (
                len(set(paths)) != len(paths)
                or folders & set(paths)
                or record.runtime not in {None, *paths}
            ):
                raise ValueError(f"the files of {record.alias} contradict each other")
        for names in ([w.name for w in self.wheels], [s.name for s in self.samples]):
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise ValueError(f"{', '.join(twice)} is there twice")
        sizes: dict[str, int] = {}
        for content in self.contents():
            if sizes.setdefault(content.sha256, content.size) != content.size:
                raise ValueError(f"{content.sha256} has two sizes")
        return self

    def contents(self) -> Iterator[Content]:
        """Go through all that the bundle has bytes of, in their order in the file."""
        yield from self.wheels
        for record in self.records:
            yield from contents_of(record)
        yield from self.samples

    def names(self) -> dict[str, str]:
        """What the contents are to people, by their digests."""
        names = {wheel.sha256: wheel.name for wheel in self.wheels}
        for record in self.records:
            names |= {file.sha256: f"{record.alias}/{file.path}" for file in record.files}
        return names | {sample.sha256: sample.name for sample in self.samples}

    def described(self) -> Project:
        """Return the project, without its samples."""
        return Project(self.project, self.settings, self.dependencies, tuple(self.models))


def contents_of(record: ModelRecord) -> Iterator[Content]:
    """Go through the bytes of a model's files, in their order."""
    for file in record.files:
        yield Content(sha256=file.sha256, size=file.size)
