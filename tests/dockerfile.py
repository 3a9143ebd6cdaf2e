"""A Dockerfile as its stages, for tests of what it copies and runs."""

import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Stage:
    """One stage: what it is based on, and its instructions as (name, value) in their order."""

    name: str
    base: str
    instructions: list[tuple[str, str]] = field(default_factory=list)

    def values(self, name: str) -> list[str]:
        """Values of the instructions of one name."""
        return [value for each, value in self.instructions if each == name]

    def default(self, argument: str) -> str:
        """Default of a build argument."""
        (value,) = [v for v in self.values("ARG") if v.partition("=")[0] == argument]
        return value.partition("=")[2]

    def copies(self) -> list[tuple[list[str], str]]:
        """Sources in the build's context, and where each list of them goes."""
        words = [value.split() for value in self.values("COPY")]
        return [(each[:-1], each[-1]) for each in words if not each[0].startswith("--")]


def read(path: Path) -> list[Stage]:
    """Read the stages; instructions before the first FROM are those of one without a name."""
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
    text = re.sub(r"\\\n\s*", "", "\n".join(lines))
    stages = [Stage("", "")]
    for line in filter(None, map(str.strip, text.splitlines())):
        name, _, value = line.partition(" ")
        if name == "FROM":
            base, _, own = value.partition(" AS ")
            stages.append(Stage(own, base))
        else:
            stages[-1].instructions.append((name, value.strip()))
    return stages


def lay(stages: list[Stage], root: Path, folder: Path) -> None:
    """Copy what stages copy from the context, as a build does, with `folder` as their WORKDIR."""
    folder.mkdir()
    for sources, target in [copy for stage in stages for copy in stage.copies()]:
        for source in sources:
            path, place = root / source, folder / target
            if path.is_dir():
                ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
                shutil.copytree(path, place, dirs_exist_ok=True, ignore=ignored)
            else:
                place = place / path.name if target.endswith("/") else place
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, place)
