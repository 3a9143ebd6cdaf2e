"""Measure speech recognition beside FunASR and faster-whisper: results/asr.json and tables.

Runs in a Python that holds torch, funasr and faster-whisper; `make bench` does. Parts that are not
run keep what results/asr.json says of them.
"""

import argparse
import json
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import asr_table, machine, process
from benchmarks.asr_audio import repeat
from benchmarks.asr_digits import digits, read_transcripts
from benchmarks.asr_long import long
from benchmarks.asr_sides import AsrWorker
from benchmarks.asr_speed import sensevoice, whisper
from benchmarks.peers import VAD_FOLDER
from benchmarks.sides import ENVIRONMENT
from benchmarks.transcript import jfk, speakers
from volume_bootstrap.layout import Volume

RESULTS = Path("benchmarks/results/asr.json")
FUNASR_PROJECT, WHISPER_PROJECT = "demo-funasr", "demo"
DIGITS_MODEL, WHISPER_MODEL, FULL_MODEL = "sensevoice-digits", "whisper-tiny-en", "sensevoice-full"
WARM_UP_S = 30
PARTS = ("digits", "transcript", "sensevoice", "whisper", "long")

Result = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Bench:
    """What the parts share: options, and a folder for all they write."""

    options: argparse.Namespace
    folder: Path

    @property
    def audio(self) -> Path:
        folder: Path = self.options.data / "audio"
        return folder

    def worker(self, project: str, part: str) -> AsrWorker:
        volume = Volume(self.options.volume)
        return AsrWorker.borrow(self.options.worker_python, volume, project, self.folder / part)

    def speech(self, worker: AsrWorker, seconds: float) -> Path:
        """Write speech of some length onto the worker's volume."""
        recordings = sorted(self.audio.glob("dev_*.flac"))
        return repeat(recordings, seconds, worker.audio / f"speech-{seconds:.0f}s.wav")

    def digits(self) -> Result:
        worker = self.worker(FUNASR_PROJECT, "digits")
        transcripts = read_transcripts(self.audio / "digits" / "transcripts.tsv")
        for name in transcripts:
            shutil.copyfile(self.audio / "digits" / name, worker.audio / name)
        return digits(worker, DIGITS_MODEL, transcripts)

    def transcript(self) -> Result:
        worker = self.worker(WHISPER_PROJECT, "transcript")
        for name in ("sample.wav", "jfk.flac"):
            shutil.copyfile(self.audio / name, worker.audio / name)
        return {
            "sample": speakers(worker, worker.audio / "sample.wav", self.audio / "sample.rttm"),
            "jfk": jfk(worker, WHISPER_MODEL, worker.audio / "jfk.flac"),
        }

    def sensevoice(self) -> Result:
        worker = self.worker(FUNASR_PROJECT, "sensevoice")
        model = self.folder / FULL_MODEL
        tiny, recording = worker.folder(DIGITS_MODEL), self.audio / "dev_4spk.flac"
        command = [sys.executable, "-m", "benchmarks.sensevoice_full", tiny, recording, model]
        made = process.run([str(part) for part in command], ENVIRONMENT, marker="{")
        worker.add_default(FULL_MODEL, model)
        result = sensevoice(
            worker,
            model,
            worker.volume.root / VAD_FOLDER,
            self.speech(worker, self.options.minutes * 60),
            self.speech(worker, WARM_UP_S),
            self.options.rounds,
        )
        return {"model": json.loads(made.lines[-1]), **result}

    def whisper(self) -> Result:
        worker = self.worker(WHISPER_PROJECT, "whisper")
        return whisper(
            worker,
            WHISPER_MODEL,
            self.speech(worker, self.options.minutes * 60),
            self.speech(worker, WARM_UP_S),
            self.options.rounds,
        )

    def long(self) -> Result:
        worker = self.worker(FUNASR_PROJECT, "long")
        recordings = [self.speech(worker, hours * 3600) for hours in sorted(self.options.hours)]
        return long(worker, DIGITS_MODEL, recordings, self.options.tasks, self.options.cancels)


def main() -> None:
    run(parse(sys.argv[1:]))


def run(options: argparse.Namespace) -> None:
    """Measure the parts that the options name; write and print what is known."""
    results = json.loads(RESULTS.read_bytes()) if RESULTS.is_file() else {}
    for part in options.only:
        # What a part writes is gigabytes, and goes before the next.
        with tempfile.TemporaryDirectory(prefix="speech-asr-") as folder:
            measured = getattr(Bench(options, Path(folder)), part)()
        packages = machine.ASR_PACKAGES
        volume = Volume(options.volume)
        description = machine.describe(volume, FUNASR_PROJECT, worker=packages, peer=packages)
        results[part] = {"machine": description, **measured}
        RESULTS.parent.mkdir(parents=True, exist_ok=True)
        RESULTS.write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n", "utf-8")
    print(asr_table.render({part: results[part] for part in PARTS if part in results}))


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.asr", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="holds audio/")
    parser.add_argument("--volume", type=Path, default=Path("volume"), help="provisioned volume")
    parser.add_argument("--worker-python", default=".venv/bin/python", help="runs the worker")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, metavar="PART")
    parser.add_argument("--minutes", type=float, default=60, help="of speech, for the speed")
    parser.add_argument("--rounds", type=int, default=1, help="of the speed")
    parser.add_argument("--hours", type=float, nargs="+", default=[1, 10], help="of part long")
    parser.add_argument("--tasks", nargs="+", default=["asr"], help="of part long")
    parser.add_argument("--cancels", type=int, default=5, help="of part long, on the shortest")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
