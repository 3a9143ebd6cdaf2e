"""Waveforms -> the padded batch of features that FunASR's models take."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from worker.engines.base import Waveform
from worker.features import FRAME_SHIFT_SAMPLES, fbank, low_frame_rate, num_frames

FULL_SCALE = np.float32(32_768)
"""FunASR's models were trained on 16-bit values."""


@dataclass(frozen=True, slots=True)
class Frontend:
    """FunASR's ``WavFrontend`` without dither, so that a result repeats.

    stack, shift : frames of 10 ms that become one feature, and how far the next one lies.
    offset, scale : (stack * 80,) float32; features are normalised to (x + offset) * scale.
    """

    window: Literal["hamming", "povey"]
    stack: int
    shift: int
    offset: NDArray[np.float32]
    scale: NDArray[np.float32]

    @property
    def dim(self) -> int:
        return len(self.offset)

    @property
    def frame_s(self) -> float:
        """Seconds from one feature to the next."""
        return self.shift * FRAME_SHIFT_SAMPLES / 16_000

    def hears(self, waveform: Waveform) -> bool:
        """Whether a waveform is long enough for one frame of 25 ms."""
        return num_frames(len(waveform)) > 0

    def features(self, waveform: Waveform) -> NDArray[np.float32]:
        """Compute the features of one waveform: (num_features, dim)."""
        frames = fbank(waveform * FULL_SCALE, self.window)
        return (low_frame_rate(frames, self.stack, self.shift) + self.offset) * self.scale

    def batch(self, waveforms: Sequence[Waveform]) -> tuple[NDArray[np.float32], list[int]]:
        """Compute the features of waveforms that it hears.

        Returns
        -------
        (batch, num_features, dim), zeros behind the shorter ones, and the length of each.
        """
        each = [self.features(waveform) for waveform in waveforms]
        lengths = [len(features) for features in each]
        padded = np.zeros((len(each), max(lengths), self.dim), dtype=np.float32)
        for row, features in zip(padded, each, strict=True):
            row[: len(features)] = features
        return padded, lengths
