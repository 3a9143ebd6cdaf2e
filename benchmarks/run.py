"""Measure the worker beside FunASR's own blocks, the provisioner beside pip: three JSON files.

Runs in a Python that holds torch, funasr and pyannote.metrics; `make bench` does.
"""

import argparse
import json
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks import machine, measure, provision, provision_table, table
from benchmarks.sides import Peer, Worker
from volume_bootstrap.layout import Volume

PEER_SCRIPT = "peer_funasr_diarize.py"
RESULTS = Path("benchmarks/results")


def main() -> None:
    arguments = parse()
    data: Path = arguments.data
    recordings = find_recordings(data / "audio")
    volume = Volume(arguments.volume)
    description = machine.describe(volume, arguments.project)
    with tempfile.TemporaryDirectory(prefix="speech-bench-") as temporary:
        folder = Path(temporary)
        worker = Worker.prepare(
            arguments.worker_python, volume, arguments.project, recordings, folder / "volume"
        )
        peer = Peer.prepare(arguments.tools / PEER_SCRIPT, volume, folder / "campplus")

        golden_vad, embedding = worker.engines(data)
        cosine = peer.check_weights(data / "audio" / "sample.wav", embedding)
        startup = measure.startup(worker, peer, recordings[0], arguments.startup_rounds)
        out = folder / "rttm"
        diarization = measure.diarization(worker, peer, recordings, arguments.rounds, out)

        # Imported only now: see process.run on the memory of this process.
        from benchmarks.score import accuracy

        diarization["accuracy"] = {s: accuracy(recordings, out / s) for s in table.SIDES}
        diarization["scored_with"] = f"pyannote.metrics {version('pyannote.metrics')}"
    diarization["checks"] = {"golden_vad": golden_vad, "embedding_cosine": cosine}
    startup = {"machine": description, **startup}
    diarization = {"machine": description, **diarization}
    write(RESULTS / "startup.json", startup)
    write(RESULTS / "diarization.json", diarization)
    provisioning = provision.measure(arguments.worker_python, arguments.rounds)
    write(RESULTS / "provisioning.json", {"machine": description, **provisioning})
    print(table.render(diarization, startup), provision_table.render(provisioning), sep="\n\n")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="holds audio/ and golden segments")
    parser.add_argument("--tools", type=Path, required=True, help=f"holds {PEER_SCRIPT}")
    parser.add_argument("--volume", type=Path, default=Path("volume"), help="provisioned volume")
    parser.add_argument("--project", default="demo", help="project on the volume")
    parser.add_argument("--worker-python", default=".venv/bin/python", help="runs the worker")
    parser.add_argument("--rounds", type=int, default=5, help="of diarization")
    parser.add_argument("--startup-rounds", type=int, default=5, help="of start-up")
    return parser.parse_args()


def find_recordings(folder: Path) -> list[Path]:
    """Find the recordings that have a reference beside them, the smallest first."""
    audio = [
        path
        for path in folder.glob("*.*")
        if path.suffix != ".rttm" and path.with_suffix(".rttm").is_file()
    ]
    if not audio:
        sys.exit(
            f"{folder} holds no recording with its reference (NAME.flac or NAME.wav beside "
            "NAME.rttm). Name the folder above it: make bench BENCH_DATA=..."
        )
    return sorted(audio, key=lambda path: path.stat().st_size)


def write(path: Path, result: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
