"""Voices of speakers, and whose they are: on vectors whose answer is known."""

import numpy as np
import pytest

from worker.diarization.clustering import normalise
from worker.diarization.enrollment import (
    THRESHOLD,
    Identity,
    Voice,
    alike,
    find_voices,
    identify,
)
from worker.segments import Turn, Window

A, B = 0, 1


def windows_at(*starts: float) -> list[Window]:
    return [Window(start, start + 1.5, 0) for start in starts]


def at_angle(*degrees: float) -> np.ndarray:
    """Unit vectors in a plane."""
    radians = np.deg2rad(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1)


def degrees_of(vectors: np.ndarray) -> list[float]:
    return np.rad2deg(np.arctan2(vectors[:, 1], vectors[:, 0])).round(6).tolist()


def test_a_voice_is_the_mean_of_its_windows():
    turns = [Turn(0.0, 3.0, A), Turn(3.0, 6.0, B)]
    unit = at_angle(0, 10, 80, 90)
    assert degrees_of(find_voices(unit, windows_at(0, 1.5, 3, 4.5), turns)) == [5, 85]


def test_a_window_of_two_speakers_says_nothing_of_either():
    turns = [Turn(0.0, 2.25, A), Turn(2.25, 6.0, B)]
    unit = at_angle(0, 45, 90)
    assert degrees_of(find_voices(unit, windows_at(0, 1.5, 3), turns)) == [0, 90]


def test_a_window_counts_by_what_is_the_speakers_alone():
    turns = [Turn(0.0, 3.0, A), Turn(3.0, 3.5, B), Turn(3.5, 4.0, A)]
    unit = at_angle(0, 90, 45)
    # Of the last window, 1 s is of A and 0.5 s of B: a third is left.
    found = find_voices(unit, windows_at(0, 1.5, 2.5), turns)
    expected = unit[0] + unit[1] + unit[2] / 3
    np.testing.assert_allclose(found[A], expected / np.linalg.norm(expected))


def test_what_others_talk_over_is_left_out():
    turns = [Turn(0.0, 3.0, A), Turn(1.5, 4.5, B)]
    unit = at_angle(0, 45, 90)
    assert degrees_of(find_voices(unit, windows_at(0, 1.5, 3), turns)) == [0, 90]


def test_who_is_never_alone_is_known_by_what_there_is():
    turns = [Turn(0.0, 3.0, A), Turn(1.0, 1.5, B)]
    assert degrees_of(find_voices(at_angle(10, 40), windows_at(0, 1.5), turns))[B] == 10


def test_nobody_has_no_voice():
    assert find_voices(np.empty((0, 2)), [], []).shape == (0, 2)


def test_the_nearest_voice_above_the_threshold_gives_its_name():
    voices = [Voice(n, v) for n, v in zip(["far", "near"], at_angle(50, 10), strict=True)]
    known = identify(at_angle(0), voices)
    assert known == {0: Identity("near", pytest.approx(np.cos(np.deg2rad(10))))}


def test_the_threshold_parts_known_and_unknown():
    edge = np.rad2deg(np.arccos(THRESHOLD))
    speakers = at_angle(0)
    assert identify(speakers, [Voice("in", at_angle(edge - 0.1)[0])])[0].name == "in"
    assert identify(speakers, [Voice("out", at_angle(edge + 0.1)[0])]) == {}


def test_a_voice_is_given_once_and_the_more_alike_pair_comes_first():
    voices = [Voice("x", at_angle(0)[0]), Voice("y", at_angle(30)[0])]
    # Both are most like x; the second is more so, and the first gets y.
    known = identify(at_angle(12, 5), voices)
    assert {number: identity.name for number, identity in known.items()} == {1: "x", 0: "y"}


def test_of_two_speakers_who_match_one_voice_the_better_has_the_name():
    known = identify(at_angle(20, 5, 30), [Voice("x", at_angle(0)[0])])
    assert list(known) == [1]


def test_without_voices_or_speakers_nobody_is_known():
    assert identify(at_angle(0), []) == {}
    assert identify(np.empty((0, 2)), [Voice("x", at_angle(0)[0])]) == {}


def test_rounding_gives_no_score_above_one():
    speaker = normalise(np.full((1, 192), 0.1))
    voice = Voice("x", speaker[0] * (1 + 1e-9))
    assert identify(speaker, [voice])[0].score == 1.0


def test_voices_that_are_alike_are_told():
    voices = [Voice(n, v) for n, v in zip("abc", at_angle(0, 10, 120), strict=True)]
    assert alike(voices) == {("a", "b"): pytest.approx(np.cos(np.deg2rad(10)))}


def test_vectors_of_any_size_get_unit_length():
    found = normalise(np.array([[3e-150, 4e-150], [3e150, 4e150], [0.0, 0.0]]))
    np.testing.assert_allclose(found, [[0.6, 0.8], [0.6, 0.8], [0, 0]])
