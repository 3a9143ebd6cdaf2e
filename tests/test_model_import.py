"""Models that somebody copied by hand: named where they are wrong, served where they are right."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.copied_models import CONTENTS, WEIGHTS, copy_by_hand, entry, project, sha256, take
from tests.volumes import VOLUME
from tests.wheels import snapshot
from volume_bootstrap.errors import DependencyError, ModelError
from volume_bootstrap.layout import Volume, manifest_of
from volume_bootstrap.models import exporting
from volume_bootstrap.models.gathering import partial_folder
from volume_bootstrap.models.importing import import_model
from volume_bootstrap.project import read_project
from volume_bootstrap.project_files import FileEntry
from volume_bootstrap.sources.wanted import DRAFTS
from worker.model_store import ModelStore


@pytest.fixture
def empty(tmp_path: Path) -> Volume:
    return Volume(tmp_path / "volume")


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    return copy_by_hand(tmp_path / "copied")


def bring(volume: Volume, folder: Path, *entries, **options):
    own = entries or (entry(),)
    return import_model(volume, project(*own, **options), own[0], folder)


def test_the_worker_finds_what_was_copied_and_nothing_else_is_taken(empty, copied):
    (copied / "notes.txt").write_text("mine")
    before = snapshot(copied)
    record, changed = bring(empty, copied)
    assert changed
    assert record.source == f"import {copied}"
    assert snapshot(copied) == before
    folder = ModelStore(empty, "tiny").verified(record)
    found = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    assert found == {*CONTENTS, ".record.json", ".msc"}
    assert all((folder / path).read_bytes() == content for path, content in CONTENTS.items())
    assert (empty.models / "hub/org/one").resolve() == folder
    # A link of the same file would change with what is somebody's own.
    assert all((folder / path).stat().st_nlink == 1 for path in CONTENTS)


def test_a_second_time_there_is_nothing_to_do(empty, copied):
    record, _ = bring(empty, copied)
    before = snapshot(empty.root)
    assert bring(empty, copied) == (record, False)
    assert snapshot(empty.root) == before


def test_without_hashes_in_models_yaml_other_contents_are_another_version(empty, copied):
    unpinned = entry(files=[FileEntry(path=path) for path in CONTENTS])
    first, _ = bring(empty, copied, unpinned)
    (copied / "config.yaml").write_bytes(b"a: 2")
    second, changed = bring(empty, copied, unpinned)
    assert changed
    assert second.folder != first.folder
    assert (empty.models / first.folder / "config.yaml").read_bytes() == b"a: 1"
    assert (empty.models / "hub/org/one/config.yaml").read_bytes() == b"a: 2"


def test_without_files_in_models_yaml_all_is_taken_but_what_is_hidden(empty, copied):
    (copied / ".git").mkdir()
    (copied / ".git" / "config").write_text("x")
    whole = entry(files=[], sources=[{"kind": "modelscope"}])
    record, _ = bring(empty, copied, whole)
    assert [file.path for file in record.files] == sorted(CONTENTS)
    (copied / "link").symlink_to("/etc")
    with pytest.raises(ModelError, match="link: link is a link; copy what it leads to"):
        bring(empty, copied, whole)


def test_all_that_is_wrong_is_named_at_once_with_what_is_expected(empty, copied):
    names = ("model.pt", "config.yaml", "sub/am.mvn", "empty", "pipe", "folder", "there/x")
    files = [FileEntry(path=path, sha256=sha256(CONTENTS.get(path, b"x"))) for path in names]
    (copied / "config.yaml").write_bytes(b"a: 3")
    (copied / "empty").unlink()
    (copied / "model.pt").rename(copied / "weights.pt")
    (copied / "model.pt").symlink_to("weights.pt")
    (copied / "folder").mkdir()
    (copied / "there").symlink_to("/etc")
    os.mkfifo(copied / "pipe")
    with pytest.raises(ModelError) as caught:
        bring(empty, copied, entry(files=files))
    first, *lines = str(caught.value).splitlines()
    assert first == f"{copied} does not hold model one (org/one); nothing was taken."
    expects = "it should have SHA-256"
    due = f"{expects} {sha256(b'x')}"
    is_link = "is a link; copy what it leads to (cp -rL);"
    assert lines == [
        f"  model.pt: model.pt {is_link} {expects} {sha256(WEIGHTS)}",
        f"  config.yaml: its SHA-256 is {sha256(b'a: 3')}; {expects} {sha256(b'a: 1')}",
        f"  empty: missing; {expects} {sha256(b'')}",
        f"  pipe: it is no file; {due}",
        f"  folder: Is a directory; {due}",
        f"  there/x: there {is_link} {due}",
        "  not asked for: weights.pt",
    ]
    assert not empty.root.exists()


@pytest.mark.parametrize("place", ["models/hub/org/.one/x", ".metadata/x", "python-deps/x"])
def test_what_the_volume_keeps_itself_is_refused(empty, place):
    with pytest.raises(ModelError, match="which the provisioner keeps itself"):
        bring(empty, copy_by_hand(empty.root / place))


def test_elsewhere_on_the_volume_is_as_good_as_anywhere(empty):
    record, _ = bring(empty, copy_by_hand(empty.root / "incoming"))
    assert ModelStore(empty, "tiny").verified(record)


@pytest.mark.parametrize("name", ["nothing", "file"])
def test_what_is_no_folder_is_said(empty, tmp_path, name):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ModelError, match=f"{name} is no folder"):
        bring(empty, tmp_path / name)


def test_other_models_and_defaults_of_the_manifest_stay(empty, tmp_path):
    two = {"asr": {"models": {"asr": "two"}}}
    take(empty, tmp_path / "a", defaults=two)
    manifest = take(empty, tmp_path / "b", {"model.pt": b"other"}, alias="three")
    assert [record.alias for record in manifest.models] == ["one", "three"]
    assert manifest.defaults == two
    # Workers load the default models at their start: these must be there first.
    newer = {"asr": {"models": {"asr": "four"}}}
    manifest = take(empty, tmp_path / "c", {"model.pt": b"new"}, alias="three", defaults=newer)
    assert [record.alias for record in manifest.models] == ["one", "three"]
    assert manifest.defaults == two
    newer = {"asr": {"models": {"asr": "three"}}}
    manifest = take(empty, tmp_path / "d", {"model.pt": b"new"}, alias="three", defaults=newer)
    assert manifest.defaults == newer


def test_a_manifest_that_is_damaged_is_not_forgotten(empty, copied):
    bring(empty, copied)
    for path in (empty.manifest("tiny"), empty.manifest_copy("tiny")):
        path.write_text("{")
    with pytest.raises(ModelError, match=r"would be forgotten\. Mend it first: python -m"):
        bring(empty, copied)
    assert empty.manifest("tiny").read_text() == "{"


def test_a_full_volume_is_said_and_serves_what_it_served(empty, copied, tmp_path):
    first, _ = bring(empty, copied)
    newer = {**CONTENTS, "config.yaml": b"a: 2"}
    drafts = partial_folder(empty, entry(newer), force=False) / DRAFTS
    drafts.mkdir(parents=True)
    (drafts / "model.pt").symlink_to("/dev/full")
    folder = copy_by_hand(tmp_path / "newer", newer)
    with pytest.raises(ModelError, match="There is no room left"):
        bring(empty, folder, entry(newer))
    assert manifest_of(empty, "tiny").models == (first,)
    (drafts / "model.pt").unlink()
    bring(empty, folder, entry(newer))


KILLED = """
import sys
from pathlib import Path
from tests.copied_models import CONTENTS, entry, project
from volume_bootstrap.layout import Volume
from volume_bootstrap.models.importing import import_model
own = entry({**CONTENTS, "large.bin": Path(sys.argv[2], "large.bin").read_bytes()})
import_model(Volume(Path(sys.argv[1])), project(own), own, Path(sys.argv[2]))
"""


def test_a_killed_import_is_gone_on_with(empty, copied):
    large = os.urandom(80_000_000)
    (copied / "large.bin").write_bytes(large)
    own = entry({**CONTENTS, "large.bin": large})
    partial = partial_folder(empty, own, force=False)
    draft = partial / DRAFTS / "large.bin"
    with subprocess.Popen([sys.executable, "-c", KILLED, str(empty.root), str(copied)]) as process:
        while not draft.exists():
            assert process.poll() is None
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert process.returncode == -signal.SIGKILL
    assert not empty.manifest("tiny").exists()
    there = (partial / "model.pt").stat().st_ino
    record, _ = bring(empty, copied, own)
    folder = ModelStore(empty, "tiny").verified(record)
    assert (folder / "model.pt").stat().st_ino == there
    assert (folder / "large.bin").read_bytes() == large
    assert not partial.exists()


def test_an_export_comes_back_without_files_in_models_yaml(empty, copied, tmp_path):
    record, _ = bring(empty, copied)
    exporting.to_folder(empty, record, tmp_path / "out")
    whole = entry(files=[], sources=[{"kind": "modelscope"}])
    again, _ = bring(Volume(tmp_path / "other"), tmp_path / "out" / "one", whole)
    assert again.folder == record.folder
    (tmp_path / "out/one/config.yaml").write_bytes(b"a: 3")
    with pytest.raises(ModelError, match=r"config\.yaml: its SHA-256 is"):
        bring(empty, tmp_path / "out" / "one", whole)
    (tmp_path / "out/one/config.yaml").unlink()
    with pytest.raises(ModelError, match=r"lacks config\.yaml, which its \.record\.json names"):
        bring(empty, tmp_path / "out" / "one", whole)


@pytest.mark.parametrize("change", [{"id": "org/other"}, {"revision": "v2"}])
def test_an_export_of_another_model_is_refused(empty, copied, tmp_path, change):
    record, _ = bring(empty, copied)
    exporting.to_folder(empty, record, tmp_path / "out")
    other = entry(**change)
    with pytest.raises(ModelError, match=r"holds org/one, as its \.record\.json tells"):
        bring(empty, tmp_path / "out" / "one", other)
    assert manifest_of(empty, "tiny").models == (record,)


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """The demo's VAD as `models export` leaves it."""
    record = manifest_of(VOLUME, "demo").model("fsmn-vad")
    assert exporting.to_folder(VOLUME, record, tmp_path / "out")
    return tmp_path / "out" / "fsmn-vad"


def bring_vad(volume: Volume, folder: Path):
    demo = read_project("demo", volume.python)
    vad = next(model for model in demo.models if model.alias == "fsmn-vad")
    return import_model(volume, demo, vad, folder)


def test_an_export_comes_back_with_its_onnx_file_and_needs_no_packages(empty, exported):
    original = manifest_of(VOLUME, "demo").model("fsmn-vad")
    record, _ = bring_vad(empty, exported)
    assert {(f.path, f.sha256) for f in record.files} == {
        (f.path, f.sha256) for f in original.files
    }
    assert (record.folder, record.parity) == (original.folder, original.parity)
    assert ModelStore(empty, "demo").verified(record).name == "model.onnx"


@pytest.mark.parametrize("change", ["onnx", "recipe", "record", "gone"])
def test_an_onnx_file_of_something_else_is_made_anew(empty, exported, change):
    path = exported / ".record.json"
    if change == "onnx":
        (exported / "model.onnx").write_bytes(b"another network")
    elif change == "recipe":
        path.write_text(json.dumps({**json.loads(path.read_text()), "export": "0" * 64}))
    elif change == "record":
        path.write_text("{")
    else:
        path.unlink()
    # The export needs the project's packages: without them nothing is copied.
    with pytest.raises(DependencyError, match="has no packages for Python"):
        bring_vad(empty, exported)
    assert not empty.root.exists()
