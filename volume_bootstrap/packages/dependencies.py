"""What a project's packages on a volume are, and what an install would change."""

import logging
import os
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from volume_bootstrap import files
from volume_bootstrap.errors import DependencyError, ToolError
from volume_bootstrap.layout import Generation, Volume
from volume_bootstrap.packages import generations, resolution
from volume_bootstrap.packages.integrity import missing_packages
from volume_bootstrap.packages.resolution import Resolution
from volume_bootstrap.packages.uv_tool import Uv, find_uv, is_offline
from volume_bootstrap.project import ROOT, Project
from volume_bootstrap.project_files import Group
from volume_bootstrap.stages import stage

logger = logging.getLogger(__name__)

IMAGE_LOCK = ROOT / "requirements.lock"
RECIPE = 4
"""Raised when the same inputs should build another folder."""


@dataclass(frozen=True, slots=True)
class Change:
    """One package that a plan adds (no `before`), changes, or removes (no `after`)."""

    name: str
    before: str | None
    after: str | None

    @property
    def sign(self) -> str:
        """``+``, ``~`` or ``-``."""
        return "+" if self.before is None else "-" if self.after is None else "~"


@dataclass(frozen=True, slots=True)
class Plan:
    """What an install would do; `resolved` is none where the active generation is up to date.

    `uv` is what it was resolved with: whoever builds asks pip for its configuration no second time.
    """

    project: Project
    variant: str | None
    inputs: str
    active: Generation | None
    resolved: Resolution | None
    uv: Uv | None

    @property
    def changes(self) -> list[Change]:
        if self.resolved is None:
            return []
        return changes(self.active.packages if self.active else {}, self.resolved.versions)


def changes(before: Mapping[str, str], after: Mapping[str, str]) -> list[Change]:
    """What differs between two sets of versions, by name."""
    names = sorted({*before, *after})
    pairs = [Change(name, before.get(name), after.get(name)) for name in names]
    return [change for change in pairs if change.before != change.after]


def plan(
    volume: Volume,
    project: Project,
    *,
    variant: str | None = None,
    mirror: str | None = None,
    force: bool = False,
    image_lock: Path = IMAGE_LOCK,
) -> Plan:
    """Say what an install would add, change and remove; nothing on the volume changes.

    Parameters
    ----------
    variant : by default that of the active generation, else the project's first.
    mirror : address of an index in place of the default one.
    force : resolve although nothing has changed, and ask the indexes for everything again.
    image_lock : what the image holds: a requirements file of exact pins.

    Raises
    ------
    DependencyError
        The packages do not resolve.
    ProjectError
        The project has no such variant.
    """
    now = generations.active(volume, project.name) or generations.older_tool(volume, project.name)
    if variant is None and now and now.variant in project.dependencies.variants:
        variant = now.variant
    variant = project.choose_variant(variant)
    groups = project.groups(variant)
    inputs = inputs_of(project, variant, image_lock)
    if now and now.inputs == inputs and not force and not missing_packages(volume, now):
        return Plan(project, variant, inputs, now, None, None)
    stage("resolve")
    logger.info("%s: resolving", project.name)
    try:
        uv = find_uv(uv_cache_of(volume), mirror)
        resolved = resolve_groups(uv, groups, image_lock, force=force)
    except ToolError as error:
        raise DependencyError(
            f"The packages of project {project.name} do not resolve. {error}"
        ) from error
    return Plan(project, variant, inputs, now, resolved, uv)


def inputs_of(project: Project, variant: str | None, image_lock: Path = IMAGE_LOCK) -> str:
    """Digest of all that a resolution is asked for."""
    return files.digest_of(
        RECIPE,
        variant,
        # With the addresses as they stand there: which mirror a variable names is no change.
        [group.model_dump() for group in project.groups(variant)],
        project.dependencies.imports,
        image_lock.read_text(encoding="utf-8"),
        sysconfig.get_config_var("SOABI"),
    )


def resolve_groups(
    uv: Uv, groups: Sequence[Group], image_lock: Path = IMAGE_LOCK, *, force: bool = False
) -> Resolution:
    """Resolve groups together; where they do not, once more with what the indexes say now.

    Parameters
    ----------
    force : ask the indexes for everything again at once.

    Raises
    ------
    DependencyError
        The packages need more than one major version of CUDA.
    ToolError
        They do not resolve.
    """
    asking = replace(uv, asks_again=not is_offline())
    try:
        return resolution.resolve_groups(asking if force else uv, groups, image_lock)
    except ToolError:
        if not asking.asks_again:
            raise
        # What is missing may have been published in the minutes that a page counts as fresh.
        return resolution.resolve_groups(asking, groups, image_lock)


def resolve(uv: Uv, requirements: str, *options: str) -> dict[str, str]:
    """Resolve requirements to exact versions, by normalised name."""
    return resolution.versions_of(resolution.compile_lock(uv, requirements, *options))


def uv_cache_of(volume: Volume) -> Path | None:
    """uv's cache on the volume; the user's own for a mere look at one that cannot be written to."""
    return volume.uv_cache if os.access(volume.root, os.W_OK) else None
