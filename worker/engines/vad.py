"""FSMN-VAD: waveform -> speech segments.

The network gives each 10 ms frame a probability of silence; `decide` turns
those into segments exactly as FunASR's ``FsmnVADStreaming`` does offline
(funasr 1.4.16, models/fsmn_vad_streaming/model.py), without its buffers.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.engines.session import OnnxSession
from worker.features import (
    FRAME_LENGTH_SAMPLES,
    FRAME_SHIFT_SAMPLES,
    fbank,
    num_frames,
)
from worker.segments import Segment

FRAME_MS = 10
BLOCK_FRAMES = 6_000
"""Frames that go through the network at once: a minute, to bound memory."""
CONTEXT_FRAMES = 4 * 19
"""Frames to the left that a frame's probability depends on: 4 layers of order 20."""
STACK_FRAMES = 2
"""Frames on each side that the network stacks onto each frame."""

DETECTION_WINDOW_FRAMES = 20
SPEECH_FRAMES_IN_WINDOW = 15
LOOKBACK_FRAMES = 20
LOOKAHEAD_FRAMES = 10
SPEECH_TO_SILENCE_MS = 150


@dataclass(frozen=True, slots=True)
class VadOptions:
    """How frames become segments; the defaults are those of the model's config.yaml.

    max_end_silence_ms : a pause this long ends a segment.
    max_segment_s : a longer segment is cut.
    speech_noise_threshold : a frame is speech when its probability of speech exceeds that of
        silence by at least this much, in [-1, 1].
    """

    max_end_silence_ms: int = 800
    max_segment_s: float = 60.0
    speech_noise_threshold: float = 0.6


class FsmnVad:
    """The network in an ONNX session: `frames` [1, T + 4, 80] -> `silence_probability` [1, T]."""

    def __init__(self, session: OnnxSession) -> None:
        self._session = session

    def silence_probability(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probability of silence of each 10 ms frame.

        Parameters
        ----------
        waveform : (num_samples,) float32, 16 kHz, in [-1, 1]

        Returns
        -------
        (num_frames,) float32
        """
        total = num_frames(len(waveform))
        if total == 0:
            return np.empty(0, dtype=np.float32)
        starts = range(0, total, BLOCK_FRAMES)
        outputs = self._session.map(_block(waveform, total, start) for start in starts)
        # The left context was only there for what comes after it.
        kept = [o[0][-min(BLOCK_FRAMES, total - s) :] for s, o in zip(starts, outputs, strict=True)]
        return np.concatenate(kept)

    def __call__(self, waveform: NDArray[np.float32], options: VadOptions) -> list[Segment]:
        """Find the speech segments of a waveform, in order."""
        return decide(self.silence_probability(waveform), options)


def _block(waveform: NDArray[np.float32], total: int, start: int) -> NDArray[np.float32]:
    """Input of the network for the frames from `start` on: (1, context + frames + 4, 80)."""
    end = min(total, start + BLOCK_FRAMES)
    first = max(0, start - CONTEXT_FRAMES - STACK_FRAMES)
    last = min(total, end + STACK_FRAMES)
    after = (last - 1) * FRAME_SHIFT_SAMPLES + FRAME_LENGTH_SAMPLES
    samples = waveform[first * FRAME_SHIFT_SAMPLES : after]
    frames = fbank(samples * np.float32(32_768), "hamming")
    # The ends of the recording are padded by repetition; inside it, the real neighbours are there.
    pad_left = STACK_FRAMES if first == 0 else 0
    pad_right = STACK_FRAMES - (last - end)
    return np.pad(frames, ((pad_left, pad_right), (0, 0)), mode="edge")[np.newaxis]


def decide(silence_probability: NDArray[np.float32], options: VadOptions) -> list[Segment]:
    """Turn frame probabilities into segments, as FunASR's state machine does.

    A window of 200 ms with at least 150 ms of speech starts a segment 400 ms before the frame
    that completes it; the segment ends when the window has stayed at or below 150 ms of speech
    for `max_end_silence_ms` - 150 ms, 100 ms after it fell silent.

    Parameters
    ----------
    silence_probability : (num_frames,) float32
    """
    # 1 - p >= p + threshold, in double precision as FunASR compares.
    probability = silence_probability.astype(np.float64)
    is_speech = (1.0 - probability >= probability + options.speech_noise_threshold).tolist()
    end_silence_ms = options.max_end_silence_ms - SPEECH_TO_SILENCE_MS
    trailing = max(0, int(end_silence_ms / FRAME_MS) - LOOKAHEAD_FRAMES - 1)
    max_frames = options.max_segment_s * 1000 / FRAME_MS
    final = len(is_speech) - 1

    segments: list[Segment] = []
    next_free = 0  # first frame after the last segment
    window_start = 0  # the window forgets what lies before it
    speech_in_window = 0
    window_is_speech = False
    segment_start: int | None = None
    silent_frames = 0

    for frame, speech in enumerate(is_speech):
        speech_in_window += speech
        if frame - DETECTION_WINDOW_FRAMES >= window_start:
            speech_in_window -= is_speech[frame - DETECTION_WINDOW_FRAMES]
        was_speech = window_is_speech
        if was_speech:
            window_is_speech = speech_in_window > SPEECH_FRAMES_IN_WINDOW
        else:
            window_is_speech = speech_in_window >= SPEECH_FRAMES_IN_WINDOW
        silent_frames = 0 if was_speech or window_is_speech else silent_frames + 1

        end = None
        if segment_start is None:
            if window_is_speech and not was_speech:
                start = frame - DETECTION_WINDOW_FRAMES - LOOKBACK_FRAMES
                segment_start = max(next_free, start)
                if frame == final:
                    end = frame
        elif silent_frames and silent_frames * FRAME_MS >= end_silence_ms:
            end = frame - trailing
        elif frame - segment_start + 1 > max_frames or frame == final:
            end = frame

        if segment_start is not None and end is not None:
            segments.append(Segment(segment_start * FRAME_MS / 1000, (end + 1) * FRAME_MS / 1000))
            next_free = end + 1
            window_start = frame + 1
            speech_in_window = 0
            window_is_speech = False
            segment_start = None
            silent_frames = 0
    return segments
