"""Any container -> blocks of mono 16 kHz samples: FFmpeg's side of `worker.audio`.

FFmpeg's libraries (PyAV) read the file as a stream. Each frame becomes the mean
of its channels and goes through libswresample to 16 kHz.

PyAV frees a custom channel layout twice from 17.1 on (mended in 19.1, says its
changelog): one surround AIFF, CAF or MP4 takes the process down. 17.0 is sound.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from worker.control import JobControl
from worker.errors import UnsupportedAudioError
from worker.waveform import SAMPLE_RATE

if TYPE_CHECKING:
    import av

logger = logging.getLogger(__name__)

DEMUXERS = "aac,aiff,amr,asf,au,avi,caf,flac,flv,matroska,mov,mp3,mpegts,ogg,w64,wav"
"""FFmpeg's names of the containers that are read: mov is mp4 and m4a, matroska webm.

A playlist (hls, dash, concat, sdp, …) names other files and hosts, which FFmpeg
would open: it is refused by its absence here, before FFmpeg reads its content.
"""

BLOCK_SAMPLES = 65_536
"""Samples of the source that are down-mixed and resampled at a time."""

MIN_SOURCE_RATE, MAX_SOURCE_RATE = 1000, 768_000
"""A false rate in a header, such as 1 Hz, would make gigabytes out of one block."""

GUESSED_DURATION = frozenset({"aac", "mp3"})
"""Containers without a length: FFmpeg guesses it from the bit rate of the first frames."""

OPEN_S = 20.0
"""For the headers of a file. FFmpeg looks for those of an ogg that has none up to its end, which
takes minutes and looks at no cancellation."""

ADVICE = "Send wav, flac, mp3, m4a, ogg, webm or mp4 with sound."


@contextmanager
def open_container(path: Path) -> Iterator["av.container.InputContainer"]:
    """Open a file of any container in `DEMUXERS`.

    Raises
    ------
    UnsupportedAudioError
        It is none.
    """
    import av

    if not path.stat().st_size:
        message = f"The audio is empty: the file holds 0 bytes. {ADVICE}"
        raise UnsupportedAudioError(message)
    with path.open("rb") as file:
        options = {
            # FFmpeg gets this one descriptor: neither a name to guess the container from,
            # nor a protocol to open anything else with, whatever the file refers to.
            "fd": str(file.fileno()),
            "protocol_whitelist": "fd",
            "format_whitelist": DEMUXERS,
        }
        try:
            # Tags are often in another encoding than UTF-8.
            container = av.open(
                "fd:",
                container_options=options,
                metadata_errors="replace",
                timeout=(OPEN_S, None),
            )
        except av.FFmpegError as error:
            message = (
                "The file is not audio, is damaged, or is of a kind that is not read "
                f"(FFmpeg: {error.strerror}). {ADVICE}"
            )
            raise UnsupportedAudioError(message) from error
        with container:
            yield container


def audio_stream(container: "av.container.InputContainer") -> "av.AudioStream":
    """Choose the audio stream of a container.

    Raises
    ------
    UnsupportedAudioError
        There is none, or its codec is unknown.
    """
    # FFmpeg's best is one whose parameters it knows already; they may come later in the file.
    stream = container.streams.best("audio") or next(iter(container.streams.audio), None)
    if stream is None:
        kinds = ", ".join(sorted({s.type for s in container.streams})) or "nothing"
        message = f"The file holds no audio stream (only: {kinds}). {ADVICE}"
        raise UnsupportedAudioError(message)
    if stream.codec_context is None:
        message = f"The codec of the audio stream is unknown or encrypted. {ADVICE}"
        raise UnsupportedAudioError(message)
    return stream


def stated_duration(container: "av.container.InputContainer") -> float | None:
    """Length in seconds that the file says it has; None where it does not."""
    if container.duration is None or container.format.name in GUESSED_DURATION:
        return None
    return float(container.duration / 1e6)


def blocks(
    container: "av.container.InputContainer", stream: "av.AudioStream", control: JobControl
) -> Iterator[NDArray[np.float32]]:
    """Decode a stream of any rate, sample format and layout.

    Yields
    ------
    (num_samples,) float32, mono, 16 kHz, in [-1, 1]: the samples that come after the last

    Raises
    ------
    UnsupportedAudioError
        The stream is encrypted, or nothing in it decodes or can be converted.
    CancelledError
        The job was cancelled.
    """
    # Packed, because PyAV reads past the planes of a planar frame of 8 channels; large,
    # because most codecs have frames so short that the work around each one would dominate.
    frames = _frames(container, stream, control)
    packed = _converted(frames, format="flt", frame_size=BLOCK_SAMPLES)
    for frame in _converted(map(_mono, packed), format="flt", layout="mono", rate=SAMPLE_RATE):
        yield frame.to_ndarray()[0].clip(-1, 1)  # the filter overshoots at loud edges


def _frames(
    container: "av.container.InputContainer", stream: "av.AudioStream", control: JobControl
) -> Iterator["av.AudioFrame"]:
    """Yield the frames that decode; look at `control` at each packet, sound or damaged.

    Raises
    ------
    UnsupportedAudioError
        None does, although there is something to decode; or the stream is encrypted.
    """
    import av

    num_frames, num_skipped, reason = 0, 0, "the file ends before the first frame"
    packets = container.demux(stream)
    while True:
        control.check()
        try:
            packet = next(packets, None)  # None, too, after the demuxer itself has failed
            if packet is None:
                break
            if packet.has_sidedata("encryption_info"):
                message = "The audio stream is encrypted. Send it without protection."
                raise UnsupportedAudioError(message)
            frames = packet.decode()
        except av.FFmpegError as error:
            num_skipped, reason = num_skipped + 1, error.strerror
            continue
        for frame in frames:
            if frame.samples:
                _check_sample_rate(frame.sample_rate)
                num_frames += 1
                yield frame
    if not num_frames and (num_skipped or container.duration):
        message = f"Nothing in the audio stream can be decoded (FFmpeg: {reason}). {ADVICE}"
        raise UnsupportedAudioError(message)
    if num_skipped:
        logger.warning("skipped %d packets that do not decode: %s", num_skipped, reason)


def _check_sample_rate(rate: int) -> None:
    if not MIN_SOURCE_RATE <= rate <= MAX_SOURCE_RATE:
        raise UnsupportedAudioError(
            f"The audio has {rate} samples per second; allowed are {MIN_SOURCE_RATE} to "
            f"{MAX_SOURCE_RATE}. The file may be damaged. {ADVICE}"
        )


def _source(frame: "av.AudioFrame") -> tuple[str, str, int]:
    return frame.format.name, frame.layout.name, frame.sample_rate


def _converted(frames: Iterator["av.AudioFrame"], **target: str | int) -> Iterator["av.AudioFrame"]:
    """Run frames through libswresample; a source that changes on the way is followed."""
    import av

    for source, group in groupby(frames, key=_source):
        try:
            resampler = av.AudioResampler(**target)
            for frame in group:
                yield from resampler.resample(frame)
            # PyAV flushes a resampler that had nothing to do to [None].
            yield from filter(None, resampler.resample(None))
        except av.FFmpegError as error:
            message = f"Audio as {source} cannot be converted (FFmpeg: {error.strerror}). {ADVICE}"
            raise UnsupportedAudioError(message) from error


def _mono(frame: "av.AudioFrame") -> "av.AudioFrame":
    """Mean of the channels of a packed float32 frame, as a frame."""
    import av

    samples = frame.to_ndarray().reshape(-1, frame.layout.nb_channels)
    # One bad sample would poison every feature frame and embedding that it touches.
    samples = np.nan_to_num(samples, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
    # Not libswresample's down-mix: it weights the channels and drops the LFE.
    num_channels = samples.shape[1]
    mean = samples.clip(-1, 1) @ np.full(num_channels, 1 / num_channels, dtype=np.float32)
    mono = av.AudioFrame.from_ndarray(mean[np.newaxis], format="flt", layout="mono")
    mono.sample_rate = frame.sample_rate
    return mono
