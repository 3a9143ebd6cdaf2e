"""How time and memory grow with a recording's length: results/growth.json and growth.png.

    .venv-bench/bin/python -m benchmarks.growth --data DATA --minutes 1 2 4

The dev_* conversations, one after the other and again, are diarized at each length by a process of
its own, warm: it diarizes their first seconds before.
"""

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks import machine, table
from benchmarks.asr_audio import SAMPLE_RATE, repeat
from benchmarks.output import RESULTS, write
from benchmarks.run import find_recordings
from benchmarks.sides import Worker, add_worker_options, seconds
from volume_bootstrap.layout import Volume

Result = dict[str, Any]

MINUTES = (10, 30, 60, 180, 600)
WARM_UP_S = 20
MAX_RATIO = 1.1
"""Of the longest's real-time factor and the shortest's: what the noise of a machine changes."""


def measure(worker: Worker, recordings: Sequence[Path], minutes: Sequence[float]) -> list[Result]:
    """Diarize each length, in minutes, which the recordings are repeated to."""
    warm_up = repeat(recordings, WARM_UP_S, worker.audio / "warm_up.wav")
    lengths = []
    for length in minutes:
        recording = repeat(recordings, length * 60, worker.audio / f"{length:g}min.wav")
        finished, (_, reply) = worker.answer((warm_up, recording))
        recording.unlink()  # ten hours are a gigabyte
        duration = reply["audio"]["duration"]
        lengths.append(
            {
                "duration_s": duration,
                "samples_mb": round(duration * SAMPLE_RATE * 4 / 1e6),
                "seconds": seconds(reply),
                "peak_memory_mb": round(finished.peak_memory_mb),
                "speakers": len(reply["speakers"]),
                "load_average": round(finished.load_average, 2),
            }
        )
    return lengths


def render(result: Result) -> str:
    """A row for each length, then the target beside what was reached."""
    return table.lay_out(table.machine(result), _rows(result["lengths"]))


def _rows(lengths: Sequence[Result]) -> Iterator[str]:
    stages = [stage for stage in lengths[0]["seconds"] if stage not in table.UNSHOWN]
    yield "Seconds by stage; samples and peak memory of the process in MB"
    heads = (*stages, "rtf", "samples", "peak", "speakers")
    yield f"{'':>10}" + "".join(f"{head:>13}" for head in heads)
    for length in lengths:
        cells = "".join(f"{length['seconds'].get(stage, 0):13.2f}" for stage in stages)
        yield (
            f"{length['duration_s'] / 60:6.4g} min{cells}{factor(length):13.5f}"
            f"{length['samples_mb']:13}{length['peak_memory_mb']:13}{length['speakers']:13}"
        )
    ratio = factor(lengths[-1]) / factor(lengths[0])
    yield table.target(
        f"no worse than linear: rtf, last/first ≤ {MAX_RATIO}",
        f"{ratio:.2f}",
        reached=ratio <= MAX_RATIO,
    )


def factor(length: Result) -> float:
    """Real-time factor."""
    return float(length["seconds"]["total"] / length["duration_s"])


def main() -> None:
    options = parse()
    recordings = [
        path for path in find_recordings(options.data / "audio") if path.stem.startswith("dev_")
    ]
    description = machine.describe(Volume(options.volume), options.project)
    with tempfile.TemporaryDirectory(prefix="speech-bench-") as folder:
        worker = Worker.prepare(
            options.worker_python,
            Volume(options.volume),
            options.project,
            (),
            Path(folder, "volume"),
        )
        lengths = measure(worker, recordings, sorted(options.minutes))
    load_average = {"max": max(length["load_average"] for length in lengths)}
    result = {"machine": description, "load_average": load_average, "lengths": lengths}
    write(RESULTS / "growth.json", result)

    # Imported only now: see process.run on the memory of this process.
    from benchmarks.growth_plot import plot

    plot(lengths, RESULTS / "growth.png")
    print(render(result))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="holds audio/dev_*")
    add_worker_options(parser)
    parser.add_argument("--minutes", type=float, nargs="+", default=MINUTES, help="lengths")
    return parser.parse_args()


if __name__ == "__main__":
    main()
