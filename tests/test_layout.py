import dataclasses
import itertools
import json
from collections.abc import Iterator

import pytest

from volume_bootstrap.layout import (
    Generation,
    LayoutError,
    Manifest,
    ModelFile,
    ModelRecord,
    Volume,
    dump,
    read_generation,
    read_manifest,
)

GENERATION = Generation(
    id="abc-1",
    project="demo",
    variant="cpu",
    python="3.11",
    abi="cpython-311-x86_64-linux-gnu",
    inputs="0" * 64,
    packages={"numpy": "2.4.6"},
    image_packages={"pydantic": "2.14.3"},
    imports=("numpy", "scipy.cluster"),
    built="2026-11-21T08:00:00+00:00",
    num_files=7,
    num_bytes=4096,
)
MODEL = ModelRecord(
    alias="vad",
    id="org/name",
    revision=None,
    task="vad",
    engine=None,
    licence="Apache-2.0",
    source="bundled models/vad",
    folder="hub/org/.name/0123456789ab",
    files=(ModelFile("model.pt", 3, "1" * 64, 1), ModelFile("model.onnx", 4, "2" * 64, 2)),
    runtime="model.onnx",
    parity=1e-6,
    export="3" * 64,
)
MANIFEST = Manifest("demo", "3.11", {"diarization": {"window_s": 1.5}}, (MODEL,))


def test_a_generation_reads_as_it_was_written(tmp_path):
    (tmp_path / "generation.json").write_text(dump(GENERATION))
    assert read_generation(tmp_path / "generation.json") == GENERATION


def test_a_manifest_reads_as_it_was_written(tmp_path):
    (tmp_path / "manifest.json").write_text(dump(MANIFEST))
    assert read_manifest(tmp_path / "manifest.json") == MANIFEST


def test_a_manifest_names_no_place_of_this_machine(volume):
    text = volume.manifest("demo").read_text()
    assert str(volume.root) not in text
    assert not any(m.folder.startswith("/") for m in read_manifest(volume.manifest("demo")).models)


def test_the_shipped_records_are_whole(volume):
    generation = read_generation(volume.pointer("demo") / "generation.json")
    assert generation.project == "demo"
    assert set(generation.packages).isdisjoint(generation.image_packages)
    assert {m.task for m in read_manifest(volume.manifest("demo")).models} == {
        "vad",
        "segmentation",
        "embedding",
        "asr",
    }


def damaged(record: Generation | Manifest, **changes: object) -> str:
    return json.dumps({**json.loads(dump(record)), **changes})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "cannot be read"),
        (dump(MANIFEST)[:200], "cannot be read"),
        ("[]", "not of format 3"),
        ("{}", "not of format 3"),
        (dump(MANIFEST).replace('"format": 3', '"format": 2'), "not of format 3"),
        ('{"format": 3}', "damaged"),
        (damaged(MANIFEST, models=None), "damaged"),
        (damaged(MANIFEST, models=["vad"]), "damaged"),
        (damaged(MANIFEST, surprise=1), "damaged.*surprise"),
        (dump(MANIFEST).replace('"size"', '"bytes"'), "damaged"),
        (dump(MANIFEST).replace('"runtime": "model.onnx"', '"runtime": "other.onnx"'), "vad lists"),
    ],
)
def test_a_damaged_manifest_is_named(tmp_path, text, words):
    path = tmp_path / "demo-py3.11.json"
    path.write_text(text)
    with pytest.raises(LayoutError, match=f"demo-py3.11.json.*{words}"):
        read_manifest(path)


@pytest.mark.parametrize("text", ["\0", '{"format": 2}', damaged(GENERATION, imports=None)])
def test_a_damaged_generation_is_named(tmp_path, text):
    (tmp_path / "generation.json").write_text(text)
    with pytest.raises(LayoutError, match=r"generation\.json"):
        read_generation(tmp_path / "generation.json")


WRONG = (None, True, 7, 1.5, "text", [], ["text"], [7], {}, {"a": "text"}, {"a": 7}, {"a": {}})
"""One or more of every type that JSON has, and of lists and objects that hold others."""


def places(value: object, place: tuple = ()) -> Iterator[tuple]:
    """Every place in a JSON value, as the keys and numbers that lead there."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for key, each in inner:
        yield (*place, key)
        if isinstance(each, dict | list):
            yield from places(each, (*place, key))


@pytest.mark.parametrize(
    ("record", "read"), [(GENERATION, read_generation), (MANIFEST, read_manifest)]
)
def test_a_field_of_another_type_is_damage(tmp_path, record, read):
    """What can be read is what `dump` would write: nothing of another type comes through."""
    path = tmp_path / "record.json"
    num_damaged = 0
    for place, wrong in itertools.product(places(json.loads(dump(record))), WRONG):
        changed = json.loads(dump(record))
        around = changed
        for step in place[:-1]:
            around = around[step]
        around[place[-1]] = wrong
        path.write_text(json.dumps(changed))
        try:
            found = read(path)
        except LayoutError as error:
            assert "record.json is " in str(error)  # noqa: PT017 - some are no damage
            num_damaged += 1
        else:
            assert json.loads(dump(found)) == changed
    assert num_damaged > 150


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"size": 3', '"size": "3"', r"record\.models\[0\]\.files\[0\]\.size is '3', no int"),
        ('"size": 3', '"size": true', r"size is True, no int"),
        ('"revision": null', '"revision": 2', r"record\.models\[0\]\.revision is 2, no str"),
        ('"parity": 1e-06', '"parity": "low"', r"parity is 'low', no float"),
        ('"alias": "vad",', "", r"in record\.models\[0\], missing or not known: alias"),
        ('{"window_s": 1.5}', "[]", r"record\.defaults\.diarization is \[\], no dict"),
    ],
)
def test_damage_is_named_with_its_place(tmp_path, old, new, words):
    path = tmp_path / "demo-py3.11.json"
    text = json.dumps(json.loads(dump(MANIFEST)))
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(LayoutError, match=f"demo-py3.11.json is damaged: .*{words}"):
        read_manifest(path)


def test_a_whole_number_is_a_measure_too(tmp_path):
    path = tmp_path / "demo-py3.11.json"
    path.write_text(dump(MANIFEST).replace("1e-06", "0"))
    assert read_manifest(path).models[0].parity == 0


def test_bytes_that_are_no_text_are_a_damaged_record(tmp_path):
    (tmp_path / "generation.json").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(LayoutError, match="cannot be read"):
        read_generation(tmp_path / "generation.json")


def test_a_missing_record_is_named(tmp_path):
    with pytest.raises(LayoutError, match=r"nothing\.json does not exist"):
        read_manifest(tmp_path / "nothing.json")


def test_a_file_in_place_of_the_pointer_is_no_generation(tmp_path):
    (tmp_path / "demo").write_text("")
    with pytest.raises(LayoutError, match="cannot be read"):
        read_generation(tmp_path / "demo" / "generation.json")


def test_projects_are_those_of_this_python(tmp_path):
    volume = Volume(tmp_path, "3.11")
    assert volume.projects() == []
    volume.metadata.mkdir()
    for name in ("b-py3.11.json", "a-py3.11.json", "c-py3.12.json", "a-py3.11.json.partial"):
        (volume.metadata / name).write_text("{}")
    assert volume.projects() == ["a", "b"]


def test_a_model_is_named_with_its_revision():
    assert MODEL.reference == "org/name"
    assert dataclasses.replace(MODEL, revision="v2.0.4").reference == "org/name@v2.0.4"
    assert MANIFEST.model("vad") == MODEL
    assert MANIFEST.model("asr") is None
