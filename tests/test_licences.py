"""THIRD_PARTY_LICENSES names all that others made."""

import importlib.metadata
import re
import subprocess
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

from scripts import generate_licences
from volume_bootstrap.project import known_projects, read_project

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "THIRD_PARTY_LICENSES").read_text()
NOTES = tomllib.loads(generate_licences.NOTES.read_text())
FOREIGN = ("tests/data/*", "projects/*/models/*")
"""Where this repository keeps what others made."""


def tracked() -> list[str]:
    listed = subprocess.run(["git", "ls-files", "-z"], check=True, cwd=ROOT, capture_output=True)
    return listed.stdout.decode().split("\0")[:-1]


def test_each_file_that_others_made_is_named_once():
    files = [path for path in tracked() if any(fnmatch(path, place) for place in FOREIGN)]
    assert len(files) > 20
    patterns = [pattern for entry in NOTES["bundled"] for pattern in entry["paths"]]
    for file in files:
        assert len([p for p in patterns if fnmatch(file, p)]) == 1, file
    for pattern in patterns:
        assert [file for file in files if fnmatch(file, pattern)], f"{pattern} is no file"
        assert pattern in TEXT


def test_each_vendored_file_has_its_licence_beside_it():
    texts = {path.relative_to(ROOT).as_posix() for path in generate_licences.vendored()}
    minified = [path for path in tracked() if re.search(r"\.min\.\w+$", path)]
    assert {f"{path.split('.')[0]}.LICENSE" for path in minified} == texts
    for path in minified:
        assert path in TEXT
    for path in texts:
        assert (ROOT / path).read_text().strip() in TEXT


@pytest.mark.parametrize("project", known_projects())
def test_each_model_is_named_with_its_licence(project):
    section = TEXT.split(f"Project {project}:\n")[1].split("Project ")[0]
    models = read_project(project, "3.11").models
    assert models
    for model in models:
        (line,) = re.findall(rf"^  {re.escape(model.alias)}: (.+)$", section, re.MULTILINE)
        assert line.startswith(f"{model.id}, {model.licence}")
        assert (", Copyright (c) " in line) == (model.licence == "MIT")


def test_what_the_image_of_the_hub_holds_may_be_handed_on():
    assert {model.licence for model in read_project("demo", "3.11").models} == {
        "Apache-2.0", "MIT",
    }  # fmt: skip


def test_each_package_of_the_image_is_named():
    named = dict(re.findall(r"^  (\S+) (\d\S*): ", TEXT.split("the image (")[1], re.MULTILINE))
    assert {"runpod", "pydantic", "pydantic-core", "botocore", "aiohttp"} <= named.keys()
    lock = (ROOT / "requirements.lock").read_text()
    for name, version in named.items():
        assert importlib.metadata.version(name) == version
        assert re.search(rf"^{re.escape(name)}=={re.escape(version)}\b", lock, re.MULTILINE), name
    assert "none stated" not in TEXT.split("the image (")[1]


def test_each_pin_of_a_project_is_named():
    for pin in generate_licences.pins():
        assert f"  {pin.replace('==', ' ')}: " in TEXT


def test_a_pin_without_a_licence_is_told(tmp_path, monkeypatch):
    notes = tmp_path / "licences.toml"
    text = generate_licences.NOTES.read_text()
    notes.write_text(text.replace('"av==17.0.1" = ', '"av==16.0.0" = '))
    monkeypatch.setattr(generate_licences, "NOTES", notes)
    with pytest.raises(SystemExit, match=r"av==16\.0\.0, av==17\.0\.1"):
        generate_licences.licences()


def test_a_vendored_text_is_taken_over(tmp_path, monkeypatch):
    assets = tmp_path / "worker" / "assets"
    assets.mkdir(parents=True)
    (assets / "thing.min.js").write_text("0")
    (assets / "thing.LICENSE").write_text("Do as you please.\n")
    (tmp_path / "requirements.txt").write_text("pydantic\n")
    monkeypatch.setattr(generate_licences, "ROOT", tmp_path)
    made = generate_licences.licences()
    assert "thing\n  worker/assets/thing.min.js\n\nDo as you please.\n" in made
