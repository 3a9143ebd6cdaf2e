"""``projects/<name>/``: what a volume is filled with, read, validated, and extended."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from volume_bootstrap.errors import ProjectError
from volume_bootstrap.project_files import (
    DependenciesFile,
    Group,
    ModelEntry,
    ModelsFile,
    ProjectFile,
    belongs,
)

ROOT = Path(__file__).resolve().parent.parent
"""This repository: bundled models and samples are named relative to it."""

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The one in C, where PyYAML was built with it: the other takes a tenth of a second."""

Schema = TypeVar("Schema", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Project:
    """The three files of a project, with what it extends."""

    name: str
    settings: ProjectFile
    dependencies: DependenciesFile
    models: tuple[ModelEntry, ...]

    def choose_variant(self, wanted: str | None) -> str | None:
        """Return `wanted`, or the default; none where the project has no variants.

        Raises
        ------
        ProjectError
            The project has no such variant.
        """
        variants = self.dependencies.variants
        if wanted is None:
            return variants[0] if variants else None
        if wanted not in variants:
            raise ProjectError(
                f"Project {self.name} has no variant {wanted!r}; "
                f"it has: {', '.join(variants) or 'none, so leave --variant out'}."
            )
        return wanted

    def groups(self, variant: str | None) -> list[Group]:
        """Groups of a variant, in the order in which they are installed."""
        chosen = [group for group in self.dependencies.groups if belongs(group, variant)]
        return sorted(chosen, key=lambda group: group.install_order)


def read_project(name: str, python: str, root: Path = ROOT) -> Project:
    """Read ``projects/<name>/`` and what it extends.

    Raises
    ------
    ProjectError
        There is no such project, a file is wrong, or it is not for this Python.
    """
    project = _read_project(name, root, extended_by=())
    if python not in project.settings.python:
        raise ProjectError(
            f"Project {name} is for Python {', '.join(project.settings.python)}; this is {python}. "
            "Run the provisioner with one of those."
        )
    # Only now: a project may use the variants of the one that it extends.
    for group in project.dependencies.groups:
        if unlisted := set(group.variants) - set(project.dependencies.variants):
            raise ProjectError(
                f"Project {name}: group {group.name} is for the variants "
                f"{', '.join(sorted(unlisted))}; `variants` of dependencies.yaml lists: "
                f"{', '.join(project.dependencies.variants) or 'none'}."
            )
    for sample in project.settings.samples:
        if not (root / sample).is_file():
            raise ProjectError(f"Project {name}: the sample {root / sample} is no file.")
    known = {model.alias for model in project.models}
    for task, options in project.settings.defaults.items():
        models = options.get("models", {})
        if unknown := set(models.values() if isinstance(models, dict) else [models]) - known:
            raise ProjectError(
                f"Project {name}: the defaults of {task} name the models "
                f"{', '.join(map(repr, sorted(unknown)))}; models.yaml has: "
                f"{', '.join(sorted(known)) or 'none'}."
            )
    return project


def known_projects(root: Path = ROOT) -> list[str]:
    """Names of the folders under ``projects/``."""
    return sorted(path.parent.name for path in (root / "projects").glob("*/project.yaml"))


def _read_project(name: str, root: Path, extended_by: tuple[str, ...]) -> Project:
    known = known_projects(root)
    if name not in known:
        who = f"{extended_by[-1]} extends {name!r}, which is" if extended_by else f"{name!r} is"
        raise ProjectError(f"{who} not a project; projects/ holds: {', '.join(known)}.")
    if name in extended_by:
        circle = " extends ".join([*extended_by, name])
        raise ProjectError(f"Projects extend each other in a circle: {circle}.")
    folder = root / "projects" / name
    project = Project(
        name,
        _read(folder / "project.yaml", ProjectFile),
        _read(folder / "dependencies.yaml", DependenciesFile),
        tuple(_read(folder / "models.yaml", ModelsFile).models),
    )
    if project.settings.extends is not None:
        base = _read_project(project.settings.extends, root, (*extended_by, name))
        project = _extend(base, project, folder)
    for missing, value in (
        ("project.yaml: `python` lists no version", project.settings.python),
        ("dependencies.yaml: `groups` is empty", project.dependencies.groups),
        ("dependencies.yaml: `imports` is empty", project.dependencies.imports),
    ):
        if not value:
            raise ProjectError(f"{folder}/{missing}, and no extended project has any.")
    return project


def _extend(base: Project, own: Project, folder: Path) -> Project:
    """Put a project's own entries after, or by their name in place of, those it extends."""
    try:
        return Project(
            own.name,
            ProjectFile(
                python=own.settings.python or base.settings.python,
                defaults={**base.settings.defaults, **own.settings.defaults},
                samples=_unique([*base.settings.samples, *own.settings.samples]),
            ),
            DependenciesFile(
                variants=own.dependencies.variants or base.dependencies.variants,
                groups=[
                    *(g for g in base.dependencies.groups if not _is_replaced(g, own)),
                    *own.dependencies.groups,
                ],
                imports=_unique([*base.dependencies.imports, *own.dependencies.imports]),
            ),
            tuple(
                ModelsFile(
                    models=[
                        *(m for m in base.models if m.alias not in {o.alias for o in own.models}),
                        *own.models,
                    ]
                ).models
            ),
        )
    except ValidationError as error:
        raise ProjectError(f"{folder} does not go with {base.name}: {mistakes(error)}.") from error


def _is_replaced(group: Group, project: Project) -> bool:
    return any(
        own.name == group.name and own.variants == group.variants
        for own in project.dependencies.groups
    )


def _unique(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(values))


def _read(path: Path, schema: type[Schema]) -> Schema:
    try:
        content = yaml.load(path.read_bytes(), LOADER)  # noqa: S506 - both are safe loaders
        # An extending project may have nothing of its own in a file.
        return schema.model_validate({} if content is None else content)
    except FileNotFoundError as error:
        raise ProjectError(f"{path} does not exist.") from error
    except yaml.YAMLError as error:
        raise ProjectError(f"{path} is not YAML: {error}") from error
    except ValidationError as error:
        raise ProjectError(f"{path} is wrong: {mistakes(error)}.") from error


def mistakes(error: ValidationError) -> str:
    """Say what pydantic found wrong, in one line."""
    return "; ".join(
        ": ".join(filter(None, [".".join(str(part) for part in e["loc"]), e["msg"]]))
        for e in error.errors(include_url=False)
    )
