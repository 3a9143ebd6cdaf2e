"""One model by its id, from hubs on loopback that behave well and badly."""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.namespaces import read_only, small_disk
from tests.hub_server import HubServer
from tests.wheels import Checkout, make_checkout, make_wheel
from volume_bootstrap import maintenance
from volume_bootstrap.errors import ModelError
from volume_bootstrap.layout import Volume
from volume_bootstrap.models import download, versions
from volume_bootstrap.models.download import Wish
from volume_bootstrap.packages.uv_tool import find_uv
from volume_bootstrap.sources import transfer
from volume_bootstrap.sources.wanted import RECORD

CONTENTS = {
    "configuration.json": b'{"task": "asr"}',
    "model.pt": random.Random(1).randbytes(3_000_000),
    "sub/am.mvn": b"<Nnet>",
}
MODEL = "org/name_1.5"
SOURCES = pytest.mark.parametrize("source", ["modelscope", "huggingface"])
FIND = """
import sys
sys.path.insert(0, sys.argv[1])
from modelscope_hub import HubApi
from modelscope.hub.snapshot_download import snapshot_download
print(snapshot_download(sys.argv[2], local_files_only=True))
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    folder = tmp_path_factory.mktemp("hub")
    for path, content in CONTENTS.items():
        file = folder / MODEL / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    with HubServer(folder) as started:
        yield started


@pytest.fixture
def hub(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> HubServer:
    server.reset()
    for variable in ("MODELSCOPE_API_TOKEN", "HF_TOKEN", "MODELSCOPE_CACHE", "SPEECH_VOLUME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(transfer, "BACKOFF_S", 0.001)
    monkeypatch.setenv("MODELSCOPE_ENDPOINT", server.url())
    monkeypatch.setenv("HF_ENDPOINT", server.url())
    return server


@pytest.fixture
def cache(tmp_path: Path) -> Volume:
    """A folder that is no volume."""
    return Volume(tmp_path / "cache", cache=tmp_path / "cache")


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "volume_bootstrap", "download", *words]


def run(*words: str, prefix: list[str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*(prefix or []), *command(*words)], capture_output=True, text=True, check=False
    )


def is_whole(folder: Path) -> bool:
    return all((folder / path).read_bytes() == content for path, content in CONTENTS.items())


def fetched(hub: HubServer) -> list[str]:
    """Addresses of files that were asked for; not of lists."""
    return [r["url"] for r in hub.log() if "FilePath=" in r["url"] or "/resolve/" in r["url"]]


@SOURCES
def test_a_model_comes_whole_and_a_second_time_nothing_is_asked(hub, cache, source):
    wish = Wish(MODEL, None, source)
    record, changed = download.download(cache, wish, force=False)
    assert changed
    folder = cache.models / "hub" / MODEL
    assert is_whole(folder)
    assert folder.samefile(cache.models / record.folder)
    assert {file.path: file.sha256 for file in record.files} == {
        path: hashlib.sha256(content).hexdigest() for path, content in CONTENTS.items()
    }
    hub.reset()
    assert download.download(cache, wish, force=False) == (record, False)
    assert hub.log() == []


def test_the_command_says_where_it_lies_and_a_real_modelscope_finds_it(hub, tmp_path):
    cache = tmp_path / "cache"
    done = run(MODEL, "--cache-dir", str(cache), "--revision", "v1.0.0", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["folder"] == str(cache / "hub" / MODEL)
    assert (told["changed"], told["revision"]) == (True, "v1.0.0")
    release = tmp_path / "release"
    pins = ("modelscope==1.40.2", "modelscope-hub==0.5.1", "filelock==4.2.11")
    find_uv()("install", *pins, "--target", str(release), "--no-deps")
    found = subprocess.run(
        [sys.executable, "-I", "-c", FIND, str(release), MODEL],
        env={
            **os.environ,
            "HOME": str(tmp_path),
            "MODELSCOPE_CACHE": str(cache),
            "MODELSCOPE_ENDPOINT": "http://127.0.0.1:9",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    assert is_whole(Path(found.stdout.splitlines()[-1]))


def test_a_project_takes_it_from_there_and_clean_leaves_it(hub, tmp_path, monkeypatch):
    checkout: Checkout = make_checkout(tmp_path / "checkout")
    make_wheel(checkout.wheels, "greeting", "1.0")
    entry = {
        "alias": "name", "id": MODEL, "revision": "v1.0.0", "task": "asr", "engine": "funasr",
        "licence": "MIT", "sources": [{"kind": "modelscope"}],
    }  # fmt: skip
    checkout.describe(["greeting==1.0"], ["greeting"], [entry])
    volume = Volume(checkout.volume)
    record, _ = download.download(volume, Wish(MODEL, "v1.0.0", "modelscope"), force=False)
    cleaned = checkout.run("clean", "--volume", str(checkout.volume))
    assert cleaned.returncode == 0, cleaned.stderr
    assert is_whole(volume.models / record.folder)
    hub.reset()
    done = checkout.setup()
    assert done.returncode == 0, done.stderr
    (served,) = json.loads(volume.manifest("tiny").read_text())["models"]
    assert (served["folder"], served["task"]) == (record.folder, "asr")
    assert hub.log() == []


def test_another_revision_takes_its_place_and_clean_the_older_one(hub, cache):
    older, _ = download.download(cache, Wish(MODEL, "v1.0.0", "modelscope"), force=False)
    path = hub.folder / MODEL / "sub" / "am.mvn"
    path.write_bytes(b"<Nnet> 2")
    try:
        newer, changed = download.download(cache, Wish(MODEL, None, "modelscope"), force=False)
    finally:
        path.write_bytes(CONTENTS["sub/am.mvn"])
    assert changed
    assert len([url for url in fetched(hub) if "model.pt" in url]) == 1  # the same file: linked
    assert (cache.models / "hub" / MODEL / "sub" / "am.mvn").read_bytes() == b"<Nnet> 2"
    kept = download.fetched_alone(cache)
    assert kept == [newer.folder]
    assert cache.models / older.folder in versions.unused(cache, kept)
    assert cache.models / newer.folder not in versions.unused(cache, kept)


def test_clean_leaves_one_whose_record_is_damaged(hub, cache):
    """It costs a look at the files, as long as they are there."""
    record, _ = download.download(cache, Wish(MODEL, None, "modelscope"), force=False)
    (cache.models / record.folder / RECORD).write_text("{")
    assert maintenance.removable(cache, 2) == []


def test_what_was_damaged_since_comes_again(hub, cache):
    wish = Wish(MODEL, None, "modelscope")
    record, _ = download.download(cache, wish, force=False)
    (cache.models / record.folder / "model.pt").write_bytes(b"damaged")
    hub.reset()
    download.download(cache, wish, force=False)
    assert is_whole(cache.models / "hub" / MODEL)
    assert [url for url in fetched(hub) if "model.pt" not in url] == []


@SOURCES
@pytest.mark.parametrize(
    ("fault", "times"), [("wrong", 1), ("break", 3), ("429", 2), ("500", 2), ("429", 1_000_000)]
)
def test_a_hub_that_misbehaves(hub, cache, source, fault, times):
    details = {"bytes": 1_000_000} if fault == "break" else {}
    if fault.isdigit():
        details = {"status": int(fault)}
    what = "status" if fault.isdigit() else fault
    part = "FilePath=model.pt" if source == "modelscope" else "/resolve/main/model.pt"
    hub.fault(part, what, times=times, **details)
    wish = Wish(MODEL, None, source)
    if fault == "wrong" or times > 3:
        expected = "has SHA-256" if fault == "wrong" else "429"
        with pytest.raises(ModelError, match=rf"(?s)No source gave model name-1\.5 .*{expected}"):
            download.download(cache, wish, force=False)
        assert not (cache.models / "hub" / MODEL).exists()
        hub.reset()
    download.download(cache, wish, force=False)
    assert is_whole(cache.models / "hub" / MODEL)


@SOURCES
@pytest.mark.parametrize("wish", [("org/none", None), (MODEL, "v9")])
def test_a_model_or_revision_that_is_not_there(hub, cache, source, wish):
    with pytest.raises(ModelError, match=r"has no such model, or no revision \w+ of it"):
        download.download(cache, Wish(*wish, source), force=False)


def test_a_kill_in_the_middle_is_gone_on_with(hub, cache):
    hub.fault("model.pt", "slow", bytes=20_000)
    words = command(MODEL, "--cache-dir", str(cache.root))
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
        drafts: list[Path] = []
        while not any(draft.stat().st_size > 200_000 for draft in drafts):
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)
            drafts = list(cache.root.rglob(".incomplete/model.pt"))
        process.send_signal(signal.SIGKILL)
    assert not (cache.models / "hub" / MODEL).exists()
    there = drafts[0].stat().st_size
    hub.reset()
    done = run(MODEL, "--cache-dir", str(cache.root))
    assert done.returncode == 0, done.stderr
    assert is_whole(cache.models / "hub" / MODEL)
    assert [r["range"] for r in hub.log("FilePath=model.pt")] == [f"bytes={there}-"]


def test_ctrl_c_ends_it_at_once_and_what_came_stays(hub, cache):
    """Whoever downloads is not waited for: the hub has gone silent."""
    hub.fault("model.pt", "stall", bytes=500_000)
    words = command(MODEL, "--cache-dir", str(cache.root))
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
        while not hub.log("FilePath=model.pt"):
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, log = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "run the same again to go on" in log
    assert list((cache.root / ".metadata").iterdir()) == []


def test_no_room_and_a_folder_that_is_read_only(hub, cache):
    cache.root.mkdir()
    words = (MODEL, "--cache-dir", str(cache.root))
    with small_disk(cache.root, 1) as prefix:
        full = run(*words, prefix=prefix)
    assert full.returncode == 1
    assert f"error: There is no room left for {MODEL} on {cache.root}" in full.stderr
    with read_only(cache.root) as prefix:
        refused = run(*words, prefix=prefix)
    assert refused.returncode == 1
    assert f"error: {cache.root} cannot be written to: Read-only file system" in refused.stderr


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("name",), "'name' is no model's id on a hub"),
        (("../../etc/passwd",), "is no model's id on a hub"),
        (("org/../name",), "is no model's id on a hub"),
        ((MODEL, "--source", "s3"), "--source is 's3'; allowed: modelscope, huggingface."),
        ((MODEL, "--revision", ""), "--revision is empty"),
        ((MODEL, "--cache-dir", ""), "--cache-dir is empty"),
        ((MODEL, "--volume", ""), "--volume is empty"),
        ((MODEL,), "No folder: give --cache-dir or --volume"),
        ((MODEL, "--cache-dir", "/dev/null"), "/dev/null is not a folder"),
        ((MODEL, "--cache-dir", "/dev/null/x"), "/dev/null/x cannot be written to"),
        ((MODEL, "--cache-dir", "/tmp", "--volume", "/tmp"), "not both"),
    ],
)
def test_what_cannot_be_is_said(hub, words, expected, capsys, monkeypatch, own_logging):
    """In this process: each costs a start of Python otherwise."""
    from volume_bootstrap.cli import app

    monkeypatch.setattr("volume_bootstrap.cli.download.MOUNTS", ())
    monkeypatch.setattr(sys, "argv", ["volume_bootstrap", "download", *words])
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit) as ended:
            app.main()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert ended.value.code == 1
    assert expected in " ".join(capsys.readouterr().err.split())
    assert hub.log() == []


def test_which_folder_it_is(hub, tmp_path, monkeypatch, own_logging):
    """A folder on a volume is written under the volume's lock."""
    from volume_bootstrap.cli.download import _target

    def target(volume: str | None = None, cache_dir: str | None = None) -> Volume:
        return _target(volume, cache_dir, verbose=False, quiet=False)

    monkeypatch.setattr("volume_bootstrap.cli.download.MOUNTS", ())
    root = tmp_path / "volume"
    (root / ".metadata").mkdir(parents=True)  # as of a first `setup` that is at work
    assert target(cache_dir=str(root / "models")) == Volume(root, cache=root / "models")
    (root / "models" / ".metadata").mkdir(parents=True)  # of a run before there was a volume
    assert target(cache_dir=str(root / "models")) == Volume(root, cache=root / "models")
    alone = tmp_path / "alone"
    assert target(cache_dir=str(alone)) == Volume(alone, cache=alone)
    assert target(volume=str(root)) == Volume(root)
    monkeypatch.setenv("MODELSCOPE_CACHE", str(alone))
    assert target() == Volume(alone, cache=alone)
    assert target(volume=str(root)) == Volume(root, cache=alone)
    monkeypatch.setenv("SPEECH_VOLUME", str(root))
    assert target() == Volume(root, cache=alone)
