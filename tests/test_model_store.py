"""What a job loads is what was provisioned, or the job says what is wrong and how to mend it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from volume_bootstrap.layout import ModelRecord, Volume
from worker.errors import InvalidInputError, ModelNotProvisionedError
from worker.model_store import ModelStore

EXPORTED = "fsmn-vad"
FOLDER = "whisper-tiny-en"


@pytest.fixture
def store(own_volume: Volume) -> ModelStore:
    return ModelStore(own_volume, "demo")


def find(store: ModelStore, alias: str) -> ModelRecord:
    record = store.manifest().model(alias)
    assert record is not None
    return record


def remove(path: Path) -> None:
    path.unlink()


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def make_unreadable(path: Path) -> None:
    # A folder: root may read any file.
    path.unlink()
    path.mkdir()


def test_an_exported_model_is_its_file(store, own_volume):
    record = find(store, EXPORTED)
    assert store.verified(record) == own_volume.models / record.folder / "model.onnx"


def test_a_model_without_one_is_its_folder(store, own_volume):
    record = find(store, FOLDER)
    assert record.engine == "whisper"
    folder = store.verified(record)
    assert folder == own_volume.models / record.folder
    assert {f.path for f in record.files} <= {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("alias", [EXPORTED, FOLDER])
@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (remove, "No such file"),
        (flip_a_bit, "is damaged: its SHA-256 is"),
        (cut_short, "is damaged: its SHA-256 is"),
        (make_unreadable, "Is a directory"),
    ],
)
def test_each_file_that_is_loaded_is_compared(
    store: ModelStore, own_volume: Volume, alias: str, harm: Callable[[Path], None], words: str
):
    record = find(store, alias)
    loaded = ["model.onnx"] if alias == EXPORTED else [file.path for file in record.files]
    for name in loaded:
        path = own_volume.models / record.folder / name
        aside = path.rename(path.with_name("aside"))
        path.write_bytes(aside.read_bytes())
        harm(path)
        with pytest.raises(ModelNotProvisionedError) as caught:
            store.verified(record)
        message = str(caught.value)
        assert message.startswith(f"model {alias} ")
        assert str(path) in message
        assert words in message
        assert message.endswith(
            f"python -m volume_bootstrap setup --project demo --volume {own_volume.root}"
        )
        if path.is_dir():
            path.rmdir()
        aside.replace(path)
    assert store.verified(record)


def test_what_an_export_came_from_is_not_read(store, own_volume):
    record = find(store, EXPORTED)
    (own_volume.models / record.folder / "model.pt").unlink()
    assert store.verified(record).name == "model.onnx"


def test_a_file_that_the_manifest_does_not_list_is_no_harm(store, own_volume):
    record = find(store, FOLDER)
    (own_volume.models / record.folder / "notes.txt").write_text("mine")
    assert store.verified(record)


def test_a_model_without_files_is_refused(store):
    with pytest.raises(ModelNotProvisionedError, match=f"model {FOLDER} has no files"):
        store.verified(replace(find(store, FOLDER), files=()))


def test_a_model_is_found_by_task_and_alias(store):
    assert store.find("asr", default=FOLDER).alias == FOLDER
    assert store.find("vad", default=EXPORTED, wanted=EXPORTED).alias == EXPORTED
    with pytest.raises(InvalidInputError, match=f"'fsmn-vad' is not one for asr.*: {FOLDER}\\."):
        store.find("asr", default=FOLDER, wanted=EXPORTED)
    with pytest.raises(ModelNotProvisionedError, match="model whisper-large is not on the volume"):
        store.find("asr", default="whisper-large")
