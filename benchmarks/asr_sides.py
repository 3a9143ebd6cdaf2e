"""The sides of the comparisons of speech recognition, each job list in a process of its own."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import file_digest
from pathlib import Path
from typing import Any

from benchmarks import process
from benchmarks.sides import ENVIRONMENT, THREADS
from volume_bootstrap.layout import Manifest, ModelFile, ModelRecord, Volume, dump, manifest_of

Result = dict[str, Any]
Job = dict[str, Any]

AUDIO = "audio"
"""Folder of a borrowed volume; a job may not follow a link out of it."""


@dataclass(frozen=True, slots=True)
class Run:
    """What a process answered: an object for each of its jobs."""

    answers: list[Result]
    process: process.Finished


@dataclass(frozen=True, slots=True)
class AsrWorker:
    """The worker on a volume of its own, which borrows packages and models from another."""

    python: str
    volume: Volume
    project: str

    @classmethod
    def borrow(cls, python: str, volume: Volume, project: str, folder: Path) -> "AsrWorker":
        """Build the volume in `folder`, with an empty folder ``audio``."""
        own = Volume(folder)
        (folder / AUDIO).mkdir(parents=True)
        own.models.mkdir()
        for there in volume.models.iterdir():
            (own.models / there.name).symlink_to(there.resolve())
        (folder / "python-deps").symlink_to((volume.root / "python-deps").resolve())
        own.metadata.mkdir()
        worker = cls(python, own, project)
        worker._write(manifest_of(volume, project))
        return worker

    @property
    def audio(self) -> Path:
        return self.volume.root / AUDIO

    def record(self, alias: str) -> ModelRecord:
        """What the manifest tells of a model.

        Raises
        ------
        LookupError
            It lists none of this name.
        """
        record = manifest_of(self.volume, self.project).model(alias)
        if record is None:
            raise LookupError(f"project {self.project} has no model {alias} on this volume.")
        return record

    def folder(self, alias: str) -> Path:
        """Where a model lies."""
        return self.volume.models / self.record(alias).folder

    def add_default(self, alias: str, model: Path) -> None:
        """Make the folder `model`, in FunASR's format, the project's default for ASR."""
        (self.volume.models / alias).symlink_to(model)
        record = ModelRecord(
            alias=alias,
            id=alias,
            revision=None,
            task="asr",
            licence="none",
            source="random weights",
            engine="funasr",
            folder=alias,
            files=tuple(_file(path, model) for path in sorted(model.iterdir())),
            runtime=None,
            parity=None,
            export=None,
        )
        manifest = manifest_of(self.volume, self.project)
        defaults = {**manifest.defaults, "asr": {"models": {"asr": alias}}}
        self._write(replace(manifest, defaults=defaults, models=(*manifest.models, record)))

    def run(self, jobs: Sequence[Job], precision: str = "float32") -> Run:
        """Answer the jobs, one after the other; each answer has `wall_s`."""
        inputs = [json.dumps(job) for job in jobs]
        command = [self.python, "-m", "benchmarks.worker_jobs", *inputs]
        return _run(command, self.environment(precision))

    def script(self, module: str, *arguments: str, precision: str = "float32") -> Run:
        """Run another module of the benchmarks in the worker's Python, on this volume."""
        command = [self.python, "-m", f"benchmarks.{module}", *arguments]
        return _run(command, self.environment(precision))

    def environment(self, precision: str) -> dict[str, str]:
        return {
            **ENVIRONMENT,
            "SPEECH_VOLUME": str(self.volume.root),
            "SPEECH_PROJECT": self.project,
            "MODELSCOPE_CACHE": "",
            "SPEECH_DEVICE": "cpu",
            "SPEECH_PRECISION": precision,
            "SPEECH_THREADS": str(THREADS),
            "SPEECH_LOG_LEVEL": "WARNING",
        }

    def _write(self, manifest: Manifest) -> None:
        self.volume.manifest(self.project).write_text(dump(manifest), encoding="utf-8")


def peer(script: str, job: Job) -> Run:
    """Run a script of the benchmarks in this Python, which holds the peers."""
    return _run([sys.executable, f"benchmarks/{script}", json.dumps(job)], ENVIRONMENT)


def _run(command: Sequence[str], environment: Mapping[str, str]) -> Run:
    finished = process.run(command, environment, marker="{")
    answers = [json.loads(line) for line in finished.lines if line.startswith("{")]
    return Run(answers, finished)


def _file(path: Path, folder: Path) -> ModelFile:
    with path.open("rb") as opened:
        digest = file_digest(opened, "sha256").hexdigest()
    status = path.stat()
    return ModelFile(str(path.relative_to(folder)), status.st_size, digest, status.st_mtime_ns)
