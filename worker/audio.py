"""Audio file -> waveform: decoded block by block into a file, so that memory stays small."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeGuard

import numpy as np
from numpy.typing import NDArray

from worker.control import JobControl
from worker.errors import AudioTooLargeError, AudioTooLongError, InvalidInputError
from worker.media import audio_stream, blocks, open_container, stated_duration
from worker.waveform import SAMPLE_BYTES, SAMPLE_RATE, WaveformFile

MIN_BITS_PER_S = 100
"""What a second of audio takes at least: a length that the file is too small for is damage."""
DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@dataclass(frozen=True, slots=True)
class Audio:
    """A decoded recording, or the stretch of it that was asked for.

    Attributes
    ----------
    waveform : (num_samples,) float32 at 16 kHz, in [-1, 1]; to be closed
    duration : length of `waveform` in seconds
    sample_rate : rate of the source in Hz
    channels : number of channels of the source
    codec : FFmpeg's name of the source's codec, such as ``pcm_s16le`` or ``mp3``
    """

    waveform: WaveformFile
    duration: float
    sample_rate: int
    channels: int
    codec: str


def decode(
    path: Path,
    target: Path,
    control: JobControl,
    *,
    max_seconds: float,
    offset: float = 0.0,
    duration: float | None = None,
) -> Audio:
    """Decode the first-choice audio stream of a file.

    What is damaged is skipped, and a file that breaks off gives what is there.
    The stretch from `offset` on is cut out of the decoded waveform, so that it
    equals that slice of the whole to the sample; seeking is exact in few formats.

    Parameters
    ----------
    path : file of any container in `worker.media.DEMUXERS`
    target : file that the samples are written to, 230 MB for an hour; replaced where it exists,
        removed where decoding fails
    control : gets the stage ``decode`` where the file says how long it is
    max_seconds : longest waveform that is returned
    offset : start of the stretch in seconds, not negative
    duration : length of the stretch in seconds; None: up to the end

    Raises
    ------
    UnsupportedAudioError
        The file is not audio, holds no sound, is encrypted, or nothing in it decodes.
    AudioTooLongError
        The stretch is longer than `max_seconds`.
    AudioTooLargeError
        The samples do not fit on the disk.
    InvalidInputError
        `offset` is not inside the audio.
    CancelledError
        The job was cancelled.
    """
    with open_container(path) as container:
        stream = audio_stream(container)
        stated = stated_duration(container)
        if duration is None and _is_credible(stated, path) and stated - offset > max_seconds:
            # Before hours of it are decoded.
            raise _too_long(f"lasts {stated - offset:.3f} s", max_seconds)
        ends = (stated, None if duration is None else offset + duration)
        end = min((second for second in ends if second is not None), default=None)
        decoded = _reported(blocks(container, stream, control), end, control)
        with _created(target) as file:
            for block in _cut(decoded, max_seconds, offset, duration):
                file.write(block.data)
        context = stream.codec_context
        waveform = WaveformFile(target)
        return Audio(
            waveform=waveform,
            duration=len(waveform) / SAMPLE_RATE,
            sample_rate=context.sample_rate,
            channels=context.layout.nb_channels,
            codec=context.codec.canonical_name,
        )


def _is_credible(stated: float | None, path: Path) -> TypeGuard[float]:
    """Whether a file is large enough for the length that its header says; damage makes days."""
    return stated is not None and path.stat().st_size * 8 >= stated * MIN_BITS_PER_S


def _too_long(what: str, max_seconds: float) -> AudioTooLongError:
    return AudioTooLongError(
        f"The audio {what}; at most {max_seconds:g} s are taken (SPEECH_MAX_AUDIO_S). "
        "Split it, or name a stretch of it with `offset` and `duration`."
    )


@contextmanager
def _created(target: Path) -> Iterator[BinaryIO]:
    """Open a new file, which stays only if all goes well."""
    try:
        with target.open("wb") as file:
            yield file
    except BaseException as error:
        written = target.stat().st_size / 1e6 if target.exists() else 0
        target.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in DISK_FULL:
            raise AudioTooLargeError(
                f"The worker's disk is full: {written:.0f} MB of decoded audio are written, and "
                f"no more fits; an hour takes {3600 * SAMPLE_RATE * SAMPLE_BYTES / 1e6:.0f} MB. "
                "Send less at a time, with `offset` and `duration`, or give the endpoint a larger "
                "container disk."
            ) from error
        raise


def _reported(
    decoded: Iterator[NDArray[np.float32]], end: float | None, control: JobControl
) -> Iterator[NDArray[np.float32]]:
    """Report the progress at each block, where it is known in which second the last one ends."""
    position = 0
    for block in decoded:
        if end:
            control.update("decode", min(position / SAMPLE_RATE / end, 1.0))
        yield block
        position += len(block)


def _cut(
    decoded: Iterator[NDArray[np.float32]],
    max_seconds: float,
    offset: float,
    duration: float | None,
) -> Iterator[NDArray[np.float32]]:
    """Yield what lies from `offset` on, for `duration` seconds."""
    start = round(offset * SAMPLE_RATE)
    stop = None if duration is None else start + round(duration * SAMPLE_RATE)
    max_samples = round(max_seconds * SAMPLE_RATE)
    position = num_samples = 0
    for block in decoded:
        stretch = block[max(start - position, 0) : None if stop is None else stop - position]
        position += len(block)
        num_samples += len(stretch)
        if num_samples > max_samples:
            raise _too_long("is longer", max_seconds)
        yield stretch
        if stop is not None and position >= stop:
            break
    if start and position <= start:
        raise InvalidInputError(
            f"audio.offset is {offset:g} s, but the audio lasts {position / SAMPLE_RATE:.3f} s. "
            "The offset has to lie inside the audio."
        )
