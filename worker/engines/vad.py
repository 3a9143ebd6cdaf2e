"""FSMN-VAD: waveform -> speech segments.

The network gives each 10 ms frame a probability of silence; `decide` turns
those into segments exactly as FunASR's ``FsmnVADStreaming`` does offline
(funasr 1.4.16, models/fsmn_vad_streaming/model.py), without its buffers. The
network works through the recording in blocks; the decision needs
40 bytes for each frame, 142 MB for ten hours, while it is made.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

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
BLOCK_FRAMES = 1_500
"""Frames that go through the network at once, 15 s: what lies between its layers fits a cache."""
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
        session.expect("frames")
        self._session = session

    def __call__(
        self, waveform: Samples, options: VadOptions, control: JobControl
    ) -> list[Segment]:
        """Find the speech segments of a waveform, in order.

        Parameters
        ----------
        waveform : (num_samples,) float32, 16 kHz, in [-1, 1]
        control : gets the stage ``vad``, a step each block of BLOCK_FRAMES.

        Raises
        ------
        CancelledError
            The job was cancelled.
        """
        blocks = self.silence_probability(waveform, control)
        speech = [is_speech(block, options.speech_noise_threshold) for block in blocks]
        return decide(np.concatenate([*speech, np.empty(0, dtype=np.bool_)]), options)

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
        outputs = self._session.map(lambda start: (_block(waveform, total, start),), watched)
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


def decide(speech_frames: NDArray[np.bool_], options: VadOptions) -> list[Segment]:
    """Turn frames into segments, as FunASR's state machine does, in a step per segment.

    A window of 200 ms with at least 150 ms of speech starts a segment 400 ms before the frame
    that completes it; the segment ends when the window has stayed at or below 150 ms of speech
    for `max_end_silence_ms` - 150 ms, 100 ms after it fell silent. The window is then empty again.

    Parameters
    ----------
    speech_frames : (num_frames,) whether each 10 ms frame is speech
    """
    end_silence_ms = options.max_end_silence_ms - SPEECH_TO_SILENCE_MS
    trailing = max(0, int(end_silence_ms / FRAME_MS) - LOOKAHEAD_FRAMES - 1)
    frames = _Frames(speech_frames, max(1, math.ceil(end_silence_ms / FRAME_MS)))
    max_frames = min(options.max_segment_s * 1000 / FRAME_MS, frames.total)

    segments: list[Segment] = []
    next_free = 0  # first frame after the last segment
    emptied = -1  # frame with which the window was emptied
    while (begun := frames.next_speech(emptied)) < frames.total:
        first = max(next_free, begun - DETECTION_WINDOW_FRAMES - LOOKBACK_FRAMES)
        cut = max(begun, first + math.floor(max_frames) - 1) + 1
        silent = frames.next_silence(begun, emptied)
        emptied = min(silent, cut)
        if emptied >= frames.total:
            segments.append(_segment(first, frames.total - 1))
            break
        last = silent - trailing if silent <= cut else cut
        segments.append(_segment(first, last))
        next_free = last + 1
    return segments


class _Frames:
    """Where the detection window turns to speech, and where it has been silent for long enough.

    While the window has exactly 150 ms of speech, FunASR's state changes with every frame; with
    more it is speech, with less silence. As long as the window is filling up, it counts no frames
    from before it was emptied.

    Parameters
    ----------
    speech : (num_frames,)
    silent_frames : in a row that end a segment.
    """

    def __init__(self, speech: NDArray[np.bool_], silent_frames: int) -> None:
        self.total = len(speech)
        self._silent_frames = silent_frames
        # Speech before each frame, and in the window that ends with it.
        self._before = np.concatenate([[0], np.cumsum(speech, dtype=np.int32)])
        in_window = self._before[1:].copy()
        in_window[DETECTION_WINDOW_FRAMES:] -= self._before[1:-DETECTION_WINDOW_FRAMES]
        self._balance = np.sign(in_window - SPEECH_FRAMES_IN_WINDOW)
        self._speech = np.flatnonzero(self._balance >= 0)
        self._decided = np.flatnonzero(self._balance)
        edges = np.flatnonzero(np.diff(self._balance < 0, prepend=False, append=False))
        starts, ends = edges[::2], edges[1::2]
        long = ends - starts >= silent_frames
        self._silence_starts, self._silence_ends = starts[long], ends[long]

    def next_speech(self, emptied: int) -> int:
        """First frame that makes the window speech again, or the number of frames."""
        wanted = self._before[emptied + 1] + SPEECH_FRAMES_IN_WINDOW
        frame = int(np.searchsorted(self._before, wanted)) - 1
        if frame <= emptied + DETECTION_WINDOW_FRAMES:
            return frame
        return self._first(self._speech, emptied + DETECTION_WINDOW_FRAMES)

    def next_silence(self, begun: int, emptied: int) -> int:
        """Frame that completes the silence after `begun`, or the number of frames."""
        for index in range(
            int(np.searchsorted(self._silence_starts, begun)), len(self._silence_starts)
        ):
            start = int(self._silence_starts[index])
            # The frame in which the state turns is none of silence.
            turned = start + self._is_speech(start - 1, begun, emptied)
            frame = turned + self._silent_frames - 1
            if frame < self._silence_ends[index]:
                return frame
        return self.total

    def _is_speech(self, frame: int, begun: int, emptied: int) -> bool:
        """State at a frame after `begun`."""
        index = int(np.searchsorted(self._decided, frame, side="right")) - 1
        decided = int(self._decided[index]) if index >= 0 else -1
        if decided < emptied + DETECTION_WINDOW_FRAMES:  # the window was still filling up then
            return (frame - begun) % 2 == 0
        return bool(self._balance[decided] > 0) ^ bool((frame - decided) % 2)

    def _first(self, frames: NDArray[np.intp], after: int) -> int:
        index = int(np.searchsorted(frames, after, side="right"))
        return int(frames[index]) if index < len(frames) else self.total


def _segment(first: int, last: int) -> Segment:
    """Segment from the start of one frame to the end of another."""
    return Segment(first * FRAME_MS / 1000, (last + 1) * FRAME_MS / 1000)
