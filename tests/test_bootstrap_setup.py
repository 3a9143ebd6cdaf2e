"""The command as users run it, from a checkout with a project of tiny wheels."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.wheels import ROOT, Checkout, make_checkout, make_wheel, snapshot
from volume_bootstrap.cli import options
from volume_bootstrap.cli.options import _find_volume
from volume_bootstrap.errors import ProvisionError
from volume_bootstrap.packages.dependencies import plan
from volume_bootstrap.project import read_project
from volume_bootstrap.setup import set_up


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return make_checkout(tmp_path / "checkout")


def test_a_volume_is_filled_once(checkout):
    first = checkout.setup()
    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith(f"tiny on {checkout.volume}: set up in ")
    assert "  packages  1 packages in generation " in first.stdout
    assert "tiny: resolving" in first.stderr
    assert (checkout.volume / "samples" / "sample.wav").read_bytes() == b"RIFF"
    (manifest,) = (checkout.volume / ".metadata").glob("*.json")
    assert json.loads(manifest.read_text())["project"] == "tiny"

    before = snapshot(checkout.volume)
    second = checkout.setup(UV_FIND_LINKS="/nowhere")  # every uv fails on it
    assert second.returncode == 0, second.stderr
    assert second.stdout.startswith(f"tiny on {checkout.volume}: nothing to do\n")
    assert second.stderr == ""
    assert snapshot(checkout.volume) == before


def test_quiet_tells_only_errors(checkout):
    done = checkout.setup("--volume", str(checkout.volume), "--quiet")
    assert (done.returncode, done.stderr) == (0, "")


def test_an_odd_place_and_a_bare_environment_do(tmp_path):
    checkout = make_checkout(tmp_path / "a b:c,d'é")
    # pip itself takes a list of links apart at blanks.
    links = tmp_path / "links"
    checkout.wheels.rename(links)
    done = subprocess.run(
        checkout.command("--volume", "my volume: 1"),
        cwd=checkout.root,
        env={
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_INDEX_URL": links.as_uri(),
            "PIP_FIND_LINKS": str(links),
            "UV_OFFLINE": "1",
            "LC_ALL": "C",
        },
        umask=0o077,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert (checkout.root / "my volume: 1" / ".metadata").is_dir()


def test_the_demo_volume_is_up_to_date(own_volume):
    before = snapshot(own_volume.root)
    done = subprocess.run(
        [sys.executable, "-m", "volume_bootstrap", "setup", "--project", "demo"],
        cwd=ROOT,
        env={**os.environ, "SPEECH_VOLUME": str(own_volume.root)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"demo on {own_volume.root}: nothing to do\n")
    assert "model     fsmn-vad  iic/speech_fsmn_vad_zh-cn-16k-common-pytorch" in done.stdout
    assert snapshot(own_volume.root) == before


def test_a_damaged_sample_is_mended(own_volume):
    path = own_volume.root / "samples" / "sample.wav"
    content = path.read_bytes()
    path.write_bytes(content[:100])
    planned = plan(own_volume, read_project("demo", own_volume.python))
    assert set_up(own_volume, planned, force=False).changed
    assert path.read_bytes() == content
    assert not set_up(own_volume, planned, force=False).changed


def test_a_changed_default_rewrites_the_manifest_only(checkout):
    checkout.setup()
    (manifest,) = (checkout.volume / ".metadata").glob("*.json")
    target = checkout.pointer.readlink()
    described = checkout.root / "projects" / "tiny" / "project.yaml"
    described.write_text(
        described.read_text().replace("defaults: {}", "defaults: {diarization: {window_s: 2.0}}")
    )
    assert checkout.setup().stdout.startswith(f"tiny on {checkout.volume}: set up in")
    assert json.loads(manifest.read_text())["defaults"] == {"diarization": {"window_s": 2.0}}
    assert checkout.pointer.readlink() == target


@pytest.mark.parametrize("damage", [b"", b'{"format": 1', b"\xff\xfe\x00"])
def test_a_damaged_manifest_is_written_anew(checkout, damage):
    checkout.setup()
    (manifest,) = (checkout.volume / ".metadata").glob("*.json")
    content = manifest.read_text()
    manifest.write_bytes(damage)
    done = checkout.setup()
    assert done.returncode == 0, done.stderr
    assert "cannot be read" in done.stderr
    assert manifest.read_text() == content


def test_a_volume_of_0_2_0_keeps_its_packages_and_weights(checkout):
    """Its manifest and its models' records are of format 2, without `engine`."""
    weights = checkout.root / "weights" / "model.pt"
    weights.parent.mkdir()
    weights.write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    source = {"kind": "bundled", "path": "weights"}
    model = {"alias": "text", "id": "org/name", "task": "asr", "engine": "funasr", "licence": "MIT"}
    entry = {**model, "files": [{"path": "model.pt", "sha256": digest}], "sources": [source]}
    checkout.describe(["greeting==1.0"], ["greeting"], [entry])
    assert checkout.setup().returncode == 0
    generation = (checkout.pointer / "generation.json").read_bytes()
    assert json.loads(generation)["format"] == 2
    (served,) = (checkout.volume / "models" / "hub" / "org" / ".name").iterdir()
    manifests = sorted((checkout.volume / ".metadata").rglob("*.json"))
    assert len(manifests) == 2
    told = {path: path.read_text() for path in (*manifests, served / ".record.json")}
    for path, text in told.items():
        record = {**json.loads(text), "format": 2}
        for each in record.get("models", [record]):
            del each["engine"]
        path.write_text(json.dumps(record, indent=2) + "\n")
    before = checkout.pointer.readlink(), (served / "model.pt").stat()
    weights.unlink()  # whoever fetches fails

    done = checkout.setup(UV_FIND_LINKS="/nowhere")  # every uv fails on it
    assert done.returncode == 0, done.stderr
    assert (checkout.pointer / "generation.json").read_bytes() == generation
    assert checkout.pointer.readlink() == before[0]
    assert len(list((checkout.pointer.parent / ".generations").iterdir())) == 1
    assert [*served.parent.iterdir()] == [served]
    assert (served / "model.pt").stat().st_size == before[1].st_size
    for path, text in told.items():
        now = json.loads(path.read_text())
        for each in now.get("models", [now]):
            assert (each["source"], each["engine"]) == ("adopted from the volume", "funasr")
        assert now["format"] == json.loads(text)["format"] == 3
    assert checkout.setup(UV_FIND_LINKS="/nowhere").stdout.splitlines()[0].endswith("nothing to do")


MODEL = {
    "alias": "vad",
    "id": "org/name",
    "task": "vad",
    "licence": "MIT",
    "export": "fsmn_vad",
    "files": [{"path": "model.pt"}],
    "sources": [{"kind": "bundled", "path": "nothing"}],
}


def test_an_error_is_a_sentence_and_exit_code_1(checkout):
    checkout.describe(["greeting==1.0"], ["greeting"], [MODEL])
    done = checkout.setup()
    assert (done.returncode, done.stdout) == (1, "")
    assert "error: No source gave model vad (org/name)" in done.stderr
    assert "bundled nothing: " in done.stderr
    assert "Traceback" not in done.stderr
    assert list((checkout.volume / ".metadata").iterdir()) == []
    assert not (checkout.volume / "models" / "hub" / "org" / "name").exists()


def test_packages_wait_for_the_models(checkout):
    checkout.setup()
    before = checkout.pointer.readlink()
    make_wheel(checkout.wheels, "greeting", "2.0")
    checkout.describe(["greeting==2.0"], ["greeting"], [MODEL])
    assert checkout.setup().returncode == 1
    assert checkout.pointer.readlink() == before
    checkout.describe(["greeting==2.0"], ["greeting"])
    assert checkout.setup().returncode == 0
    # What was built the first time serves now.
    assert len(list((checkout.pointer.parent / ".generations").iterdir())) == 2
    assert "2.0" in (checkout.pointer / "greeting" / "__init__.py").read_text()


def test_a_missing_sample_is_named(checkout):
    (checkout.root / "sample.wav").unlink()
    done = checkout.setup()
    assert done.returncode == 1
    assert f"the sample {checkout.root / 'sample.wav'} is no file" in done.stderr
    assert not checkout.volume.exists()
    assert "Traceback" not in done.stderr


def test_a_file_in_place_of_the_volume_is_refused(checkout):
    checkout.volume.write_text("")
    done = checkout.setup()
    assert (done.returncode, done.stdout) == (1, "")
    assert f"error: {checkout.volume} is not a folder" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", [".cache", "python-deps", ".metadata", "samples"])
def test_a_file_in_place_of_a_folder_is_named(checkout, name):
    checkout.volume.mkdir()
    (checkout.volume / name).write_text("")
    done = checkout.setup()
    assert (done.returncode, done.stdout) == (1, "")
    assert str(checkout.volume / name) in done.stderr
    assert "Traceback" not in done.stderr


def test_a_defect_is_exit_code_2(checkout):
    (checkout.root / "requirements.lock").write_bytes(b"\xff")
    done = checkout.setup()
    assert (done.returncode, done.stdout) == (2, "")
    assert "error: unexpected UnicodeDecodeError" in done.stderr
    assert "Please report it." in done.stderr


def test_every_project_is_read_before_anything_is_done(checkout):
    done = checkout.setup("--project", "huge", "--volume", str(checkout.volume))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: 'huge' is not a project; projects/ holds: tiny.\n"
    assert not checkout.volume.exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["setup"], "Missing option '--project'"),
        (["setup", "--project", "demo", "--no-such-option"], "No such option"),
        (["no-such-command"], "No such command"),
    ],
)
def test_a_wrong_command_line_is_told_on_stderr(arguments, words):
    done = subprocess.run(
        [sys.executable, "-m", "volume_bootstrap", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert f"error: {words}" in done.stderr


def test_where_the_volume_is(tmp_path, monkeypatch):
    absent, present = tmp_path / "absent", tmp_path / "present"
    present.mkdir()
    monkeypatch.setattr(options, "MOUNTS", (absent, present))
    monkeypatch.delenv("SPEECH_VOLUME", raising=False)
    assert _find_volume(None) == present
    monkeypatch.setenv("SPEECH_VOLUME", "")
    assert _find_volume(None) == present
    monkeypatch.setenv("SPEECH_VOLUME", str(tmp_path / "named"))
    assert _find_volume(None) == tmp_path / "named"
    assert _find_volume(tmp_path / "given") == tmp_path / "given"
    monkeypatch.chdir(tmp_path)
    assert _find_volume(Path("given")) == tmp_path / "given"


def test_no_volume_says_what_to_give(tmp_path, monkeypatch):
    monkeypatch.setattr(options, "MOUNTS", (tmp_path / "absent",))
    monkeypatch.delenv("SPEECH_VOLUME", raising=False)
    with pytest.raises(ProvisionError, match="give --volume or set SPEECH_VOLUME"):
        _find_volume(None)
