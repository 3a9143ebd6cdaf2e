"""Parts cut to what a message may hold."""

import json

import pytest

from worker.parts import serialise, split


def test_a_small_part_stays_whole():
    part = {"audio": {"index": 0}, "turns": [1, 2, 3]}
    assert list(split(part, 1000)) == [part]


@pytest.mark.parametrize("count", [2, 3, 100, 1001])
def test_pieces_are_small_enough_and_lose_nothing(count):
    part = {"audio": {"index": 0}, "segments": [{"text": "多" * (i % 40)} for i in range(count)]}
    pieces = list(split(part, 300))
    assert all(len(serialise(piece)) <= 300 for piece in pieces)
    assert all(piece["audio"] == {"index": 0} for piece in pieces)
    assert [s for piece in pieces for s in piece["segments"]] == part["segments"]


@pytest.mark.parametrize("part", [{"text": "x" * 500}, {"turns": ["x" * 500]}, {"turns": []}])
def test_what_cannot_be_cut_stays(part):
    assert list(split(part, 300)) == [part]


def test_json_is_utf8_and_strict():
    assert serialise({"text": "Grüße"}) == '{"text": "Grüße"}'.encode()
    for value in (float("nan"), float("inf"), "\ud800", object()):
        with pytest.raises((TypeError, ValueError)):
            serialise({"value": value})
    assert json.loads(serialise({"value": 1.5})) == {"value": 1.5}
