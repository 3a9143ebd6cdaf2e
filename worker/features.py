"""Waveform -> log-mel frames, as Kaldi computes them.

Every frame is 25 ms long and starts 10 ms after the one before; frame ``k``
covers samples ``[160 k, 160 k + 400)``. A frame depends on its own samples
alone, so the frames of a window that starts on the 10 ms grid are a slice of
the frames of the whole recording.
"""

from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from worker.waveform import SAMPLE_RATE

FRAME_SHIFT_SAMPLES = 160
FRAME_LENGTH_SAMPLES = 400
FFT_SIZE = 512
NUM_MEL_BINS = 80
LOWEST_HZ = 20.0
PRE_EMPHASIS = np.float32(0.97)
BLOCK_FRAMES = 128
"""Frames that are transformed at a time: what they become on the way fits the cache of a core."""

WindowType = Literal["hamming", "povey"]


def num_frames(num_samples: int) -> int:
    """Count the whole frames in `num_samples` samples."""
    return max(0, (num_samples - FRAME_LENGTH_SAMPLES) // FRAME_SHIFT_SAMPLES + 1)


def fbank(waveform: NDArray[np.float32], window_type: WindowType) -> NDArray[np.float32]:
    """Compute 80 log-mel energies per frame, without dither.

    Kaldi's ``compute-fbank-feats``: of each frame, the mean is subtracted, then pre-emphasis,
    window, power spectrum and mel filters. It computes all this frame by frame; here pre-emphasis
    runs over the waveform once, and the mean, a constant within a frame, is subtracted from what
    comes out of it.

    Parameters
    ----------
    waveform : (num_samples,) float32 at 16 kHz, in the scale the model was trained on
        (FSMN-VAD: 16-bit values; CAM++: [-1, 1]).
    window_type : FSMN-VAD uses ``hamming``, CAM++ ``povey``.

    Returns
    -------
    (num_frames, 80) float32
    """
    import scipy.fft  # twice as fast as numpy's: it transforms several frames at once

    total = num_frames(len(waveform))
    energies = np.empty((total, NUM_MEL_BINS), dtype=np.float32)
    if not total:
        return energies
    emphasised = np.empty_like(waveform)
    np.multiply(waveform[:-1], -PRE_EMPHASIS, out=emphasised[1:])
    emphasised[1:] += waveform[1:]
    emphasised[0] = 0  # and replaced below, as the first of every frame
    frames = sliding_window_view(emphasised, FRAME_LENGTH_SAMPLES)[::FRAME_SHIFT_SAMPLES]
    left = 1 - PRE_EMPHASIS  # of a constant after pre-emphasis
    means = _means(waveform, total) * left
    firsts = waveform[: total * FRAME_SHIFT_SAMPLES : FRAME_SHIFT_SAMPLES] * left
    window, filters = _window(window_type), _mel_filters()
    padded = np.zeros((min(total, BLOCK_FRAMES), FFT_SIZE), dtype=np.float32)
    for start in range(0, total, BLOCK_FRAMES):
        block = slice(start, start + BLOCK_FRAMES)
        rows = padded[: total - start]
        samples = rows[:, :FRAME_LENGTH_SAMPLES]
        np.subtract(frames[block], means[block, np.newaxis], out=samples)
        samples[:, 0] = firsts[block] - means[block]  # it has no sample before it in its frame
        samples *= window
        spectrum = scipy.fft.rfft(rows, axis=1)
        power = np.square(spectrum.real)
        power += np.square(spectrum.imag)
        energies[block] = (filters @ power.T).T
    np.maximum(energies, np.finfo(np.float32).eps, out=energies)
    return np.log(energies, out=energies)


def _means(waveform: NDArray[np.float32], total: int) -> NDArray[np.float32]:
    """Mean of each frame: (total,), from sums of 5 ms, which frames share."""
    step = FRAME_SHIFT_SAMPLES // 2
    per_frame = FRAME_LENGTH_SAMPLES // step
    sums = waveform[: (2 * (total - 1) + per_frame) * step].reshape(-1, step).sum(axis=1)
    frame_sums = sliding_window_view(sums, per_frame)[::2].sum(axis=1)
    means: NDArray[np.float32] = frame_sums / np.float32(FRAME_LENGTH_SAMPLES)
    return means


@cache
def _window(window_type: WindowType) -> NDArray[np.float32]:
    """Kaldi's window functions: (400,)."""
    cosine = np.cos(2 * np.pi * np.arange(FRAME_LENGTH_SAMPLES) / (FRAME_LENGTH_SAMPLES - 1))
    window = 0.54 - 0.46 * cosine if window_type == "hamming" else (0.5 - 0.5 * cosine) ** 0.85
    return window.astype(np.float32)


@cache
def _mel_filters() -> Any:  # noqa: ANN401 - a sparse array of scipy
    """Kaldi's mel filters, triangles on the mel scale: (80, 257), sparse.

    Each filter has a few of the spectrum's bins: a sparse product is a thirtieth of the dense
    one's work, and no threads of a linear algebra library wake up for it.
    """
    from scipy.sparse import csr_array

    edges = np.linspace(_mel(LOWEST_HZ), _mel(SAMPLE_RATE / 2), NUM_MEL_BINS + 2)[:, np.newaxis]
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    # Kaldi gives the bin at half the sampling rate to no filter, and the last one ends there.
    bins = _mel(np.arange(FFT_SIZE // 2 + 1) * SAMPLE_RATE / FFT_SIZE)
    rising, falling = (bins - left) / (centre - left), (right - bins) / (right - centre)
    return csr_array(np.maximum(0, np.minimum(rising, falling)).astype(np.float32))


def _mel(hertz: float | NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1127 * np.log1p(np.asarray(hertz) / 700))


def low_frame_rate(frames: NDArray[np.float32], stack: int, shift: int) -> NDArray[np.float32]:
    """Stack `stack` frames into one, every `shift` frames.

    The first one is centred on the first frame; beyond its ends a recording repeats its first and
    its last frame, as in FunASR's ``apply_lfr``.

    Parameters
    ----------
    frames : (num_frames, dim)

    Returns
    -------
    (ceil(num_frames / shift), stack * dim)
    """
    total, dim = frames.shape
    starts = np.arange(0, total, shift)[:, np.newaxis] - (stack - 1) // 2
    taken = np.clip(starts + np.arange(stack), 0, max(0, total - 1))
    stacked: NDArray[np.float32] = frames[taken].reshape(len(starts), stack * dim)
    return stacked


def read_cmvn(path: Path) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Read shift and scale, (dim,) each, from Kaldi's text format (``am.mvn``).

    Raises
    ------
    ValueError
        The file has not both, of one length.
    """
    # The values follow in brackets, behind the name on the line after: <LearnRateCoef> 0 [ ... ]
    text = path.read_text(encoding="utf-8")
    shift, scale = (
        np.array(text.partition(name)[2].partition("[")[2].partition("]")[0].split(), np.float32)
        for name in ("<AddShift>", "<Rescale>")
    )
    if not len(shift) or len(shift) != len(scale):
        raise ValueError(f"{path.name} holds {len(shift)} shifts and {len(scale)} scales")
    return shift, scale
