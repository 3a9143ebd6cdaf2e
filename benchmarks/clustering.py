"""Clustering of 2 to 60,000 windows, time, memory, speakers found: results/clustering.json.

    .venv-bench/bin/python -m benchmarks.clustering --data ../shared/data

Single-speaker recordings are embedded once; their windows then take turns, with drift, noise and
windows of two voices, to any length. Each length is clustered by a process of its own.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks import machine, process, table
from benchmarks.output import RESULTS, write
from benchmarks.sides import ENVIRONMENT, THREADS, add_worker_options
from volume_bootstrap.layout import Volume

SIZES = (2, 20, 200, 1_000, 1_999, 2_001, 3_999, 4_001, 10_000, 48_000, 60_000)
SPEAKERS = (2, 8, 30)
FIGURE_WINDOWS = 48_000
MAX_SECONDS = 15
MAX_PEAK_MB = 2_000

Result = dict[str, Any]


def measure(
    python: str, volume: Path, project: str, voices: Path, sizes: Sequence[int]
) -> tuple[list[Result], float]:
    """Cluster each number of windows for each number of speakers; the highest load average."""
    environment = {
        **ENVIRONMENT,
        "SPEECH_VOLUME": str(volume),
        "SPEECH_PROJECT": project,
        "SPEECH_DEVICE": "cpu",
        "SPEECH_THREADS": str(THREADS),
    }
    command = [python, "-m", "benchmarks.worker_clustering"]
    with tempfile.TemporaryDirectory(prefix="speech-bench-") as folder:
        embeddings = str(Path(folder, "voices.npz"))
        process.run([*command, "embed", str(voices), embeddings], environment)
        runs = [
            process.run([*command, "cluster", embeddings, str(size), str(count)], environment)
            for count in SPEAKERS
            for size in sizes
        ]
    load = max(run.load_average for run in runs)
    peaks = ({"peak_mb": round(run.peak_memory_mb)} for run in runs)
    return [json.loads(run.lines[0]) | peak for run, peak in zip(runs, peaks, strict=True)], load


def render(result: Result) -> str:
    """A row for each conversation, then the targets beside what was reached."""
    return table.lay_out(table.machine(result), _rows(result["runs"]))


def _rows(runs: Sequence[Result]) -> Iterator[str]:
    yield "Windows of voices that take turns, clustered; seconds, and peak memory of the process"
    heads = ("windows", "speakers", "found", "right %", "seconds", "longest step", "peak MB")
    yield "".join(f"{head:>14}" for head in heads)
    for run in runs:
        yield "".join(f"{value:14}" for value in run.values())
    for run in (run for run in runs if run["windows"] == FIGURE_WINDOWS):
        name = f"{FIGURE_WINDOWS} windows, {run['speakers']} speakers"
        seconds, peak = run["seconds"], run["peak_mb"]
        yield table.target(
            f"{name}, s ≤ {MAX_SECONDS}", f"{seconds:.1f}", reached=seconds <= MAX_SECONDS
        )
        yield table.target(f"{name}, MB ≤ {MAX_PEAK_MB}", str(peak), reached=peak <= MAX_PEAK_MB)


def main() -> None:
    options = parse()
    description = machine.describe(Volume(options.volume), options.project)
    runs, load = measure(
        options.worker_python,
        options.volume.resolve(),
        options.project,
        options.data / "voices",
        options.windows,
    )
    result = {"machine": description, "load_average": {"max": load}, "runs": runs}
    write(RESULTS / "clustering.json", result)
    print(render(result))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.clustering", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="holds voices/")
    add_worker_options(parser)
    parser.add_argument("--windows", type=int, nargs="+", default=SIZES, help="lengths")
    return parser.parse_args()


if __name__ == "__main__":
    main()
