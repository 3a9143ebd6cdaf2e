"""An hour of speech through the worker and through its peers, in turn, round by round."""

import sys
import wave
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.asr_score import TAG
from benchmarks.asr_sides import AUDIO, AsrWorker, Job, Run, peer
from benchmarks.measure import spread

Result = dict[str, Any]
Sides = Mapping[str, Callable[[], Run]]

VAD = {"max_end_silence_ms": 800, "max_segment_s": 30, "speech_noise_threshold": 0.6}
"""As FunASR's VAD is told, or does without being told."""
BATCH_SIZE_S = 60
"""Of FunASR's batches, as its README has it; on a CPU it makes batches of one."""
MERGE_S = 15
"""What FunASR's merge_vad makes of segments in its README, silence and all."""


def sensevoice(
    worker: AsrWorker, model: Path, vad: Path, recording: Path, warm_up: Path, rounds: int
) -> Result:
    """SenseVoiceSmall at its real size beside FunASR's AutoModel, with word times.

    AutoModel also runs with its segments merged, as in an example of FunASR's.

    Parameters
    ----------
    worker : its project's default for ASR is `model`.
    vad : folder of FSMN-VAD, as FunASR loads it.
    recording, warm_up : lie on the worker's volume; the second comes first and does not count.
    """

    def ours(precision: str) -> Run:
        job: Job = {"task": "asr", "language": "auto", "timestamps": "word", "vad": VAD}
        return worker.run([job | _audio(warm_up), job | _audio(recording)], precision)

    def automodel(*, merged: bool) -> Run:
        return peer(
            "asr_funasr.py",
            {
                "model": str(model),
                "vad_model": str(vad),
                "recordings": [str(warm_up), str(recording)],
                "options": {
                    "language": "auto",
                    "use_itn": True,
                    "batch_size_s": BATCH_SIZE_S,
                    "output_timestamp": True,
                    "merge_vad": merged,
                    "merge_length_s": MERGE_S,
                },
            },
        )

    sides = {
        "AutoModel": lambda: automodel(merged=False),
        "AutoModel merged": lambda: automodel(merged=True),
        "worker float32": lambda: ours("float32"),
        "worker int8": lambda: ours("int8"),
    }
    compared = {"worker float32": "AutoModel", "worker int8": "AutoModel"}
    return measure(sides, compared, recording, rounds)


def whisper(worker: AsrWorker, alias: str, recording: Path, warm_up: Path, rounds: int) -> Result:
    """Whisper beside faster-whisper's BatchedInferencePipeline, with word times."""
    job: Job = {"task": "asr", "model": alias, "timestamps": "word"}

    def ours(precision: str) -> Run:
        return worker.run([job | _audio(warm_up), job | _audio(recording)], precision)

    def batched(precision: str) -> Run:
        recordings = [str(warm_up), str(recording)]
        model = str(worker.folder(alias))
        of_pipeline = {"model": model, "precision": precision, "recordings": recordings}
        return peer("asr_faster_whisper.py", of_pipeline)

    sides = {
        f"{name} {precision}": lambda side=side, precision=precision: side(precision)
        for precision in ("float32", "int8")
        for name, side in (("faster-whisper", batched), ("worker", ours))
    }
    compared = {f"worker {p}": f"faster-whisper {p}" for p in ("float32", "int8")}
    return measure(sides, compared, recording, rounds)


def measure(sides: Sides, compared: Mapping[str, str], recording: Path, rounds: int) -> Result:
    """Run every side in each round; ratios are taken within one.

    Parameters
    ----------
    sides : by name; the last answer of each is that of the recording.
    compared : side of the worker -> its peer.
    """
    runs: dict[str, list[Run]] = {name: [] for name in sides}
    for number in range(rounds):
        for name, side in sides.items():
            print(f"{recording.stem}: round {number + 1} of {rounds}, {name}", file=sys.stderr)
            runs[name].append(side())
    seconds = {name: [run.answers[-1]["wall_s"] for run in own] for name, own in runs.items()}
    with wave.open(str(recording)) as opened:
        duration = opened.getnframes() / opened.getframerate()
    return {
        "rounds": rounds,
        "duration_s": duration,
        "sides": {
            name: {
                "wall_s": spread(seconds[name]),
                "times_real_time": spread(duration / s for s in seconds[name]),
                "peak_memory_mb": spread(run.process.peak_memory_mb for run in own),
                "cpu_s": spread(run.process.cpu_seconds for run in own),
                "load_average": spread(run.process.load_average for run in own),
                **_described(own[-1].answers[-1]),
            }
            for name, own in runs.items()
        },
        "peer_by_worker": {
            ours: spread(b / a for a, b in zip(seconds[ours], seconds[theirs], strict=True))
            for ours, theirs in compared.items()
        },
    }


def _described(answer: Result) -> Result:
    """How much was written; the stages of the worker and the VAD's part of its peer."""
    stages = answer.get("timings") or {"vad": answer.get("vad_s")}
    return {"characters": len(TAG.sub("", answer["text"])), "stages_s": stages}


def _audio(recording: Path) -> Job:
    return {"audio": f"volume://{AUDIO}/{recording.name}"}
