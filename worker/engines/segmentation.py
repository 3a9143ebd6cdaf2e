"""pyannote's segmentation-3.0: waveform -> which of three local speakers each frame holds.

The network hears ten seconds at a time and knows no speaker of another window: its speakers 1, 2
and 3 are numbered anew in each. Windows are laid so that their frames are one even grid.
"""

import numpy as np
from numpy.typing import NDArray

from worker.control import JobControl
from worker.engines.session import OnnxSession
from worker.waveform import SAMPLE_RATE, Samples

WINDOW_FRAMES = 589
"""Ten seconds, which the network was trained on."""
STEP_SAMPLES = 270
FIELD_SAMPLES = 991
"""Samples that the convolutions of one frame see."""
WINDOW_SAMPLES = (WINDOW_FRAMES - 1) * STEP_SAMPLES + FIELD_SAMPLES
FRAME_S = STEP_SAMPLES / SAMPLE_RATE
FIRST_CENTRE_S = FIELD_SAMPLES / 2 / SAMPLE_RATE
BATCH_WINDOWS = 4
"""Windows in one run of the network: a third faster each than alone, no faster with more."""
LOCAL_SPEAKERS = ((), (0,), (1,), (2,), (0, 1), (0, 2), (1, 2))
"""Local speakers of each class: the powerset of three, no more than two at once."""
NUM_CLASSES = len(LOCAL_SPEAKERS)

Activity = NDArray[np.float16]
"""(num_frames, 7): probability of each class. Frame ``k`` is centred on FIRST_CENTRE_S + FRAME_S *
``k`` seconds and its local speakers are those of window ``k // WINDOW_FRAMES``. Ten hours are 30
MB."""


class Segmentation:
    """The network in an ONNX session: `waveform` [N, S] -> `probability` [N, T, 7]."""

    def __init__(self, session: OnnxSession) -> None:
        session.expect("waveform")
        self._session = session

    def __call__(
        self, waveform: Samples, control: JobControl, batch_windows: int = BATCH_WINDOWS
    ) -> Activity:
        """Tell which local speakers are heard in each frame of a recording.

        Parameters
        ----------
        waveform : (num_samples,) float32, 16 kHz, in [-1, 1]
        control : gets the stage ``overlap``, a step each batch.
        batch_windows : at most, in one run of the network.

        Raises
        ------
        CancelledError
            The job was cancelled.
        """
        total = max(0, (len(waveform) - FIELD_SAMPLES) // STEP_SAMPLES + 1)
        activity = np.empty((total, NUM_CLASSES), dtype=np.float16)
        firsts = np.arange(0, total, WINDOW_FRAMES)
        rounds = -(-len(firsts) // (batch_windows * self._session.parallel))
        # As many for each of those that run side by side, so that none waits for the last.
        runs = min(rounds * self._session.parallel, len(firsts))
        batches = np.array_split(firsts, runs) if runs else []
        watched = control.watch("overlap", batches, len(batches))
        outputs = self._session.map(lambda batch: (_batch(waveform, total, batch),), watched)
        for batch, output in zip(batches, outputs, strict=True):
            for first, window in zip(batch, output, strict=True):
                frames = activity[first : first + WINDOW_FRAMES]
                # The last window of a recording ends with it: its first frames are known by then.
                frames[:] = window[len(window) - len(frames) :]
        return activity


def _batch(waveform: Samples, total: int, firsts: NDArray[np.intp]) -> NDArray[np.float32]:
    """Windows that hold the frames from each of `firsts` on: (N, at most WINDOW_SAMPLES)."""
    starts = [max(0, min(first, total - WINDOW_FRAMES)) * STEP_SAMPLES for first in firsts]
    return np.stack([waveform[start : start + WINDOW_SAMPLES] for start in starts])
