"""What became of a pod's run, on the volume: as JSON, and as text for people."""

import json
import shutil
import uuid
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from volume_bootstrap import __version__
from volume_bootstrap.console import size
from volume_bootstrap.errors import VolumeError
from volume_bootstrap.files import move_file
from volume_bootstrap.layout import Generation, ModelRecord, Volume
from volume_bootstrap.processes import now

NAME = "pod-report"
"""Of both files, under ``.metadata``. A run replaces those of the run before."""

OUTCOMES = {
    "unfinished": "This run has not ended: it goes on, or was stopped.",
    "failed": "This run failed: do not count on the volume before another one was ready.",
    "ready": "The volume is ready.",
}


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the run, and what it took."""

    name: str
    seconds: float


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """A model on the volume: the SHA-256 of each file, all sizes in bytes."""

    alias: str
    reference: str
    source: str
    size_bytes: int
    sha256: dict[str, str]


@dataclass(frozen=True, slots=True)
class ProjectFacts:
    """What the volume serves for a project; `changed` tells whether this run did that."""

    name: str
    variant: str | None
    generation: str
    num_packages: int
    packages_bytes: int
    models: tuple[ModelFacts, ...]
    changed: bool

    @classmethod
    def of(
        cls, generation: Generation, models: tuple[ModelRecord, ...], *, changed: bool
    ) -> "ProjectFacts":
        return cls(
            generation.project,
            generation.variant,
            generation.id,
            len(generation.packages),
            generation.num_bytes,
            tuple(map(_model, models)),
            changed,
        )


@dataclass(frozen=True, slots=True)
class Tried:
    """A job that the volume served: what it heard, in seconds, and what it found.

    `seconds` are those of the job, without the start of the worker and the loading of its models.
    """

    project: str
    task: str
    audio: str
    audio_seconds: float
    seconds: float
    num_speakers: int
    text: str | None


@dataclass(slots=True)
class Report:
    """A run so far; times in UTC, as ISO 8601."""

    volume: Path
    python: str
    pod_id: str | None
    volume_id: str | None
    projects: tuple[str, ...]
    variant: str | None
    version: str = __version__
    started: str = field(default_factory=now)
    ended: str | None = None
    outcome: Literal["unfinished", "failed", "ready"] = "unfinished"
    doing: str | None = None
    error: str | None = None
    steps: list[Step] = field(default_factory=list)
    filled: list[ProjectFacts] = field(default_factory=list)
    tried: list[Tried] = field(default_factory=list)
    free_bytes: int = 0
    total_bytes: int = 0

    def close(self, outcome: Literal["failed", "ready"], error: str | None = None) -> None:
        """Say how the run ended."""
        self.outcome, self.error, self.ended = outcome, error, now()

    def write(self, volume: Volume) -> None:
        """Put both files in their places, each whole, the text last; with the lock or without.

        Raises
        ------
        VolumeError
            The volume cannot be written to.
        """
        path = volume.metadata / f"{NAME}.json"
        try:
            usage = shutil.disk_usage(volume.root)
            self.free_bytes, self.total_bytes = usage.free, usage.total
            _put(path, f"{json.dumps(self.as_json(), indent=2)}\n")
            _put(path.with_suffix(".txt"), self.as_text())
        except OSError as error:
            raise VolumeError(
                f"The report cannot be written to {path}: {error.strerror}. Free some room on the "
                "volume, or mount it so that it can be written to."
            ) from error

    def as_json(self) -> dict[str, object]:
        return {**asdict(self), "volume": str(self.volume)}

    def as_text(self) -> str:
        """The report for people, the outcome last."""
        pod = f", pod {self.pod_id}" if self.pod_id else ""
        lines = [
            f"{self.volume}, speech-worker {self.version}, Python {self.python}{pod}",
            f"  projects  {', '.join(self.projects)}; variant {self.variant or 'as it comes'}",
            f"  from      {self.started} to {self.ended or '…'}",
        ]
        lines += [f"  {step.seconds:7.1f} s  {step.name}" for step in self.steps]
        for each in self.filled:
            lines.append(f"{each.name}: {'changed' if each.changed else 'nothing to do'}")
            lines.append(
                f"  packages  {each.num_packages} in generation {each.generation}, "
                f"{size(each.packages_bytes)}"
            )
            for model in each.models:
                name = f"{model.alias}  {model.reference}"
                lines.append(f"  model     {name}  {size(model.size_bytes)}")
                lines += [f"    {digest}  {path}" for path, digest in model.sha256.items()]
        for job in self.tried:
            lines.append(
                f"{job.project}: {job.task} of {job.audio_seconds:.1f} s of audio in "
                f"{job.seconds:.1f} s, speakers: {job.num_speakers}"
            )
            lines += [f"  {job.text}"] if job.text else []
        lines.append(f"{size(self.free_bytes)} of {size(self.total_bytes)} free")
        if self.outcome != "ready" and self.doing:
            lines.append(f"{'At' if self.error else 'Now'}: {self.doing}")
        lines += [self.error] if self.error else []
        return "\n".join([*lines, OUTCOMES[self.outcome], ""])


def _put(path: Path, text: str) -> None:
    """Write a file whole, by a draft of its own: one who waits for the lock writes meanwhile."""
    draft = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        draft.write_text(text, encoding="utf-8")
        move_file(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def _model(record: ModelRecord) -> ModelFacts:
    return ModelFacts(
        record.alias,
        record.reference,
        record.source,
        sum(file.size for file in record.files),
        {file.path: file.sha256 for file in record.files},
    )
