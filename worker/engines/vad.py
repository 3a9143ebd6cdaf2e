"""FSMN-VAD: waveform -> speech segments.

The network gives each 10 ms frame a probability of silence; `decide` turns
those into segments exactly as FunASR's ``FsmnVADStreaming`` does offline
(funasr 1.4.16, models/fsmn_vad_streaming/model.py), without its buffers. Both
work through the recording minute by minute: nothing is kept but the segments.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from worker.control import JobControl
from worker.engines.session import OnnxSession
from worker.features import (
    FRAME_LENGTH_SAMPLES,
    FRAME_SHIFT_SAMPLES,
    fbank,
    num_frames,
)
from worker.segments import Segment
from worker.waveform import Samples

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

    def __call__(
        self, waveform: Samples, options: VadOptions, control: JobControl
    ) -> list[Segment]:
        """Find the speech segments of a waveform, in order.

        Parameters
        ----------
        waveform : (num_samples,) float32, 16 kHz, in [-1, 1]
        control : gets the stage ``vad``, a step each minute of the recording.

        Raises
        ------
        CancelledError
            The job was cancelled.
        """
        blocks = self.silence_probability(waveform, control)
        threshold = options.speech_noise_threshold
        return decide(
            chain.from_iterable(is_speech(b, threshold).tolist() for b in blocks), options
        )

    def silence_probability(
        self, waveform: Samples, control: JobControl
    ) -> Iterator[NDArray[np.float32]]:
        """Probability of silence of each 10 ms frame.

        Yields
        ------
        (at most BLOCK_FRAMES,) float32: the frames that come after the last
        """
        total = num_frames(len(waveform))
        starts = range(0, total, BLOCK_FRAMES)
        watched = control.watch("vad", starts, len(starts))
        outputs = self._session.map(_block(waveform, total, start) for start in watched)
        for start, output in zip(starts, outputs, strict=True):
            # The left context was only there for what comes after it.
            yield output[0][-min(BLOCK_FRAMES, total - start) :]


def _block(waveform: Samples, total: int, start: int) -> NDArray[np.float32]:
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


def is_speech(silence_probability: NDArray[np.float32], threshold: float) -> NDArray[np.bool_]:
    """Tell frames of speech, whose probability exceeds that of silence by `threshold` at least."""
    # In double precision, as FunASR compares.
    probability = silence_probability.astype(np.float64)
    found: NDArray[np.bool_] = 1.0 - probability >= probability + threshold
    return found


def decide(speech_frames: Iterable[bool], options: VadOptions) -> list[Segment]:
    """Turn frames into segments, as FunASR's state machine does.

    A window of 200 ms with at least 150 ms of speech starts a segment 400 ms before the frame
    that completes it; the segment ends when the window has stayed at or below 150 ms of speech
    for `max_end_silence_ms` - 150 ms, 100 ms after it fell silent.

    Parameters
    ----------
    speech_frames : whether each 10 ms frame is speech
    """
    end_silence_ms = options.max_end_silence_ms - SPEECH_TO_SILENCE_MS
    trailing = max(0, int(end_silence_ms / FRAME_MS) - LOOKAHEAD_FRAMES - 1)
    max_frames = options.max_segment_s * 1000 / FRAME_MS

    segments: list[Segment] = []
    next_free = 0  # first frame after the last segment
    window: deque[bool] = deque()  # the last frames, none from before a segment's end
    speech_in_window = 0
    window_is_speech = False
    segment_start: int | None = None
    silent_frames = 0
    frame = -1

    for frame, speech in enumerate(speech_frames):
        window.append(speech)
        speech_in_window += speech
        if len(window) > DETECTION_WINDOW_FRAMES:
            speech_in_window -= window.popleft()
        was_speech = window_is_speech
        if was_speech:
            window_is_speech = speech_in_window > SPEECH_FRAMES_IN_WINDOW
        else:
            window_is_speech = speech_in_window >= SPEECH_FRAMES_IN_WINDOW
        silent_frames = 0 if was_speech or window_is_speech else silent_frames + 1

        if segment_start is None:
            if window_is_speech and not was_speech:
                start = frame - DETECTION_WINDOW_FRAMES - LOOKBACK_FRAMES
                segment_start = max(next_free, start)
            continue
        if silent_frames and silent_frames * FRAME_MS >= end_silence_ms:
            end = frame - trailing
        elif frame - segment_start + 1 > max_frames:
            end = frame
        else:
            continue
        segments.append(_segment(segment_start, end))
        next_free = end + 1
        window.clear()
        speech_in_window = 0
        window_is_speech = False
        segment_start = None
        silent_frames = 0

    if segment_start is not None:
        segments.append(_segment(segment_start, frame))
    return segments


def _segment(first: int, last: int) -> Segment:
    """Segment from the start of one frame to the end of another."""
    return Segment(first * FRAME_MS / 1000, (last + 1) * FRAME_MS / 1000)
