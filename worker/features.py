"""Waveform -> log-mel frames, as Kaldi computes them.

Every frame is 25 ms long and starts 10 ms after the one before; frame ``k``
covers samples ``[160 k, 160 k + 400)``. A frame depends on its own samples
alone, so the frames of a window that starts on the 10 ms grid are a slice of
the frames of the whole recording.
"""

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
