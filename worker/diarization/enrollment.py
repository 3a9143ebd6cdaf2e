"""Enrolled voices: what each speaker of a recording sounds like, and who that is.

`find_voices` describes each speaker by one vector, from the moments in which nobody else speaks.
`identify` compares these with vectors of known voices by their cosine, as CAM++ was trained to be
compared (Wang et al., CAM++, Interspeech 2023). docs/diarization.md has the error rates.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.diarization.clustering import normalise
from worker.segments import Turn, Window, speech_before

THRESHOLD = 0.6
"""Cosine from which on a speaker is taken for an enrolled voice. Strangers on clean recordings
reach 0.46, those in one telephone call 0.59 (docs/diarization.md)."""

Floats = NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Voice:
    """A known voice; its `embedding`, (dim,), has unit length."""

    name: str
    embedding: Floats


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose voice a speaker has; `score` is the cosine of the two, at most 1."""

    name: str
    score: float


def find_voices(unit: Floats, windows: Sequence[Window], turns: Sequence[Turn]) -> Floats:
    """Average the windows of each speaker, each by how much of it is that speaker's alone.

    Parameters
    ----------
    unit : (num_windows, dim) of unit length
    windows : that these are of
    turns : in order; those of different speakers may share time.

    Returns
    -------
    (num_speakers, dim) of unit length, in the order of the speakers' numbers
    """
    num_speakers = 1 + max((turn.speaker for turn in turns), default=-1)
    starts = np.array([window.start for window in windows])
    ends = np.array([window.end for window in windows])
    # (num_speakers, num_windows): share of a window in which a speaker speaks
    shares = np.empty((num_speakers, len(windows)))
    for speaker in range(num_speakers):
        own = [edge for turn in turns if turn.speaker == speaker for edge in (turn.start, turn.end)]
        speech = speech_before(ends, np.array(own)) - speech_before(starts, np.array(own))
        shares[speaker] = speech / (ends - starts)
    alone = np.maximum(0.0, 2 * shares - shares.sum(axis=0))  # less that of all the others
    # Who is never heard alone for long is known by what there is.
    weights = np.where(alone.any(axis=1, keepdims=True), alone, shares)
    return normalise(weights @ unit)


def identify(speakers: Floats, voices: Sequence[Voice]) -> dict[int, Identity]:
    """Tell which speakers are known, the most alike pair first.

    A voice is given to one speaker at most, and a speaker has one name at most. Who is less like
    every voice than `THRESHOLD` stays unknown.

    Parameters
    ----------
    speakers : (num_speakers, dim) of unit length

    Returns
    -------
    By the speaker's number; unknown ones are left out.
    """
    if not voices or not len(speakers):
        return {}
    # (num_speakers, num_voices)
    scores = speakers @ np.stack([voice.embedding for voice in voices]).T
    identities: dict[int, Identity] = {}
    while (best := scores.max()) >= THRESHOLD:
        speaker, voice = map(int, np.unravel_index(scores.argmax(), scores.shape))
        identities[speaker] = Identity(voices[voice].name, min(1.0, float(best)))
        scores[speaker, :] = scores[:, voice] = -np.inf
    return identities


def alike(voices: Sequence[Voice]) -> Mapping[tuple[str, str], float]:
    """Pairs of voices, by name, that one speaker could have both: `THRESHOLD` or more alike."""
    return {
        (first.name, second.name): score
        for index, first in enumerate(voices)
        for second in voices[index + 1 :]
        if (score := float(first.embedding @ second.embedding)) >= THRESHOLD
    }
