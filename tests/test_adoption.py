"""What a volume holds in older layouts is verified and linked, not downloaded again."""

import hashlib
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub_server import COMMIT, HubServer
from volume_bootstrap.errors import ModelError
from volume_bootstrap.layout import ModelRecord, Volume
from volume_bootstrap.models import provisioning, versions
from volume_bootstrap.project_files import (
    FileEntry,
    HttpsSource,
    HuggingFaceSource,
    ModelEntry,
    ModelScopeSource,
)
from volume_bootstrap.sources import transfer

CONTENTS = {"model.pt": bytes(range(256)) * 100, "config.yaml": b"a: 1"}
LAYOUTS = [
    "models/hub/org/name.1",
    "models/models/org/name___1",
    "models/models/org--name.1/snapshots/master",
    "models/hub/models/org/name___1",
    "models/hub/models/org/name.1",
    f"huggingface-cache/hub/models--org--name.1/snapshots/{COMMIT}",
    f"home/hub/models--org--name.1/snapshots/{COMMIT}",
    f"faces/models--org--name.1/snapshots/{COMMIT}",
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    folder = tmp_path_factory.mktemp("hub")
    (folder / "org" / "name.1").mkdir(parents=True)
    for path, content in CONTENTS.items():
        (folder / "org" / "name.1" / path).write_bytes(content)
    with HubServer(folder) as started:
        yield started


@pytest.fixture
def hub(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> HubServer:
    server.reset()
    monkeypatch.setattr(transfer, "BACKOFF_S", 0.001)
    monkeypatch.setenv("MODELSCOPE_ENDPOINT", server.url())
    monkeypatch.setenv("HF_ENDPOINT", server.url())
    return server


@pytest.fixture
def volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Volume:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "volume" / "home"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "by-another-name" / "faces"))
    (tmp_path / "by-another-name").symlink_to("volume")
    return Volume(tmp_path / "volume")


def fill(volume: Volume, layout: str, contents: dict[str, bytes] = CONTENTS) -> Path:
    folder = volume.root / layout
    folder.mkdir(parents=True)
    for path, content in contents.items():
        (folder / path).write_bytes(content)
    return folder


def entry(*sources: object, is_pinned: bool = True, is_listed: bool = True) -> ModelEntry:
    digests = {path: hashlib.sha256(content).hexdigest() for path, content in CONTENTS.items()}
    files = [FileEntry(path=p, sha256=d if is_pinned else None) for p, d in digests.items()]
    return ModelEntry(
        alias="asr",
        id="org/name.1",
        task="asr",
        engine="funasr",
        licence="MIT",
        files=files if is_listed else [],
        sources=list(sources) or [ModelScopeSource(kind="modelscope")],
    )


def provision(volume: Volume, wanted: ModelEntry) -> ModelRecord:
    (record,), changed = provisioning.provision(volume, [wanted], [], volume.root / "generation")
    assert changed
    assert versions.verify(volume, [record], quick=False) == []
    return record


def downloads(hub: HubServer) -> list[str]:
    found = [request["url"] for request in [*hub.log("FilePath="), *hub.log("/resolve/")]]
    return [url.rpartition("=" if "=" in url else "/")[2] for url in found]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_found_and_linked(hub, volume, layout):
    folder = fill(volume, layout)
    (planned,) = provisioning.plan(volume, [entry()], [])
    assert (planned.action, planned.size_bytes) == ("adopt", 25_604)
    record = provision(volume, entry())
    assert record.source == "adopted from the volume"
    assert hub.log() == []
    for path in CONTENTS:  # the originals stay, and nothing lies there twice
        adopted = volume.models / record.folder / path
        assert adopted.stat().st_ino == (folder / path).stat().st_ino


@pytest.mark.parametrize("is_listed", [True, False])
@pytest.mark.parametrize(
    "source",
    [ModelScopeSource(kind="modelscope"), HuggingFaceSource(kind="huggingface")],
    ids=lambda source: source.kind,
)
def test_without_a_digest_in_models_yaml_the_hub_s_list_decides(hub, volume, source, is_listed):
    fill(volume, LAYOUTS[0])
    provision(volume, entry(source, is_pinned=False, is_listed=is_listed))
    assert downloads(hub) == []
    assert hub.log()


@pytest.mark.parametrize("is_pinned", [True, False])
def test_a_file_that_is_wrong_is_fetched_and_the_others_are_not(hub, volume, is_pinned):
    folder = fill(volume, LAYOUTS[1], {**CONTENTS, "config.yaml": b"b: 1"})
    provision(volume, entry(is_pinned=is_pinned))
    assert downloads(hub) == ["config.yaml"]
    assert (folder / "config.yaml").read_bytes() == b"b: 1"


def test_files_may_lie_in_several_places(hub, volume):
    fill(volume, LAYOUTS[2], {"model.pt": CONTENTS["model.pt"]})
    fill(volume, LAYOUTS[3], {"config.yaml": CONTENTS["config.yaml"]})
    provision(volume, entry())
    assert downloads(hub) == []


def test_links_of_a_hub_s_cache_are_followed(hub, volume):
    folder = fill(volume, LAYOUTS[5])
    blob = volume.root / "huggingface-cache" / "hub" / "blob"
    (folder / "model.pt").rename(blob)
    (folder / "model.pt").symlink_to(blob)
    record = provision(volume, entry())
    assert not (volume.models / record.folder / "model.pt").is_symlink()
    assert downloads(hub) == []


def test_what_nobody_can_verify_is_not_taken_over_and_it_is_said(hub, volume, caplog):
    caplog.set_level(logging.INFO)
    folder = fill(volume, LAYOUTS[0])
    plain = HttpsSource(kind="https", url=hub.url("/files/org/name.1"))
    provision(volume, entry(plain, is_pinned=False))
    assert len(hub.log("/files/")) == 2
    assert f"{folder / 'model.pt'} is not taken over: neither models.yaml" in caplog.text


def test_a_hub_that_is_down_leaves_them_where_they_are(volume, monkeypatch):
    monkeypatch.setenv("MODELSCOPE_ENDPOINT", "http://127.0.0.1:9")
    folder = fill(volume, LAYOUTS[0])
    with pytest.raises(ModelError, match="cannot be reached"):
        provisioning.provision(volume, [entry(is_pinned=False)], [], volume.root)
    assert sorted(path.name for path in folder.iterdir()) == sorted(CONTENTS)


def test_models_may_lie_elsewhere_than_on_the_volume(hub, tmp_path):
    """MODELSCOPE_CACHE is set."""
    apart = Volume(tmp_path / "volume", cache=tmp_path / "cache")
    fill(Volume(tmp_path), "cache/hub/org/name.1")
    record = provision(apart, entry())
    assert (tmp_path / "cache" / record.folder / "model.pt").is_file()
    assert hub.log() == []


def test_what_the_volume_held_before_they_did_is_taken_over(hub, tmp_path):
    apart = Volume(tmp_path / "volume", cache=tmp_path / "cache")
    fill(Volume(tmp_path / "volume"), LAYOUTS[0])
    provision(apart, entry())
    assert hub.log() == []


def test_what_cannot_be_read_is_not_taken_over(hub, volume, caplog):
    """A file system may fail; here it is memory that no process has."""
    folder = fill(volume, LAYOUTS[0])
    (folder / "model.pt").unlink()
    (folder / "model.pt").symlink_to("/proc/self/mem")
    provision(volume, entry())
    assert downloads(hub) == ["model.pt"]
    assert f"{folder / 'model.pt'} cannot be read: Input/output error" in caplog.text


def test_force_takes_nothing_over(hub, volume):
    fill(volume, LAYOUTS[0])
    provisioning.provision(volume, [entry()], [], volume.root, force=True)
    assert sorted(downloads(hub)) == sorted(CONTENTS)
