"""Time and memory over a recording's length, as a picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes  # type: ignore[import-not-found]
from matplotlib.figure import Figure  # type: ignore[import-not-found]

from benchmarks.table import UNSHOWN

Result = dict[str, Any]

SIZE_INCHES = (10, 4.2)
DOTS_PER_INCH = 90


def plot(lengths: Sequence[Result], target: Path) -> None:
    """Draw both, each on logarithmic axes, beside a line that grows with the length."""
    minutes = [length["duration_s"] / 60 for length in lengths]
    figure = Figure(figsize=SIZE_INCHES, layout="constrained")
    time, memory = figure.subplots(1, 2)
    for stage in lengths[0]["seconds"]:
        if stage not in UNSHOWN:
            taken = [length["seconds"][stage] for length in lengths]
            width = 2.5 if stage == "total" else 1.2
            time.plot(minutes, taken, marker="o", markersize=4, linewidth=width, label=stage)
    first = lengths[0]["seconds"]["total"]
    time.plot(
        minutes,
        [first * length / minutes[0] for length in minutes],
        color="black",
        linestyle="--",
        linewidth=1,
        label="linear from the shortest",
    )
    time.set_ylabel("seconds")
    peak = [length["peak_memory_mb"] for length in lengths]
    memory.plot(minutes, peak, marker="o", markersize=4, linewidth=2.5, label="peak of the process")
    samples = [length["samples_mb"] for length in lengths]
    memory.plot(
        minutes, samples, color="black", linestyle="--", linewidth=1, label="its samples, once"
    )
    memory.set_ylabel("MB")
    for axes in (time, memory):
        _finish(axes, minutes)
    figure.savefig(target, dpi=DOTS_PER_INCH, metadata={"Software": None})


def _finish(axes: Axes, minutes: Sequence[float]) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(minutes, labels=[f"{length:.3g}" for length in minutes])
    axes.minorticks_off()
    axes.set_xlabel("minutes of audio")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
