import dataclasses
import sys

import pytest

from volume_bootstrap.layout import Volume, dump, read_generation
from worker.activation import activate, choose_project
from worker.errors import StartupError


def rewrite_generation(volume: Volume, **changes: object) -> None:
    """Give the volume a generation whose record differs from the real one."""
    real = read_generation(volume.pointer("demo") / "generation.json")
    folder = volume.generations / "changed"
    folder.mkdir(parents=True)
    (folder / "generation.json").write_text(dump(dataclasses.replace(real, **changes)))
    volume.pointer("demo").unlink()
    volume.pointer("demo").symlink_to(".generations/changed")


def test_the_generation_comes_first_by_its_real_path(own_volume, monkeypatch):
    before = list(sys.path)
    monkeypatch.setattr(sys, "path", list(before))
    rewrite_generation(own_volume)
    activate(own_volume, "demo")
    assert sys.path[0] == str((own_volume.generations / "changed").resolve())
    activate(own_volume, "demo")
    assert sys.path[1:] == before


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"python": "3.9"}, "Python 3.9"),
        ({"abi": "cpython-311-aarch64-linux-gnu"}, "aarch64"),
        ({"image_packages": {"pydantic": "1.0"}}, "pydantic 1.0 from the image"),
        ({"image_packages": {"no-such-package": "1.0"}}, "which has none"),
    ],
)
def test_a_mismatch_is_refused(own_volume, monkeypatch, changes, words):
    monkeypatch.setattr(sys, "path", list(sys.path))
    rewrite_generation(own_volume, **changes)
    before = list(sys.path)
    with pytest.raises(StartupError, match=words) as caught:
        activate(own_volume, "demo")
    assert sys.path == before
    # The platform is told no more, with the name of the error's class.
    assert f"demo --volume {own_volume.root}. " in f"StartupError: {caught.value}"[:256]


def test_no_generation_says_how_to_get_one(tmp_path):
    with pytest.raises(StartupError, match="python -m volume_bootstrap setup --project demo"):
        activate(Volume(tmp_path), "demo")


def test_the_only_project_is_chosen(own_volume):
    assert choose_project(own_volume, None) == "demo"
    assert choose_project(own_volume, "demo") == "demo"


def test_an_absent_project_names_those_there_are(volume):
    with pytest.raises(StartupError, match=r"holds no project asr.*it holds: demo"):
        choose_project(volume, "asr")


def test_several_projects_need_a_choice(own_volume):
    own_volume.manifest("asr").write_text("{}")
    with pytest.raises(StartupError, match="asr, demo"):
        choose_project(own_volume, None)
    assert choose_project(own_volume, "demo") == "demo"


def test_an_empty_volume_says_so(tmp_path):
    with pytest.raises(StartupError, match="it holds: none"):
        choose_project(Volume(tmp_path), None)
