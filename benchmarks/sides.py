"""The two sides, each measured in processes of its own: the worker, and FunASR's blocks."""

import json
import math
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import process
from volume_bootstrap.layout import Volume

THREADS = 2
MODELS = Path("models/hub/iic")
VAD_FOLDER = MODELS / "speech_fsmn_vad_zh-cn-16k-common-pytorch"
SPEAKER_WEIGHTS = (
    MODELS / "speech_campplus_sv_zh_en_16k-common_advanced" / "campplus_cn_en_common.pt"
)
SPEAKER_CONFIG = """\
model: CAMPPlus
model_conf:
  feat_dim: 80
  embedding_size: 192
  growth_rate: 32
  bn_size: 4
  init_channels: 128
  config_str: batchnorm-relu
  memory_efficient: true
  output_level: segment
"""
LEAST_COSINE = 0.999
WINDOW = ("7.0", "1.5")
"""Start and length of the window of sample.wav whose embeddings are compared, in seconds."""
PEER_LINE = re.compile(
    r"^(?P<name>\S+) dur (?P<duration>\d+) vad (?P<vad>[\d.]+) emb (?P<embedding>[\d.]+) \(\d+\) "
    r"cluster (?P<clustering>[\d.]+) total (?P<total>[\d.]+) "
)
PEER_STAGES = ("vad", "embedding", "clustering", "total")
# The same for both sides: the CPU, and as many threads.
ENVIRONMENT = {
    "CUDA_VISIBLE_DEVICES": "",
    "OMP_NUM_THREADS": str(THREADS),
    "OPENBLAS_NUM_THREADS": str(THREADS),
}

Seconds = dict[str, float]


@dataclass(frozen=True, slots=True)
class Pass:
    """One process of one side, warm, over all recordings.

    timings : by recording, seconds by stage.
    durations : of the recordings in seconds, as the side tells.
    """

    timings: dict[str, Seconds]
    durations: dict[str, float]
    process: process.Finished


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
        """Build the volume in `folder`; a job may not follow a link out of it."""
        audio = folder / "audio"
        audio.mkdir(parents=True)
        for name in (volume.metadata, volume.models, volume.root / "python-deps"):
            (folder / name.name).symlink_to(name.resolve())
        for recording in recordings:
            (audio / recording.name).write_bytes(recording.read_bytes())
        return cls(python, folder, project)

    def diarize(self, recordings: Sequence[Path], out: Path) -> Pass:
        """Diarize the first recording to warm up, then all; RTTM files go to `out`."""
        job = {"task": "diarization", "formats": ["json", "rttm"]}
        jobs = [
            json.dumps({**job, "audio": f"volume://audio/{path.name}"})
            for path in (recordings[0], *recordings)
        ]
        command = [self.python, "-m", "benchmarks.worker_jobs", *jobs]
        finished = process.run(command, self._environment)
        replies = {
            path.stem: json.loads(line)
            for path, line in zip(recordings, finished.lines[1:], strict=True)
        }
        out.mkdir(parents=True)
        for name, reply in replies.items():
            (out / f"{name}.rttm").write_text(reply["files"]["rttm"], encoding="utf-8")
        return Pass(
            timings={
                name: {stage: s for stage, s in reply["timings"].items() if stage != "rtf"}
                for name, reply in replies.items()
            },
            durations={name: reply["audio"]["duration"] for name, reply in replies.items()},
            process=finished,
        )

    def start(self, recording: Path) -> process.Finished:
        """Start handler.py on one job, until the SDK shows its result."""
        job = {"input": {"task": "diarization", "audio": f"volume://audio/{recording.name}"}}
        command = [self.python, "handler.py", "--test_input", json.dumps(job)]
        environment = {**self._environment, "RUNPOD_LOG_LEVEL": "INFO"}
        return process.run(command, environment, marker="Job result:")

    def engines(self, data: Path) -> tuple[dict[str, object], list[float]]:
        """Compare with the golden VAD segments; the embedding of one window."""
        command = [self.python, "-m", "benchmarks.worker_engines", str(data), *WINDOW]
        answer = json.loads(process.run(command, self._environment).lines[-1])
        return answer["vad"], answer["embedding"]

    @property
    def _environment(self) -> dict[str, str]:
        return {
            **ENVIRONMENT,
            "SPEECH_VOLUME": str(self.volume),
            "SPEECH_PROJECT": self.project,
            "MODELSCOPE_CACHE": "",
            "SPEECH_DEVICE": "cpu",
            "SPEECH_THREADS": str(THREADS),
            "SPEECH_LOG_LEVEL": "WARNING",
        }


@dataclass(frozen=True, slots=True)
class Peer:
    """FunASR's blocks, in the Python that runs the benchmark."""

    script: Path
    vad_folder: Path
    speaker_folder: Path

    @classmethod
    def prepare(cls, script: Path, volume: Volume, folder: Path) -> "Peer":
        """Lay CAM++ out in `folder` as FunASR's AutoModel loads it."""
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text(SPEAKER_CONFIG, encoding="utf-8")
        (folder / "model.pt").symlink_to((volume.root / SPEAKER_WEIGHTS).resolve())
        return cls(script, volume.root / VAD_FOLDER, folder)

    def diarize(self, recordings: Sequence[Path], out: Path) -> Pass:
        """Diarize the first recording to warm up, then all; RTTM files go to `out`.

        Raises
        ------
        RuntimeError
            The script did not tell its timings for each recording.
        """
        files = [str(path) for path in (recordings[0], *recordings)]
        command = [sys.executable, str(self.script), *self._models, str(out), *files]
        finished = process.run(command, ENVIRONMENT)
        found = [match for line in finished.lines if (match := PEER_LINE.match(line))][1:]
        if [match["name"] for match in found] != [path.stem for path in recordings]:
            raise RuntimeError(f"{self.script.name} said:\n" + "\n".join(finished.lines))
        return Pass(
            timings={m["name"]: {stage: float(m[stage]) for stage in PEER_STAGES} for m in found},
            durations={m["name"]: float(m["duration"]) for m in found},
            process=finished,
        )

    def start(self) -> process.Finished:
        """Import funasr and load the two models."""
        command = [sys.executable, "benchmarks/peer_models.py", *self._models]
        return process.run(command, ENVIRONMENT, marker="loaded")

    def check_weights(self, sample: Path, embedding: Sequence[float]) -> float:
        """Cosine of FunASR's embedding and the worker's of one window.

        Raises
        ------
        RuntimeError
            They differ: FunASR did not load the weights.
        """
        command = [sys.executable, "benchmarks/peer_models.py", *self._models, str(sample), *WINDOW]
        theirs = json.loads(process.run(command, ENVIRONMENT, marker="loaded").lines[-1])
        product = sum(a * b for a, b in zip(theirs, embedding, strict=True))
        cosine: float = product / math.hypot(*theirs) / math.hypot(*embedding)
        if cosine < LEAST_COSINE:
            raise RuntimeError(
                f"FunASR's embedding and the worker's have cosine {cosine:.4f}, at least "
                f"{LEAST_COSINE} is expected: FunASR did not load {SPEAKER_WEIGHTS.name}."
            )
        return cosine

    @property
    def _models(self) -> list[str]:
        return [str(self.vad_folder), str(self.speaker_folder)]
