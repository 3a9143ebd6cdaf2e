"""Recordings for the benchmarks of speech recognition: long ones, made of short ones."""

import itertools
import wave
from collections.abc import Iterator, Sequence
from pathlib import Path

import soundfile  # type: ignore[import-not-found]

SAMPLE_RATE = 16_000
BLOCK = SAMPLE_RATE * 10


def repeat(recordings: Sequence[Path], seconds: float, target: Path) -> Path:
    """Write the recordings, one after the other and again, as one 16-bit WAV.

    Raises
    ------
    ValueError
        There is none, or one has another rate or more than one channel.
    """
    if not recordings:
        raise ValueError("there are no recordings to repeat; dev_* of the data folder are expected")
    missing = round(seconds * SAMPLE_RATE)
    with wave.open(str(target), "wb") as written:
        written.setnchannels(1)
        written.setsampwidth(2)
        written.setframerate(SAMPLE_RATE)
        for block in itertools.chain.from_iterable(map(_blocks, itertools.cycle(recordings))):
            written.writeframes(block[: missing * 2])
            missing -= len(block) // 2
            if missing <= 0:
                return target
    return target


def _blocks(recording: Path) -> Iterator[bytes]:
    with soundfile.SoundFile(recording) as opened:
        if (opened.samplerate, opened.channels) != (SAMPLE_RATE, 1):
            raise ValueError(
                f"{recording.name} has {opened.samplerate} samples a second and {opened.channels} "
                f"channels; {SAMPLE_RATE} and one are expected."
            )
        while block := bytes(opened.buffer_read(BLOCK, dtype="int16")):
            yield block
