"""Start-up of a worker whose volume is slow at opening files: with ``imports.bundle`` and without.

python -m benchmarks.cold_imports --volume VOLUME [--project demo] [--delay-ms 2] [--runs 3]

strace delays the calls that name a path of the generation, and no others: the image's files are
local. Delays of several threads run side by side, and a file that was opened before costs as much
again, as on NFS. In the first row of each kind nothing is delayed, but the kernel has forgotten the
files. Writes benchmarks/results/cold_imports.json.
"""

import argparse
import json
import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.process import run
from volume_bootstrap.layout import Volume, read_generation

RESULTS = Path(__file__).parent / "results" / "cold_imports.json"
OPENS = "openat"
LOOKS = "openat,newfstatat"
SIDES = {
    "files": "import_bundle.install = lambda *_: False",
    "bundle": "import_bundle.read_ahead = lambda _: None",
    "bundle, libraries read ahead": "",
}
"""What is taken away from the worker."""
PROGRAM = "from volume_bootstrap import import_bundle\n"
BODIES = {
    "imports of the project": """
import importlib, pathlib, time
from volume_bootstrap.layout import Volume
from worker.activation import activate
started = time.perf_counter()
generation = activate(Volume(pathlib.Path({volume!r})), {project!r})
for name in generation.imports:
    importlib.import_module(name)
print("SECONDS", time.perf_counter() - started)
""",
    "worker up to its first take": """
import time
started = time.perf_counter()
import handler
handler.prepare()
print("SECONDS", time.perf_counter() - started)
""",
}


def paths_of(command: Sequence[str], environment: dict[str, str], folder: Path) -> set[str]:
    """Paths under a folder that a command opens or looks at."""
    with tempfile.NamedTemporaryFile("r") as trace:
        run(
            ["strace", "-f", "-qq", "-e", f"trace={LOOKS}", "-o", trace.name, *command], environment
        )
        found = re.findall(r'(?:openat|newfstatat)\([^"]*"([^"]+)"', trace.read())
    return {path for path in found if path.startswith(f"{folder}/")}


def forget(folder: Path) -> None:
    """Drop a folder's files from the page cache, but for those that a process has mapped."""
    for parent, _, names in os.walk(folder):
        for name in names:
            with Path(parent, name).open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def seconds(command: Sequence[str], environment: dict[str, str]) -> float:
    lines = run(command, environment, "SECONDS").lines
    return float(next(line for line in lines if line.startswith("SECONDS")).split()[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--volume", type=Path, default=Path("volume"))
    parser.add_argument("--project", default="demo")
    parser.add_argument("--delay-ms", type=float, default=2.0)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    volume = Volume(options.volume)
    folder = volume.pointer(options.project).resolve()
    environment = {
        "SPEECH_VOLUME": str(options.volume),
        "SPEECH_PROJECT": options.project,
        "SPEECH_DEVICE": "cpu",
        "SPEECH_LOG_LEVEL": "ERROR",
        "RUNPOD_LOG_LEVEL": "ERROR",
    }
    delay = f":delay_enter={round(options.delay_ms * 1000)}"
    rows = []
    for what, body in BODIES.items():
        filled = body.format(volume=str(options.volume), project=options.project)
        commands = {
            side: [sys.executable, "-c", f"{PROGRAM}{without}\n{filled}"]
            for side, without in SIDES.items()
        }
        paths = set().union(*(paths_of(c, environment, folder) for c in commands.values()))
        named = [argument for path in sorted(paths) for argument in ("-P", path)]
        for delayed in ("", OPENS, LOOKS):
            inject = f"inject={delayed}{delay}"
            traced = [
                "strace",
                "-f",
                "-qq",
                "--seccomp-bpf",
                "-o",
                os.devnull,
                "-e",
                f"trace={delayed}",
            ]
            tracer = [*traced, "-e", inject, *named] if delayed else []
            measured: dict[str, list[float]] = {side: [] for side in SIDES}
            # In turns: what else the machine does meets all of them.
            for _ in range(options.runs):
                for side, command in commands.items():
                    if not delayed:
                        forget(folder)
                    measured[side].append(seconds([*tracer, *command], environment))
            row = {side: round(statistics.median(times), 3) for side, times in measured.items()}
            rows.append({"what": what, "delayed": delayed or "page cache dropped", **row})
            print(rows[-1], flush=True)
    result = {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "project": options.project,
        "modules": _modules(folder),
        "packages": read_generation(folder / "generation.json").packages,
        "delay_ms": options.delay_ms,
        "runs": options.runs,
        "seconds": rows,
    }
    RESULTS.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def _modules(folder: Path) -> int:
    with (folder / "imports.bundle").open("rb") as file:
        return len(json.loads(file.readline())["modules"])


if __name__ == "__main__":
    main()
