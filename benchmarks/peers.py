"""The peers, run in the Python of the benchmark: FunASR's own blocks, and Senko."""

import ast
import json
import math
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import process
from benchmarks.sides import ENVIRONMENT, WINDOW, Pass
from volume_bootstrap.layout import Volume

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
FUNASR_LINE = re.compile(
    r"^(?P<name>\S+) dur (?P<duration>\d+) vad (?P<vad>[\d.]+) emb (?P<embedding>[\d.]+) \(\d+\) "
    r"cluster (?P<clustering>[\d.]+) total (?P<total>[\d.]+) "
)
FUNASR_STAGES = ("vad", "embedding", "clustering", "total")
SENKO_LINE = re.compile(
    r"^(?P<name>\S+) dur (?P<duration>\d+) total (?P<total>[\d.]+) .* (?P<stages>None|\{.*\})$"
)
SENKO_STAGES = {
    "vad": ("vad_time",),
    "embedding": ("fbank_time", "embeddings_time"),
    "clustering": ("clustering_time",),
}
# Senko compiles for minutes at its first start, and keeps what it compiled below the home folder.
SENKO_ENVIRONMENT = {**ENVIRONMENT, "HOME": str(Path(sys.prefix, "senko-home"))}


@dataclass(frozen=True, slots=True)
class FunAsr:
    """FunASR's VAD, CAM++, clustering and post-processing."""

    script: Path
    vad_folder: Path
    speaker_folder: Path

    @classmethod
    def prepare(cls, script: Path, volume: Volume, folder: Path) -> "FunAsr":
        """Lay CAM++ out in `folder` as FunASR's AutoModel loads it."""
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text(SPEAKER_CONFIG, encoding="utf-8")
        (folder / "model.pt").symlink_to((volume.root / SPEAKER_WEIGHTS).resolve())
        return cls(script, volume.root / VAD_FOLDER, folder)

    def diarize(self, recordings: Sequence[Path], out: Path) -> Pass:
        arguments = [*self._models, str(out)]
        finished, matches = _run(self.script, arguments, recordings, FUNASR_LINE, ENVIRONMENT)
        return Pass(
            timings={m["name"]: {s: float(m[s]) for s in FUNASR_STAGES} for m in matches},
            durations={m["name"]: float(m["duration"]) for m in matches},
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


@dataclass(frozen=True, slots=True)
class Senko:
    """Senko with what it chooses on a CPU: Silero's VAD, CAM++, spectral clustering."""

    script: Path

    def diarize(self, recordings: Sequence[Path], out: Path) -> Pass:
        finished, matches = _run(self.script, [str(out)], recordings, SENKO_LINE, SENKO_ENVIRONMENT)
        return Pass(
            timings={m["name"]: senko_seconds(m) for m in matches},
            durations={m["name"]: float(m["duration"]) for m in matches},
            process=finished,
        )


def senko_seconds(match: re.Match[str]) -> dict[str, float]:
    """Seconds by stage; only the total where Senko found no speech."""
    told = ast.literal_eval(match["stages"]) or {}
    stages = {
        stage: sum(told[part] for part in parts) for stage, parts in SENKO_STAGES.items() if told
    }
    return {**stages, "total": float(match["total"])}


def _run(
    script: Path,
    arguments: Sequence[str],
    recordings: Sequence[Path],
    line: re.Pattern[str],
    environment: dict[str, str],
) -> tuple[process.Finished, list[re.Match[str]]]:
    """Run a peer's script on the first recording to warm up, then on all.

    Raises
    ------
    RuntimeError
        It did not tell its timings for each recording.
    """
    files = [str(path) for path in (recordings[0], *recordings)]
    finished = process.run([sys.executable, str(script), *arguments, *files], environment)
    matches = [match for text in finished.lines if (match := line.match(text))][1:]
    if [match["name"] for match in matches] != [path.stem for path in recordings]:
        raise RuntimeError(f"{script.name} said:\n" + "\n".join(finished.lines))
    return finished, matches
