"""Voices that a job enrols: what may be said of them, and what a mistake is answered."""

import math

import pytest

from worker.errors import InvalidInputError
from worker.parsing import parse
from worker.sources import MAX_VOICES

JOB = {"task": "diarization", "audio": "volume://a.wav"}
VALUES = [0.1, *[0] * 191]
ANN = {"name": "Ann", "audio": "volume://ann.wav"}


def test_a_voice_is_known_by_audio_or_by_an_embedding():
    given = {"model": "org/name@v1", "values": VALUES}
    stretch = {"url": "volume://c.wav", "offset": 3, "duration": 10}
    ann, bob, cem, dee = parse(
        {
            **JOB,
            "speakers": [
                ANN,
                {"name": "Bob", "embedding": VALUES},
                {"name": "Cem", "audio": stretch},
                {"name": "Dee", "embedding": given},
            ],
        }
    ).speakers
    assert (ann.audio.url, ann.embedding) == ("volume://ann.wav", None)
    assert (bob.audio, bob.embedding.model, bob.embedding.values) == (None, None, VALUES)
    assert (cem.audio.offset, cem.audio.duration) == (3, 10)
    assert dee.embedding.model == "org/name@v1"


@pytest.mark.parametrize("name", ["Zoë O'Neil-Müller", "陈伟", "أحمد", "x" * 100, "Speaker", "<v>"])
def test_names_are_free(name):
    assert parse({**JOB, "speakers": [{**ANN, "name": name}]}).speakers[0].name == name


@pytest.mark.parametrize(
    ("voice", "words"),
    [
        (5, ["speakers.0: 5 is not allowed: expected an object"]),
        (None, ["speakers.0: None is not allowed: expected an object"]),
        ({}, ["speakers.0.name", "required"]),
        ({"name": "Ann"}, ["speakers.0: exactly one of audio and embedding", "neither"]),
        ({**ANN, "embedding": VALUES}, ["exactly one of audio and embedding", "both"]),
        ({"name": "Ann", "embedding": 5}, ["speakers.0.embedding", "a list of 192 numbers"]),
        ({**ANN, "adio": "x"}, ["speakers.0.adio", "did you mean 'audio'", "name, audio, emb"]),
        ({**ANN, "audio": {"ulr": "x"}}, ["speakers.0.audio.ulr", "did you mean 'url'"]),
        ({**ANN, "audio": ["x"]}, ["speakers.0.audio", "an array"]),
        ({**ANN, "audio": dict.fromkeys(map(str, range(101)))}, ["speakers.0.audio: has 101"]),
        (dict.fromkeys(map(str, range(101))), ["speakers.0: has 101 fields"]),
        ({**ANN, "name": ""}, ["speakers.0.name", "''"]),
        ({**ANN, "name": " Ann"}, ["speakers.0.name", "blank at its ends"]),
        ({**ANN, "name": "A\nnn"}, ["speakers.0.name", "line break"]),
        ({**ANN, "name": "A\u202enn"}, ["speakers.0.name", "printable"]),
        ({**ANN, "name": "\ud800"}, ["speakers.0.name"]),
        ({**ANN, "name": "x" * 101}, ["speakers.0.name", "at most 100"]),
        ({**ANN, "name": "SPEAKER_00"}, ["speakers.0.name", "SPEAKER_"]),
        ({**ANN, "name": "Speaker 7"}, ["speakers.0.name", "SPEAKER_"]),
        ({"name": "A", "embedding": VALUES[:-1]}, ["embedding.values", "192", "191"]),
        ({"name": "A", "embedding": [1.0] * 1_000_000}, ["embedding.values", "192", "1000000"]),
        ({"name": "A", "embedding": [math.nan, *VALUES[1:]]}, ["embedding.values.0", "nan"]),
        ({"name": "A", "embedding": [-math.inf, *VALUES[1:]]}, ["embedding.values.0", "-inf"]),
        ({"name": "A", "embedding": [1e300, *VALUES[1:]]}, ["embedding.values.0", "1e+300"]),
        ({"name": "A", "embedding": ["1", *VALUES[1:]]}, ["embedding.values.0", "'1'"]),
        ({"name": "A", "embedding": [0.0] * 192}, ["embedding", "zero"]),
        ({"name": "A", "embedding": [1e-300] * 192}, ["embedding", "zero"]),
        ({"name": "A", "embedding": {"value": VALUES}}, ["did you mean 'values'", "model, values"]),
    ],
)
def test_a_mistake_is_named(voice, words):
    with pytest.raises(InvalidInputError) as caught:
        parse({**JOB, "speakers": [voice]})
    for word in words:
        assert word in str(caught.value)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Ann", "Ann"),
        ("Ann Lee", "ann_lee"),
        ("Ann  Lee", "Ann Lee"),
        ("Ann Lee", "Ann__Lee"),
        ("Zoe\u0308", "Zo\u00eb"),
    ],
)
def test_names_that_files_could_not_tell_apart_are_refused(first, second):
    voices = [{**ANN, "name": first}, {**ANN, "name": second}]
    with pytest.raises(InvalidInputError) as caught:
        parse({**JOB, "speakers": voices})
    assert repr(first) in str(caught.value)
    assert repr(second) in str(caught.value)


def test_there_is_a_bound_on_voices():
    voices = [{**ANN, "name": f"voice {number}"} for number in range(MAX_VOICES + 1)]
    assert len(parse({**JOB, "speakers": voices[1:]}).speakers) == MAX_VOICES
    with pytest.raises(InvalidInputError, match="101 voices; a job may know at most 100"):
        parse({**JOB, "speakers": voices})


@pytest.mark.parametrize("field", [{"speakers": [ANN]}, {"return_embeddings": True}])
def test_recognition_alone_knows_no_voices(field):
    with pytest.raises(InvalidInputError, match="of no use to task 'asr'"):
        parse({"task": "asr", "audio": "x", **field})
