"""What a run was measured on: nothing that names the machine or a path of it."""

import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from volume_bootstrap.layout import Volume, read_generation

WORKER_PACKAGES = ("onnxruntime", "av", "numpy", "scipy")
ASR_PACKAGES = ("funasr", "torch", "faster-whisper", "ctranslate2", "kaldi-native-fbank", "numpy")
"""What recognises speech, on both sides."""


def describe(
    volume: Volume,
    project: str,
    worker: Sequence[str] = WORKER_PACKAGES,
    peer: Iterable[str] = (),
) -> dict[str, object]:
    """Describe the machine, the versions of packages on each side, the state of the source."""
    generation = read_generation(volume.pointer(project).resolve() / "generation.json")
    packages = generation.image_packages | generation.packages
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "commit": _git("rev-parse", "--short=10", "HEAD"),
        "uncommitted_changes": bool(
            _git("status", "--porcelain", "--", ".", ":(exclude)benchmarks/results")
        ),
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9, 1),
        "python": platform.python_version(),
        "worker_packages": {name: packages[name] for name in worker},
        "peer_packages": {name: importlib.metadata.version(name) for name in peer},
    }


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
