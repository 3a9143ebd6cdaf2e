"""Waveform -> log-mel frames, as Kaldi computes them.

Every frame is 25 ms long and starts 10 ms after the one before; frame ``k``
covers samples ``[160 k, 160 k + 400)``. A frame depends on its own samples
alone, so the frames of a window that starts on the 10 ms grid are a slice of
the frames of the whole recording.
"""

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

FRAME_SHIFT_SAMPLES = 160
FRAME_LENGTH_SAMPLES = 400
NUM_MEL_BINS = 80


def num_frames(num_samples: int) -> int:
    """Count the whole frames in `num_samples` samples."""
    return max(0, (num_samples - FRAME_LENGTH_SAMPLES) // FRAME_SHIFT_SAMPLES + 1)


def fbank(
    waveform: NDArray[np.float32], window_type: Literal["hamming", "povey"]
) -> NDArray[np.float32]:
    """Compute 80 log-mel energies per frame, without dither.

    Parameters
    ----------
    waveform : (num_samples,) float32 at 16 kHz, in the scale the model was trained on
        (FSMN-VAD: 16-bit values; CAM++: [-1, 1]).
    window_type : FSMN-VAD uses ``hamming``, CAM++ ``povey``.

    Returns
    -------
    (num_frames, 80) float32
    """
    import kaldi_native_fbank as knf

    options: Any = knf.FbankOptions()
    options.frame_opts.dither = 0.0
    options.frame_opts.window_type = window_type
    options.mel_opts.num_bins = NUM_MEL_BINS
    extractor = knf.OnlineFbank(options)
    extractor.accept_waveform(16_000, waveform)
    extractor.input_finished()
    frames = np.empty((extractor.num_frames_ready, NUM_MEL_BINS), dtype=np.float32)
    for index in range(len(frames)):
        frames[index] = extractor.get_frame(index)
    return frames


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
