"""Synthetic recordings: signals made with numpy, encoded with PyAV."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]
"""(num_samples, num_channels), in [-1, 1]."""

LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}


@dataclass(frozen=True, slots=True)
class Encoding:
    """A container and its codec; `video` is the codec of a picture track."""

    suffix: str
    codec: str
    container: str
    video: str | None = None


ENCODINGS = {
    "wav_u8": Encoding("wav", "pcm_u8", "wav"),
    "wav_s16": Encoding("wav", "pcm_s16le", "wav"),
    "wav_s24": Encoding("wav", "pcm_s24le", "wav"),
    "wav_s32": Encoding("wav", "pcm_s32le", "wav"),
    "wav_s64": Encoding("wav", "pcm_s64le", "wav"),
    "wav_f32": Encoding("wav", "pcm_f32le", "wav"),
    "wav_f64": Encoding("wav", "pcm_f64le", "wav"),
    "wav_mulaw": Encoding("wav", "pcm_mulaw", "wav"),
    "w64": Encoding("w64", "pcm_s16le", "w64"),
    "aiff": Encoding("aiff", "pcm_s16be", "aiff"),
    "au": Encoding("au", "pcm_s16be", "au"),
    "caf": Encoding("caf", "pcm_s16le", "caf"),
    "flac": Encoding("flac", "flac", "flac"),
    "mp3": Encoding("mp3", "libmp3lame", "mp3"),
    "m4a": Encoding("m4a", "aac", "ipod"),
    "adts": Encoding("aac", "aac", "adts"),
    "ogg": Encoding("ogg", "libopus", "ogg"),
    "webm": Encoding("webm", "libopus", "webm"),
    "mkv": Encoding("mkv", "flac", "matroska"),
    "mp4_video": Encoding("mp4", "aac", "mp4", video="mpeg4"),
    "avi_video": Encoding("avi", "libmp3lame", "avi", video="mpeg4"),
    "flv_video": Encoding("flv", "libmp3lame", "flv", video="flv1"),
    "ts_video": Encoding("ts", "aac", "mpegts", video="mpeg4"),
    "asf": Encoding("asf", "libmp3lame", "asf"),
}


def tone(seconds: float, rate: int, frequency: float = 1000.0, amplitude: float = 0.5) -> Samples:
    """Make a sine of one channel."""
    times = np.arange(round(seconds * rate)) / rate
    return (amplitude * np.sin(2 * np.pi * frequency * times))[:, np.newaxis].astype(np.float32)


def chirp(seconds: float, rate: int, num_channels: int = 1) -> Samples:
    """Make a sine that glides from 200 Hz to 3 kHz: unlike a tone, it shows a shift in time."""
    times = np.arange(round(seconds * rate)) / rate
    phase = 2 * np.pi * (200 * times + (3000 - 200) / (2 * seconds) * times**2)
    return np.repeat(0.5 * np.sin(phase)[:, np.newaxis], num_channels, axis=1).astype(np.float32)


def encode(
    folder: Path,
    encoding: str,
    samples: Samples,
    rate: int,
    options: Mapping[str, str] | None = None,
) -> Path:
    """Write `samples` as one of `ENCODINGS`; `options` are the container's."""
    how = ENCODINGS[encoding]
    path = folder / f"{encoding}.{how.suffix}"
    layout = LAYOUTS[samples.shape[1]]
    with av.open(str(path), "w", format=how.container, options=dict(options or {})) as container:
        stream = container.add_stream(how.codec, rate=rate, layout=layout)
        if how.video:
            add_video(container, how.video, len(samples) / rate)
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="flt", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def silent_video(folder: Path, seconds: float) -> Path:
    """Write an mp4 that holds pictures only."""
    path = folder / "silent.mp4"
    with av.open(str(path), "w") as container:
        add_video(container, "mpeg4", seconds)
    return path


def add_video(container: "av.container.OutputContainer", codec: str, seconds: float) -> None:
    """Add a grey picture track at 10 frames per second."""
    stream = container.add_stream(codec, rate=10)
    stream.width = stream.height = 64
    stream.pix_fmt = "yuv420p"
    for index in range(round(seconds * 10)):
        grey = np.full((64, 64, 3), 128, dtype=np.uint8)
        frame = av.VideoFrame.from_ndarray(grey, format="rgb24")
        frame.pts, frame.time_base = index, Fraction(1, 10)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def raw_wav(
    path: Path,
    data: bytes,
    rate: int = 16_000,
    num_channels: int = 1,
    *,
    format_tag: int = 1,
    bits: int = 16,
    extra: bytes = b"",
    stated_bytes: int | None = None,
) -> Path:
    """Write a wav byte by byte, for headers that no encoder writes.

    `extra` is a chunk before the data; `stated_bytes` the length that the header claims.
    """
    width = num_channels * bits // 8
    header = struct.pack("<HHIIHH", format_tag, num_channels, rate, rate * width, width, bits)
    body = b"WAVEfmt " + struct.pack("<I", len(header)) + header + extra
    length = len(data) if stated_bytes is None else stated_bytes
    riff = min(len(body) + 8 + length, 0xFFFFFFFF)
    content = b"RIFF" + struct.pack("<I", riff) + body + b"data" + struct.pack("<I", length) + data
    path.write_bytes(content)
    return path
