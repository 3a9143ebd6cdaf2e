"""Bundles as they are made: for which machines, of what, and what is told where that cannot be."""

import io
import json
import logging
import os
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.bundles import Tiny, applied, tiny
from tests.index_server import serve
from tests.wheels import make_wheel, snapshot
from volume_bootstrap import files
from volume_bootstrap.bundle.archive import opened
from volume_bootstrap.bundle.creating import create
from volume_bootstrap.bundle.wheels import Target
from volume_bootstrap.errors import BundleError, DependencyError, ModelError, ProjectError
from volume_bootstrap.layout import Volume, manifest_of, running_python

BACKEND = """
import zipfile
def build_wheel(folder, config_settings=None, metadata_directory=None):
    name = "sourced-1.0-{tag}.whl"
    with zipfile.ZipFile(folder + "/" + name, "w") as wheel:
        info = "sourced-1.0.dist-info"
        wheel.writestr("sourced/__init__.py", "version = '1.0'")
        head = "Metadata-Version: 2.1\\nName: sourced\\nVersion: 1.0\\n"
        wheel.writestr(info + "/METADATA", head)
        tag = "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: {tag}\\n"
        wheel.writestr(info + "/WHEEL", tag)
        lines = ["sourced/__init__.py,,", info + "/METADATA,,", info + "/WHEEL,,"]
        wheel.writestr(info + "/RECORD", "\\n".join([*lines, info + "/RECORD,,", ""]))
    return name
"""
"""Builds without any package of an index."""
PROJECT = """
[project]
name = "sourced"
version = "1.0"
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Tiny]:
    with tiny(tmp_path / "made") as found:
        yield found


def native(made: Tiny, tag: str) -> None:
    """Put a wheel of `native` 1.0 that is for one platform where packages come from."""
    content = make_wheel(made.checkout.wheels / "any", "native", "1.0").read_bytes()
    (made.checkout.wheels / f"native-1.0-{tag}.whl").write_bytes(content)


def source_archive(made: Tiny, tag: str) -> None:
    contents = {"pyproject.toml": PROJECT, "backend.py": BACKEND.format(tag=tag)}
    contents["PKG-INFO"] = "Metadata-Version: 2.1\nName: sourced\nVersion: 1.0\n"
    with tarfile.open(made.checkout.wheels / "sourced-1.0.tar.gz", "w:gz") as tar:
        for name, text in contents.items():
            info = tarfile.TarInfo(f"sourced-1.0/{name}")
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))


def test_another_python_and_platform_get_their_own_wheels(made, tmp_path):
    """The versions are those on the volume, also where others would be newer."""
    for tag in ("py3-none-any", "cp312-cp312-manylinux_2_28_aarch64"):
        native(made, tag)
    made.ask("greeting", "native==1.0")
    made.set_up()
    make_wheel(made.checkout.wheels, "greeting", "2.0")
    before = snapshot(made.checkout.volume)
    path = tmp_path / "foreign.tar"
    manifest = made.bundle(path, "3.12", "aarch64-manylinux_2_28")
    assert snapshot(made.checkout.volume) == before
    assert (manifest.python, manifest.platform) == ("3.12", "aarch64-manylinux_2_28")
    assert sorted(wheel.name for wheel in manifest.wheels) == [
        "greeting-1.0-py3-none-any.whl",
        "native-1.0-cp312-cp312-manylinux_2_28_aarch64.whl",
        "native-1.0-py3-none-any.whl",
    ]
    with pytest.raises(BundleError, match=r"it is for Python 3\.12, this is 3\.11"):
        applied(path, Volume(tmp_path / "volume"))


def test_wheels_of_another_platform_are_named(made, tmp_path):
    for tag in ("cp311-cp311-linux_x86_64", "cp311-cp311-manylinux_2_28_aarch64"):
        native(made, tag)
    made.ask("native==1.0", imports=("native",))
    made.set_up()
    made.bundle(tmp_path / "foreign.tar", platform="aarch64-manylinux_2_28")
    with pytest.raises(BundleError, match=r"do not run on this machine \(cp311-.*\): native-1.0-"):
        applied(tmp_path / "foreign.tar", Volume(tmp_path / "volume"))


def test_a_package_that_the_target_has_no_wheel_of_is_told(made, tmp_path):
    native(made, "cp311-cp311-linux_x86_64")
    made.ask("native==1.0", imports=("native",))
    made.set_up()
    with pytest.raises(DependencyError, match=r"do not resolve for Python 3\.11 on aarch64-"):
        made.bundle(tmp_path / "foreign.tar", platform="aarch64-manylinux_2_28")
    with pytest.raises(ProjectError, match=r"3\.10"):
        made.bundle(tmp_path / "foreign.tar", "3.10")
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_a_source_archive_becomes_a_wheel(made, tmp_path):
    source_archive(made, "py3-none-any")
    made.ask("sourced==1.0", imports=("sourced",))
    made.set_up()
    (wheel,) = made.bundle(tmp_path / "built.tar").wheels
    assert (wheel.package, wheel.name) == ("sourced", "sourced-1.0-py3-none-any.whl")
    volume = Volume(tmp_path / "volume")
    applied(tmp_path / "built.tar", volume)
    assert (volume.pointer("tiny") / "sourced").is_dir()


def test_the_password_of_a_mirror_is_not_told_when_a_wheel_is_built(made, tmp_path, caplog):
    source_archive(made, "py3-none-any")
    made.ask("sourced==1.0", imports=("sourced",))
    made.set_up()
    target = Target(running_python(), None, "http://user:very-secret@127.0.0.1:9/simple")
    with caplog.at_level(logging.DEBUG, "volume_bootstrap"):
        create(made.volume, made.project, target, tmp_path / "built.tar")
    assert " pip wheel " in caplog.text
    assert "very-secret" not in caplog.text


def test_what_is_built_for_this_machine_alone_is_refused(made, tmp_path):
    source_archive(made, "cp311-cp311-linux_x86_64")
    made.ask("sourced==1.0", imports=("sourced",))
    made.set_up()
    with pytest.raises(BundleError, match="built here, may not run there"):
        made.bundle(tmp_path / "built.tar")
    assert not (tmp_path / "built.tar").exists()


def test_a_project_that_is_not_on_the_volume_is_told(made, tmp_path):
    made.set_up()
    (record,) = manifest_of(made.volume, "tiny").models
    (made.volume.models / record.folder / "am.mvn").write_bytes(b"damaged")
    with pytest.raises(ModelError, match=r"\n  vad: .* is damaged\nBring them up to date with: "):
        made.bundle(tmp_path / "tiny.tar")
    made.volume.pointer("tiny").unlink()
    with pytest.raises(DependencyError, match="has no packages for Python"):
        made.bundle(tmp_path / "tiny.tar")


def test_a_project_that_asks_for_something_else_by_now_is_told(made, tmp_path):
    made.set_up()
    make_wheel(made.checkout.wheels, "partner", "1.0")
    made.ask("greeting==1.0", "partner==1.0")
    with pytest.raises(DependencyError, match="are not what it asks for now"):
        made.bundle(tmp_path / "tiny.tar")


def test_a_file_that_is_damaged_in_secret_is_found_as_it_is_packed(made, tmp_path):
    made.set_up()
    (record,) = manifest_of(made.volume, "tiny").models
    weights = made.volume.models / record.folder / "am.mvn"
    status = weights.stat()
    weights.write_bytes(bytes(status.st_size))
    os.utime(weights, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(BundleError, match=r"am\.mvn is damaged: it has \d+ bytes and SHA-256"):
        made.bundle(tmp_path / "tiny.tar")
    assert not (tmp_path / "tiny.tar").exists()


def packed_with(made: Tiny, path: Path, *samples: str) -> subprocess.CompletedProcess[str]:
    """Let the project have these samples, set it up, and pack it."""
    for sample in samples:
        source = made.checkout.root / sample
        source.parent.mkdir(parents=True, exist_ok=True)
        source.write_bytes(sample.encode())
    described = made.checkout.root / "projects" / "tiny" / "project.yaml"
    content = {**yaml.safe_load(described.read_bytes()), "samples": list(samples)}
    described.write_text(yaml.safe_dump(content))
    assert made.checkout.setup().returncode == 0
    place = ["--project", "tiny", "--volume", str(made.checkout.volume)]
    return made.checkout.run("bundle", "create", str(path), *place)


def test_samples_may_be_called_as_files_are(made, tmp_path):
    names = ["my call.wav", "会议录音.wav"]
    done = packed_with(made, tmp_path / "tiny.tar", *names)
    assert done.returncode == 0, done.stderr
    volume = Volume(tmp_path / "volume")
    applied(tmp_path / "tiny.tar", volume)
    assert sorted(path.name for path in (volume.root / "samples").iterdir()) == names


def test_two_samples_of_one_name_are_told_before_anything_is_fetched(made, tmp_path):
    done = packed_with(made, tmp_path / "tiny.tar", "one/call.wav", "two/call.wav")
    assert done.returncode == 1
    assert "error: Project tiny cannot be packed: " in done.stderr
    assert "call.wav is there twice" in done.stderr
    assert not list(tmp_path.glob("tiny.tar*"))


def test_two_at_once_do_not_write_the_same_bundle(made, tmp_path):
    made.set_up()
    path = tmp_path / "tiny.tar"
    with files.held(tmp_path / "tiny.tar.parts"), pytest.raises(BundleError) as caught:
        made.bundle(path)
    assert f"Another run makes {path}. Run this again" in str(caught.value)
    made.bundle(path)
    assert not list(tmp_path.glob("tiny.tar.*"))


def test_a_folder_is_no_place_for_a_bundle(made, tmp_path):
    with pytest.raises(BundleError, match="is a folder; name the file"):
        made.bundle(tmp_path)


def test_a_killed_create_goes_on_where_it_was(made, tmp_path):
    """What was fetched is not fetched again; an older bundle stays until the new one is whole."""
    served = tmp_path / "served"
    make_wheel(served, "greeting", "1.0", members={"greeting/data": os.urandom(3_000_000)})
    make_wheel(served, "partner", "1.0")
    made.ask("greeting==1.0", "partner==1.0")
    path = tmp_path / "tiny.tar"
    path.write_bytes(b"older")
    with serve(served) as index:
        variables = {"PIP_FIND_LINKS": "", "PIP_INDEX_URL": index.url, "UV_OFFLINE": "false"}
        assert made.checkout.setup(**variables).returncode == 0
        arguments = ["bundle", "create", str(path), "--project", "tiny"]
        arguments += ["--volume", str(made.checkout.volume)]
        index.misbehave(bytes_per_s=1_000_000)
        with subprocess.Popen(
            [sys.executable, "-m", "volume_bootstrap", *arguments],
            cwd=made.checkout.root,
            env=made.checkout.environment(**variables),
        ) as process:
            parts = tmp_path / "tiny.tar.parts"
            drafts = parts / ".incomplete"
            while not (
                list(parts.glob("partner-*"))
                and any(path.stat().st_size for path in drafts.glob("greeting-*"))
            ):
                assert process.poll() is None
                time.sleep(0.01)
            process.kill()
        assert path.read_bytes() == b"older"
        index.behave()
        asked = len(index.requests())
        done = made.checkout.run(*arguments, **variables)
        assert done.returncode == 0, done.stderr
        fetched = [line for line in index.requests()[asked:] if ".whl " in line]
    assert fetched == ["GET /files/greeting-1.0-py3-none-any.whl 206"]
    assert done.stdout.startswith(f"{path}: tiny, ")
    with opened(path) as bundle:
        assert bundle.damaged(bundle.manifest.contents()) == []
    assert not list(tmp_path.glob("tiny.tar.*"))


def test_a_private_index_is_asked_with_its_credentials_which_stay_here(made, tmp_path):
    served = tmp_path / "served"
    make_wheel(served, "greeting", "1.0")
    path = tmp_path / "tiny.tar"
    arguments = ["bundle", "create", str(path), "--project", "tiny", "--verbose"]
    arguments += ["--volume", str(made.checkout.volume)]
    with serve(served) as index:
        index.misbehave(credentials="someone:pass word")
        url = index.url.replace("://", "://someone:pass%20word@")
        variables = {"PIP_FIND_LINKS": "", "PIP_INDEX_URL": url, "UV_OFFLINE": "false"}
        assert made.checkout.setup(**variables).returncode == 0
        done = made.checkout.run(*arguments, **variables)
        assert done.returncode == 0, done.stderr
        assert "pass%20word" not in done.stderr + done.stdout
        assert b"pass%20word" not in path.read_bytes()
        # What uv knows of the index by now is asked for no more: the file is.
        index.misbehave(credentials="someone:else")
        refused = made.checkout.run(*arguments, **variables)
    assert refused.returncode == 1
    assert "answers 401 Unauthorized. Name the index with the credentials" in refused.stderr
    assert "pass%20word" not in refused.stderr


def test_an_index_that_serves_another_file_is_refused(made, tmp_path):
    served = tmp_path / "served"
    wheel = make_wheel(served, "greeting", "1.0")
    made.ask("greeting==1.0")
    with serve(served) as index:
        variables = {"PIP_FIND_LINKS": "", "PIP_INDEX_URL": index.url, "UV_OFFLINE": "false"}
        assert made.checkout.setup(**variables).returncode == 0
        index.misbehave(wrong_hash=True)
        place = ["--project", "tiny", "--volume", str(made.checkout.volume)]
        done = made.checkout.run(
            "bundle", "create", str(tmp_path / "tiny.tar"), *place, **variables
        )
    assert done.returncode == 1
    assert f"error: A package cannot be fetched: {wheel.name} has SHA-256 " in done.stderr
    assert not (tmp_path / "tiny.tar").exists()


def test_a_bundle_is_shown_and_verified(made, tmp_path):
    made.set_up()
    path = tmp_path / "tiny.tar"
    made.bundle(path)
    shown = made.checkout.run("bundle", "show", str(path), "--json")
    assert json.loads(shown.stdout)["wheels"][0]["name"] == "greeting-1.0-py3-none-any.whl"
    good = made.checkout.run("bundle", "verify", str(path))
    assert (good.returncode, good.stdout) == (0, "everything is as it was packed\n")
    with opened(path) as bundle:
        first = list(bundle.members.values())[1]
    content = bytearray(path.read_bytes())
    content[first.start] ^= 1
    path.write_bytes(content)
    bad = made.checkout.run("bundle", "verify", str(path), "--json")
    assert (bad.returncode, json.loads(bad.stdout)) == (1, ["greeting-1.0-py3-none-any.whl"])
