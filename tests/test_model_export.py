"""Models as plain files, in a folder and in a bucket: whole or not there."""

import hashlib
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests import s3_server
from tests.copied_models import CONTENTS, PART_BYTES, WEIGHTS, entry, project, take
from tests.wheels import snapshot
from volume_bootstrap import files
from volume_bootstrap.bucket import store
from volume_bootstrap.bucket.journal import Journal
from volume_bootstrap.bucket.store import Place, Store
from volume_bootstrap.errors import ModelError, StoreError
from volume_bootstrap.layout import ModelRecord, Volume, manifest_of
from volume_bootstrap.models.exporting import to_bucket, to_folder
from volume_bootstrap.models.importing import import_model
from volume_bootstrap.progress import Progress
from volume_bootstrap.project_files import S3Source
from volume_bootstrap.sources import s3
from volume_bootstrap.sources.wanted import Wanted


@pytest.fixture
def volume(tmp_path: Path) -> Volume:
    made = Volume(tmp_path / "volume")
    take(made, tmp_path / "copied")
    return made


@pytest.fixture
def record(volume: Volume) -> ModelRecord:
    return _record(volume)


def _record(volume: Volume) -> ModelRecord:
    (found,) = manifest_of(volume, "tiny").models
    return found


def test_a_folder_has_the_files_and_their_sums(volume, record, tmp_path):
    assert to_folder(volume, record, tmp_path / "out")
    folder = tmp_path / "out" / "one"
    assert [path.name for path in folder.parent.iterdir()] == ["one"]
    assert {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()} == {
        *CONTENTS, "SHA256SUMS", ".record.json",
    }  # fmt: skip
    command = ["sha256sum", "--check", "--strict", "SHA256SUMS"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    assert done.stdout.count(": OK") == len(CONTENTS)


def test_it_comes_back_as_it_was(volume, record, tmp_path):
    to_folder(volume, record, tmp_path / "out")
    other = Volume(tmp_path / "other")
    again, _ = import_model(other, project(entry()), entry(), tmp_path / "out" / "one")
    assert again.folder == record.folder
    assert (other.models / "hub/org/one/model.pt").read_bytes() == WEIGHTS


def test_a_second_time_it_is_compared_and_left_alone(volume, record, tmp_path):
    to_folder(volume, record, tmp_path / "out")
    before = snapshot(tmp_path / "out")
    assert not to_folder(volume, record, tmp_path / "out")
    assert snapshot(tmp_path / "out") == before


def damage(folder: Path) -> None:
    (folder / "model.pt").write_bytes(b"X" + WEIGHTS[1:])


def forget(folder: Path) -> None:
    (folder / ".record.json").unlink()


def replace(folder: Path) -> None:
    text = (folder / ".record.json").read_text()
    (folder / ".record.json").write_text(text.replace('"size": 4', '"size": 5'))


@pytest.mark.parametrize(
    ("change", "reason"),
    [(damage, "is missing or damaged"), (forget, "does not exist"), (replace, "another version")],
)
def test_what_is_there_and_something_else_is_left_alone(volume, record, tmp_path, change, reason):
    to_folder(volume, record, tmp_path / "out")
    change(tmp_path / "out" / "one")
    before = snapshot(tmp_path / "out")
    with pytest.raises(ModelError, match=rf"is there already\. .*{reason}.* Remove it, or name"):
        to_folder(volume, record, tmp_path / "out")
    assert snapshot(tmp_path / "out") == before


def test_a_damaged_model_is_not_exported(volume, record, tmp_path):
    path = volume.models / record.folder / "config.yaml"
    path.write_bytes(b"a: 9")
    with pytest.raises(ModelError, match=f"{path} has the SHA-256 .*Mend it with `setup`"):
        to_folder(volume, record, tmp_path / "out")
    assert not (tmp_path / "out" / "one").exists()


def test_what_a_killed_run_left_is_gone_on_with(volume, record, tmp_path):
    partial = tmp_path / "out" / ".one.partial"
    partial.mkdir(parents=True)
    (partial / "model.pt").write_bytes(WEIGHTS)
    (partial / "config.yaml").write_bytes(b"a")
    (partial / "of an older version").write_bytes(b"b")
    there = (partial / "model.pt").stat().st_ino
    to_folder(volume, record, tmp_path / "out")
    folder = tmp_path / "out" / "one"
    assert (folder / "model.pt").stat().st_ino == there
    assert (folder / "config.yaml").read_bytes() == CONTENTS["config.yaml"]
    assert not (folder / "of an older version").exists()


def test_two_at_once_do_not_write_the_same_folder(volume, record, tmp_path):
    with files.held(tmp_path / "out" / ".one.partial"), pytest.raises(ModelError) as caught:
        to_folder(volume, record, tmp_path / "out")
    assert f"Another export writes {tmp_path / 'out' / 'one'}. Run this again" in str(caught.value)
    assert to_folder(volume, record, tmp_path / "out")


def test_a_folder_of_the_volume_itself_is_refused(volume, record):
    with pytest.raises(ModelError, match="which the provisioner keeps itself"):
        to_folder(volume, record, volume.models / "out")


@pytest.fixture(scope="module")
def moto():
    with s3_server.moto() as url:
        yield url


@pytest.fixture
def place(moto, tmp_path, monkeypatch) -> Place:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setattr(store, "PAUSE_S", 0.001)
    return Place(f"s3://bucket/{tmp_path.name}", moto)


def test_a_bucket_gives_what_a_source_of_models_yaml_asks_for(volume, record, place, tmp_path):
    assert to_bucket(volume, [record], place, part_bytes=PART_BYTES) == [True]
    assert to_bucket(volume, [record], place, part_bytes=PART_BYTES) == [False]
    assert not list((volume.metadata / "uploads").iterdir())
    source = S3Source(kind="s3", url=f"{place.url}/one", endpoint_url=place.endpoint_url)
    wanted = [Wanted(path) for path in CONTENTS]
    with Progress("test") as progress:
        found = s3.fetch(source, [*wanted, Wanted("SHA256SUMS")], tmp_path / "in", progress)
    assert found["model.pt"] == hashlib.sha256(WEIGHTS).hexdigest()
    sums = (tmp_path / "in" / "SHA256SUMS").read_text()
    assert re.findall(r"^(\S+)  empty$", sums, re.MULTILINE) == [hashlib.sha256(b"").hexdigest()]


def test_a_bucket_that_lost_a_file_gets_it_again(volume, record, place):
    to_bucket(volume, [record], place, part_bytes=PART_BYTES)
    client = s3_server.client_of(place.endpoint_url)
    key = f"{place.url.removeprefix('s3://bucket/')}/one/config.yaml"
    client.delete_object(Bucket="bucket", Key=key)
    assert to_bucket(volume, [record], place, part_bytes=PART_BYTES) == [True]
    assert client.get_object(Bucket="bucket", Key=key)["Body"].read() == CONTENTS["config.yaml"]


@pytest.mark.parametrize("name", ["config.yaml", "SHA256SUMS"])
def test_what_is_somebodys_own_in_a_bucket_stays(volume, record, place, name):
    client = s3_server.client_of(place.endpoint_url)
    prefix = f"{place.url.removeprefix('s3://bucket/')}/one/"
    client.put_object(Bucket="bucket", Key=prefix + name, Body=b"something of my own")
    with pytest.raises(StoreError, match=rf"one/{name} is there already\. It is no file of the"):
        to_bucket(volume, [record], place, part_bytes=PART_BYTES)
    (kept,) = client.list_objects_v2(Bucket="bucket", Prefix=prefix)["Contents"]
    assert kept["Key"] == prefix + name
    assert client.get_object(Bucket="bucket", Key=prefix + name)["Body"].read().startswith(b"some")


def test_what_a_killed_export_left_in_a_bucket_is_gone_on_with(volume, record, place):
    """Before its record was there: what it sent is known by its content, or by the journal."""
    client = s3_server.client_of(place.endpoint_url)
    prefix = f"{place.url.removeprefix('s3://bucket/')}/one/"
    config = CONTENTS["config.yaml"]
    client.put_object(Bucket="bucket", Key=f"{prefix}config.yaml", Body=config)
    client.put_object(Bucket="bucket", Key=f"{prefix}model.pt", Body=b"of an older version")
    journal = Journal(volume, f"export {Store(place, Progress('test')).name}")
    journal.note("one/model.pt", id="upload", sha256="", part_bytes=PART_BYTES, etags={})
    assert to_bucket(volume, [record], place, part_bytes=PART_BYTES) == [True]
    assert client.get_object(Bucket="bucket", Key=f"{prefix}model.pt")["Body"].read() == WEIGHTS


def test_a_bucket_that_has_another_version_keeps_it(volume, record, place, tmp_path):
    to_bucket(volume, [record], place, part_bytes=PART_BYTES)
    take(volume, tmp_path / "newer", {**CONTENTS, "config.yaml": b"a: 2"})
    with pytest.raises(StoreError, match=r"one is there already\. It holds another version"):
        to_bucket(volume, [_record(volume)], place, part_bytes=PART_BYTES)
    damaged = volume.models / _record(volume).folder / "config.yaml"
    damaged.write_bytes(b"a: 9")
    elsewhere = Place(f"{place.url}/other", place.endpoint_url)
    with pytest.raises(ModelError, match="Mend it with `setup`"):
        to_bucket(volume, [_record(volume)], elsewhere, part_bytes=PART_BYTES)
    client = s3_server.client_of(place.endpoint_url)
    prefix = f"{elsewhere.url.removeprefix('s3://bucket/')}/one/.record"
    assert not client.list_objects_v2(Bucket="bucket", Prefix=prefix).get("Contents")
