"""The clips of spoken digits, and the trained model that knows nothing else."""

from functools import cache
from pathlib import Path

import av
import numpy as np

from worker.device import Device
from worker.engines import funasr_models
from worker.engines.base import Recogniser

DATA = Path(__file__).resolve().parent / "data"
MODEL = DATA / "models" / "sensevoice-tiny-digits"
CPU = Device("cpu", threads=2, precision="float32")


@cache
def transcripts() -> dict[str, str]:
    """What is said in each clip."""
    lines = (DATA / "digits" / "transcripts.tsv").read_text(encoding="utf-8").splitlines()
    return dict(line.split("\t") for line in lines)


@cache
def waveform(name: str) -> np.ndarray:
    """Samples of a clip: float32 in [-1, 1]; the clips are 16 kHz, mono, 16 bits."""
    with av.open(DATA / "digits" / name) as container:
        frames = [frame.to_ndarray() for frame in container.decode(audio=0)]
    return np.concatenate(frames, axis=1)[0].astype(np.float32) / 32_768


@cache
def recogniser(precision: str = "float32") -> Recogniser:
    """The model, loaded once for all tests."""
    return funasr_models.load(MODEL, Device("cpu", threads=2, precision=precision))
