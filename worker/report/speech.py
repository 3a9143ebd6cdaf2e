"""Waveform -> what a page plays and draws: compressed speech and peaks. Memory stays flat."""

import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.control import JobControl
from worker.waveform import SAMPLE_RATE, Samples

MEDIA_TYPE = "audio/mp4"
"""Opus in MP4 is played, and sought in, by Chrome, Firefox and Safari from 17 on (macOS and iOS,
says its release notes); Safari on iOS refuses Opus in Ogg, and in WebM before 17.4."""
BIT_RATE = 24_000
"""In bits per second, constant, so that the size is known before anything is encoded."""
OPTIONS = {
    "vbr": "off",
    "frame_duration": "60",  # ms; an index entry for each of 20 ms would add a fifteenth
    "application": "audio",
    "compression_level": "5",  # six times as fast as the highest, on the sample conversation
}
HEADER_BYTES = 1_500
"""Of the container, and the last frame; measured: 979 bytes for 30 s, 1,011 for half an hour."""
BLOCK_SAMPLES = 60 * SAMPLE_RATE
"""Samples that are read and encoded at a time."""

PEAKS_PER_S = 50
MAX_PEAKS = 100_000
"""Of one page, a byte each: three in a second of ten hours."""


@dataclass(frozen=True, slots=True)
class Sound:
    """What a page has of a recording's samples.

    peaks : a byte for each equal stretch, 255 for the loudest.
    speech : a file of `MEDIA_TYPE`, or None where it would be too large.
    """

    peaks: bytes
    speech: bytes | None


def prepare(waveform: Samples, max_mb: float, control: JobControl) -> Sound:
    """Measure a recording and, where it fits into `max_mb` (10^6 bytes), encode it.

    Raises
    ------
    CancelledError
        The job was cancelled.
    """
    fits = num_bytes(len(waveform)) <= max_mb * 1e6
    return Sound(peaks(waveform, control), encode(waveform, control) if fits else None)


def num_bytes(num_samples: int) -> int:
    """Bytes that so many samples take at most when they are encoded."""
    return num_samples * BIT_RATE // (8 * SAMPLE_RATE) + HEADER_BYTES


def encode(waveform: Samples, control: JobControl) -> bytes:
    """Compress a recording.

    Returns
    -------
    A file of `MEDIA_TYPE`: Opus, mono.
    """
    import av

    target = io.BytesIO()
    with av.open(target, "w", format="mp4") as container:
        stream = container.add_stream("libopus", rate=SAMPLE_RATE, layout="mono", options=OPTIONS)
        stream.bit_rate = BIT_RATE
        for start, block in _blocks(waveform, BLOCK_SAMPLES, control):
            frame = av.AudioFrame.from_ndarray(block[np.newaxis], format="flt", layout="mono")
            frame.sample_rate, frame.pts = SAMPLE_RATE, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return target.getvalue()


def peaks(waveform: Samples, control: JobControl) -> bytes:
    """Measure how loud each of at most `MAX_PEAKS` equal stretches is."""
    step = max(SAMPLE_RATE // PEAKS_PER_S, -(-len(waveform) // MAX_PEAKS))
    blocks = _blocks(waveform, step * max(1, BLOCK_SAMPLES // step), control)
    found = [np.maximum.reduceat(np.abs(b), np.arange(0, len(b), step)) for _, b in blocks]
    loudest = np.concatenate([*found, np.zeros(1, dtype=np.float32)])[:-1]
    scale = 255 / max(float(loudest.max(initial=0.0)), 1e-3)  # silence stays flat
    return np.rint(loudest * scale).astype(np.uint8).tobytes()


def _blocks(
    waveform: Samples, size: int, control: JobControl
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Read a recording by slices, each with the index of its first sample."""
    for start in control.watch("report", range(0, len(waveform), size), _count(waveform, size)):
        yield start, waveform[start : start + size]


def _count(waveform: Samples, size: int) -> int:
    return -(-len(waveform) // size)
