"""All sides in turn, round by round, so that what disturbs the machine disturbs all."""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.process import Finished
from benchmarks.sides import Pass, Side

Result = dict[str, Any]

WORKER = "worker"
COMPARED = ("vad", "total")
"""Stages whose times are compared; a peer may have no other in common with the worker."""
ALL_FILES = "all files"


def startup(starts: Mapping[str, Callable[[], Finished]], rounds: int) -> Result:
    """Start each side `rounds` times, after one that only warms the disk's cache."""
    runs = [[start() for start in starts.values()] for _ in _rounds("start-up", rounds + 1)]
    sides = dict(zip(starts, zip(*runs[1:], strict=True), strict=True))
    return {
        "rounds": rounds,
        "seconds": {
            side: spread(run.seconds_to_marker for run in runs) for side, runs in sides.items()
        },
        "worker_by": {
            peer: spread(
                a.seconds_to_marker / b.seconds_to_marker
                for a, b in zip(sides[WORKER], runs, strict=True)
            )
            for peer, runs in sides.items()
            if peer != WORKER
        },
        **_costs(sides),
    }


def diarization(
    sides: Mapping[str, Side], recordings: Sequence[Path], rounds: int, out: Path
) -> Result:
    """Diarize the recordings with each side; RTTM files go to ``out/<side>/<round>``."""
    passes: dict[str, list[Pass]] = {name: [] for name in sides}
    for number in _rounds("diarization", rounds):
        for name, side in sides.items():
            passes[name].append(side.diarize(recordings, out / name / str(number)))
    durations = passes[WORKER][0].durations
    return {
        "rounds": rounds,
        "duration_s": durations,
        "real_time_factor": {
            side: {
                name: {
                    stage: spread(one.timings[name][stage] / duration for one in runs)
                    for stage in runs[0].timings[name]
                }
                for name, duration in durations.items()
            }
            for side, runs in passes.items()
        },
        "by_worker": {
            peer: {stage: _ratios(passes[WORKER], runs, stage) for stage in COMPARED}
            for peer, runs in passes.items()
            if peer != WORKER
        },
        **_costs({side: [one.process for one in runs] for side, runs in passes.items()}),
    }


def spread(values: Iterable[float]) -> dict[str, float]:
    """Median, least and greatest of what the rounds gave."""
    found = list(values)
    figures = {"median": median(found), "min": min(found), "max": max(found)}
    return {name: round(value, 5) for name, value in figures.items()}


def _ratios(ours: Sequence[Pass], theirs: Sequence[Pass], stage: str) -> Result:
    """How many times as long as the worker a peer takes for a stage, by file and for all."""
    groups = {name: [name] for name in ours[0].timings}
    return {
        name: _ratio(
            [_taken(p, files, stage) for p in ours], [_taken(p, files, stage) for p in theirs]
        )
        for name, files in {**groups, ALL_FILES: list(groups)}.items()
    }


def _taken(one: Pass, files: Sequence[str], stage: str) -> float:
    return sum(one.timings[name].get(stage, 0.0) for name in files)


def _ratio(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, float]:
    """Per round, and of each side's least time, which a busy machine changes least."""
    of_least = min(theirs) / min(ours)
    return {
        **spread(b / a for a, b in zip(ours, theirs, strict=True)),
        "of_least": round(of_least, 5),
    }


def _costs(sides: Mapping[str, Sequence[Finished]]) -> Result:
    """What the processes took, from their start to their end, and how busy the machine was."""
    return {
        "peak_memory_mb": {s: spread(run.peak_memory_mb for run in sides[s]) for s in sides},
        "cpu_s": {s: spread(run.cpu_seconds for run in sides[s]) for s in sides},
        "load_average": spread(run.load_average for runs in sides.values() for run in runs),
    }


def _rounds(what: str, count: int) -> Iterator[int]:
    for number in range(count):
        print(f"{what}: round {number + 1} of {count}", file=sys.stderr, flush=True)
        yield number
