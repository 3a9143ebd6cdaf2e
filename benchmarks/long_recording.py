"""Memory and time of the worker's stages for recordings of ten minutes, an hour and ten hours.

``python -m benchmarks.long_recording`` prints a table; memory must not follow the length.
"""

import argparse
import json
import os
from pathlib import Path
from typing import Any

from benchmarks.process import run

HOUR_S = 3600
LENGTHS_S = (600, HOUR_S, 10 * HOUR_S)
STAGES = ("decode", "vad", "diarization")

Result = dict[str, Any]


def measure(python: str, source: Path, volume: Path, lengths: list[int], diarize_s: int) -> Result:
    """Run the stages on each length, in a process of its own.

    Parameters
    ----------
    python : interpreter that runs the worker.
    source : recording that the long ones repeat.
    diarize_s : longer recordings are decoded and go through the VAD only.
    """
    environment = {"SPEECH_VOLUME": str(volume), "SPEECH_DEVICE": "cpu"}
    recordings = []
    for seconds in lengths:
        command = [python, "-m", "benchmarks.worker_stages", str(source), str(seconds)]
        finished = run(command + ["diarize"] * (seconds <= diarize_s), environment)
        recordings.append({**json.loads(finished.lines[0]), "load_average": finished.load_average})
    return {"source": source.name, "cores": len(os.sched_getaffinity(0)), "recordings": recordings}


def render(result: Result) -> str:
    """Make a Markdown table: a row each length, seconds and peak memory of each stage."""
    lines = [
        f"| recording | samples | before | {' | '.join(STAGES)} |",
        "| --- | --- | --- |" + " --- |" * len(STAGES),
    ]
    for recording in result["recordings"]:
        stages = recording["stages"]
        cells = (
            f"{stages[name]['seconds']} s, {stages[name]['peak_mb']:.0f} MB"
            if name in stages
            else "not run"
            for name in STAGES
        )
        lines.append(
            f"| {recording['duration_s'] / HOUR_S:.2f} h | {recording['samples_mb']} MB "
            f"| {recording['before_mb']:.0f} MB | {' | '.join(cells)} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.long_recording", description=__doc__
    )
    parser.add_argument("source", type=Path, help="recording that the long ones repeat")
    parser.add_argument("--volume", type=Path, default=Path("volume"), help="provisioned volume")
    parser.add_argument("--worker-python", default=".venv/bin/python", help="runs the worker")
    parser.add_argument(
        "--lengths", type=int, nargs="+", default=LENGTHS_S, metavar="SECONDS", help="of recordings"
    )
    parser.add_argument(
        "--diarize-up-to",
        type=int,
        default=HOUR_S,
        metavar="SECONDS",
        help="longer recordings are only decoded and segmented",
    )
    given = parser.parse_args()
    result = measure(
        given.worker_python, given.source, given.volume, given.lengths, given.diarize_up_to
    )
    print(json.dumps(result, indent=2), render(result), sep="\n\n")


if __name__ == "__main__":
    main()
