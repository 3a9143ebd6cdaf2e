"""Both sides in turn, round by round, so that what disturbs the machine disturbs both."""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.process import Finished
from benchmarks.sides import Pass, Peer, Worker

Result = dict[str, Any]


def startup(worker: Worker, peer: Peer, recording: Path, rounds: int) -> Result:
    """Start each side `rounds` times, after one that only warms the disk's cache."""
    starts = [(worker.start(recording), peer.start()) for _ in _rounds("start-up", rounds + 1)]
    ours, theirs = zip(*starts[1:], strict=True)
    sides = {"worker": ours, "funasr": theirs}
    return {
        "rounds": rounds,
        "seconds": {
            side: spread(run.seconds_to_marker for run in runs) for side, runs in sides.items()
        },
        "worker_by_funasr": spread(
            a.seconds_to_marker / b.seconds_to_marker for a, b in starts[1:]
        ),
        **_costs(sides),
    }


def diarization(
    worker: Worker, peer: Peer, recordings: Sequence[Path], rounds: int, out: Path
) -> Result:
    """Diarize the recordings with each side; RTTM files go to ``out/<side>/<round>``."""
    ours: list[Pass] = []
    theirs: list[Pass] = []
    for number in _rounds("diarization", rounds):
        ours.append(worker.diarize(recordings, out / "worker" / str(number)))
        theirs.append(peer.diarize(recordings, out / "funasr" / str(number)))
    sides = {"worker": ours, "funasr": theirs}
    durations = ours[0].durations
    return {
        "rounds": rounds,
        "duration_s": durations,
        "real_time_factor": {
            side: {
                name: {
                    stage: spread(one.timings[name][stage] / duration for one in passes)
                    for stage in passes[0].timings[name]
                }
                for name, duration in durations.items()
            }
            for side, passes in sides.items()
        },
        "funasr_by_worker": {name: _ratio(ours, theirs, name) for name in durations},
        **_costs({side: [one.process for one in passes] for side, passes in sides.items()}),
    }


def spread(values: Iterable[float]) -> dict[str, float]:
    """Median, least and greatest of what the rounds gave."""
    found = list(values)
    figures = {"median": median(found), "min": min(found), "max": max(found)}
    return {name: round(value, 5) for name, value in figures.items()}


def _ratio(ours: Sequence[Pass], theirs: Sequence[Pass], name: str) -> dict[str, float]:
    """How many times as long FunASR takes: per round, and each side's least time."""
    pairs = [
        (a.timings[name]["total"], b.timings[name]["total"])
        for a, b in zip(ours, theirs, strict=True)
    ]
    of_least = min(b for _, b in pairs) / min(a for a, _ in pairs)
    return {**spread(b / a for a, b in pairs), "of_least": round(of_least, 5)}


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
