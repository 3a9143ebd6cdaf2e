"""A side of the comparison, and the worker as one: measured in processes of its own."""

import argparse
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from benchmarks import process
from volume_bootstrap.layout import Volume

THREADS = 2
WINDOW = ("7.0", "1.5")
"""Start and length of the window of sample.wav whose embeddings are compared, in seconds."""
# The same for all sides: the CPU, and as many threads.
ENVIRONMENT = {
    "CUDA_VISIBLE_DEVICES": "",
    "OMP_NUM_THREADS": str(THREADS),
    "OPENBLAS_NUM_THREADS": str(THREADS),
}

Seconds = dict[str, float]
Reply = dict[str, Any]

AUDIO = "audio"
"""Folder of a volume of the worker's own; a job may not follow a link out of it."""


def add_worker_options(parser: argparse.ArgumentParser) -> None:
    """Let a command line say which worker is measured."""
    parser.add_argument("--volume", type=Path, default=Path("volume"), help="provisioned volume")
    parser.add_argument("--project", default="demo", help="project on the volume")
    parser.add_argument("--worker-python", default=".venv/bin/python", help="runs the worker")


@dataclass(frozen=True, slots=True)
class Pass:
    """One process of one side, warm, over all recordings.

    timings : by recording, seconds by stage.
    durations : of the recordings in seconds, as the side tells.
    """

    timings: dict[str, Seconds]
    durations: dict[str, float]
    process: process.Finished


class Side(Protocol):
    """Tells who spoke when."""

    def diarize(self, recordings: Sequence[Path], out: Path) -> Pass:
        """Diarize the first recording to warm up, then all; RTTM files go to `out`."""


@dataclass(frozen=True, slots=True)
class Worker:
    """The worker, on a volume of its own that borrows everything but the audio."""

    python: str
    volume: Path
    project: str

    @classmethod
    def prepare(
        cls, python: str, volume: Volume, project: str, recordings: Sequence[Path], folder: Path
    ) -> "Worker":
        """Build the volume in `folder`, with copies of the recordings."""
        audio = folder / AUDIO
        audio.mkdir(parents=True)
        for name in (volume.metadata, volume.models, volume.root / "python-deps"):
            (folder / name.name).symlink_to(name.resolve())
        for recording in recordings:
            shutil.copyfile(recording, audio / recording.name)
        return cls(python, folder, project)

    @property
    def audio(self) -> Path:
        """Folder that the recordings lie in."""
        return self.volume / AUDIO

    def answer(self, recordings: Sequence[Path]) -> tuple[process.Finished, list[Reply]]:
        """Diarize the recordings, one after the other."""
        job = {"task": "diarization", "formats": ["json", "rttm"]}
        jobs = [json.dumps({**job, "audio": f"volume://{AUDIO}/{r.name}"}) for r in recordings]
        command = [self.python, "-m", "benchmarks.worker_jobs", *jobs]
        finished = process.run(command, self.environment)
        return finished, [json.loads(line) for line in finished.lines]

    def diarize(self, recordings: Sequence[Path], out: Path) -> Pass:
        finished, (_, *answers) = self.answer((recordings[0], *recordings))
        replies = {path.stem: reply for path, reply in zip(recordings, answers, strict=True)}
        out.mkdir(parents=True)
        for name, reply in replies.items():
            (out / f"{name}.rttm").write_text(reply["files"]["rttm"], encoding="utf-8")
        return Pass(
            timings={name: seconds(reply) for name, reply in replies.items()},
            durations={name: reply["audio"]["duration"] for name, reply in replies.items()},
            process=finished,
        )

    def start(self, recording: Path) -> process.Finished:
        """Start handler.py on one job, until the SDK shows its result."""
        job = {"input": {"task": "diarization", "audio": f"volume://{AUDIO}/{recording.name}"}}
        command = [self.python, "handler.py", "--test_input", json.dumps(job)]
        environment = {**self.environment, "RUNPOD_LOG_LEVEL": "INFO"}
        return process.run(command, environment, marker="Job result:")

    def engines(self, data: Path) -> tuple[dict[str, object], list[float]]:
        """Compare with the golden VAD segments; the embedding of one window."""
        command = [self.python, "-m", "benchmarks.worker_engines", str(data), *WINDOW]
        answer = json.loads(process.run(command, self.environment).lines[-1])
        return answer["vad"], answer["embedding"]

    @property
    def environment(self) -> dict[str, str]:
        return {
            **ENVIRONMENT,
            "SPEECH_VOLUME": str(self.volume),
            "SPEECH_PROJECT": self.project,
            "MODELSCOPE_CACHE": "",
            "SPEECH_DEVICE": "cpu",
            "SPEECH_THREADS": str(THREADS),
            "SPEECH_LOG_LEVEL": "WARNING",
        }


def seconds(reply: Reply) -> Seconds:
    """Seconds of each stage of a job."""
    return {stage: s for stage, s in reply["timings"].items() if stage != "rtf"}
