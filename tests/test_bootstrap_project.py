from pathlib import Path

import pytest
import yaml

from volume_bootstrap.errors import ProjectError
from volume_bootstrap.files import sha256_of
from volume_bootstrap.project import ROOT, known_projects, read_project
from volume_bootstrap.project_files import BundledSource

MODEL = {
    "alias": "vad",
    "id": "org/name",
    "task": "vad",
    "licence": "MIT",
    "export": "fsmn_vad",
    "files": [{"path": "model.pt", "sha256": "0" * 64}],
    "sources": [{"kind": "bundled", "path": "models/vad"}],
}
GROUP = {"name": "base", "packages": ["a==1"]}
HUB = {"kind": "modelscope"}
BUNDLED = [("demo", "fsmn-vad"), ("demo-funasr", "sensevoice-digits")]
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
    write(tmp_path, "dependencies", {"groups": [GROUP], "imports": ["a"]})
    write(tmp_path, "models", {"models": [MODEL]})
    return tmp_path


def write(root: Path, name: str, content: object) -> None:
    (root / "projects" / "tiny" / f"{name}.yaml").write_text(yaml.safe_dump(content))


def test_a_project_is_read(root):
    project = read_project("tiny", "3.11", root)
    assert project.name == "tiny"
    assert [group.packages for group in project.groups(None)] == [["a==1"]]
    assert isinstance(project.models[0].sources[0], BundledSource)


@pytest.mark.parametrize("python", ["3.11", "3.12"])
@pytest.mark.parametrize("name", known_projects())
def test_the_shipped_projects_are_valid(name, python):
    project = read_project(name, python)
    used = project.settings.defaults["diarization"]["models"]
    assert set(used.values()) <= {model.alias for model in project.models}
    for sample in project.settings.samples:
        assert (ROOT / sample).is_file()
    for variant in project.dependencies.variants or [None]:
        assert project.groups(variant)


@pytest.mark.parametrize(
    "url",
    ["http://host:abc/x", "http://host:99999/x", "http://[::1/x", "http:///x", "ftp://host/x"],
)
def test_an_address_that_is_none_is_refused(root, url):
    write(root, "models", {"models": [{**MODEL, "sources": [{"kind": "https", "url": url}]}]})
    with pytest.raises(ProjectError, match=r"it is no address such as https://host\.example"):
        read_project("tiny", "3.11", root)


def test_what_was_asked_for_is_shipped():
    diarization = read_project("speaker-diarization", "3.11")
    assert {model.id for model in diarization.models} >= {
        "iic/speech_campplus_speaker-diarization_common",
        "damo/speech_fsmn_vad_zh-cn-16k-common-pytorch",
        "damo/speech_campplus_sv_zh-cn_16k-common",
        "damo/speech_campplus-transformer_scl_zh-cn_16k-common",
    }
    names = {n for v in ("cuda", "cpu") for g in diarization.groups(v) for n in g.names}
    assert names >= {"runpod", "funasr", "modelscope", "torch", "onnxruntime-gpu"}
    assert names >= {"librosa", "pyyaml", "boto3"}
    asr = read_project("asr", "3.11")
    assert {m.alias for m in asr.models} > {m.alias for m in diarization.models}
    assert {m.task for m in asr.models} >= {
        "vad",
        "embedding",
        "segmentation",
        "asr",
        "punctuation",
    }


@pytest.mark.parametrize(("project", "alias"), BUNDLED)
def test_the_bundled_weights_are_the_ones_that_are_listed(project, alias):
    (model,) = [m for m in read_project(project, "3.11").models if m.alias == alias]
    (source,) = model.sources
    for file in model.files:
        digest = sha256_of(ROOT / source.path / file.path)
        assert file.sha256 in (None, digest)


@pytest.mark.parametrize("name", ["demo", "demo-funasr", "asr", "asr-whisper"])
def test_a_project_that_transcribes_says_with_what(name):
    project = read_project(name, "3.11")
    tasks = {model.alias: model.task for model in project.models}
    chosen = project.settings.defaults["asr"]["models"]
    assert all(tasks[alias] == task for task, alias in chosen.items())
    assert "asr" in chosen


def test_no_variant_installs_two_builds_of_onnx_runtime():
    """Both lay their files into one folder. faster-whisper declares the one for the CPU."""
    project = read_project("asr-whisper", "3.11")
    (group,) = [g for g in project.groups("cuda") if "faster-whisper" in g.names]
    assert group.no_deps
    names = {name for g in project.groups("cuda") for name in g.names}
    assert "onnxruntime-gpu" in names
    assert "onnxruntime" not in names


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("project", {"python": ["3.11"], "defaults": {}, "pythons": []}, "pythons: Extra inputs"),
        ("project", {"python": [3.11], "defaults": {}}, "python.0: Input should be a valid string"),
        ("project", {"python": ["3.11"], "defaults": {}, "samples": ["/etc/passwd"]}, "samples.0"),
        ("project", {"python": ["3.11"], "defaults": {}, "samples": ["a/../../b"]}, "samples.0"),
        ("project", [], "valid dictionary"),
        ("dependencies", {"packages": ["a==1"]}, "packages: Extra"),
        ("dependencies", {"groups": [{**GROUP, "packages": []}]}, "groups.0.packages: "),
        ("dependencies", {"groups": [{**GROUP, "index": "x"}]}, "groups.0.index: Extra"),
        (
            "dependencies",
            {"groups": [{**GROUP, "packages": ["a=1"]}]},
            "'a=1' is not a requirement",
        ),
        ("dependencies", {"groups": [GROUP, GROUP]}, "the group base stands twice"),
        (
            "dependencies",
            {"groups": [GROUP, {"name": "more", "packages": ["A>=1"]}]},
            "the package a stands twice",
        ),
        ("dependencies", {"groups": [GROUP], "imports": ["os; evil()"]}, "imports.0"),
        ("models", {}, "models: Field required"),
        ("models", {"models": [{**MODEL, "revison": "v1"}]}, "models.0.revison: Extra inputs"),
        ("models", {"models": [{**MODEL, "id": "../../etc"}]}, "models.0.id"),
        ("models", {"models": [{**MODEL, "alias": "V AD"}]}, "models.0.alias"),
        ("models", {"models": [{**MODEL, "task": "music"}]}, "models.0.task"),
        (
            "models",
            {"models": [{**MODEL, "task": "asr"}]},
            "`engine` is missing; for asr it is funasr or whisper",
        ),
        (
            "models",
            {"models": [{**MODEL, "task": "punctuation", "engine": "whisper"}]},
            "`engine` is 'whisper'; for punctuation it is funasr",
        ),
        (
            "models",
            {"models": [{**MODEL, "engine": "funasr"}]},
            "`engine` is 'funasr': leave it out, vad has none",
        ),
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
        ("models", {"models": [{**MODEL, "files": []}]}, "only a hub lists its files, not bundled"),
        (
            "models",
            {"models": [{**MODEL, "sources": [{"kind": "https", "url": "ftp://x/y"}]}]},
            "models.0.sources.0.https.url",
        ),
        (
            "models",
            {"models": [{**MODEL, "sources": [{"kind": "s3", "url": "bucket/key"}]}]},
            "models.0.sources.0.s3.url",
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
    with pytest.raises(ProjectError, match=r"is not a project; projects/ holds: tiny\."):
        read_project(name, "3.11", root)


def test_another_python_is_refused(root):
    with pytest.raises(ProjectError, match=r"tiny is for Python 3\.11; this is 3\.9"):
        read_project("tiny", "3.9", root)


def test_what_nobody_gives_is_missing(root):
    write(root, "project", {})
    with pytest.raises(ProjectError, match=r"project\.yaml: `python` lists no version"):
        read_project("tiny", "3.11", root)


def test_preload_is_true_or_false(root):
    path = root / "projects" / "tiny" / "project.yaml"
    path.write_text('python: ["3.11"]\ndefaults: {asr: {preload: later}}\n')
    with pytest.raises(ProjectError, match=r"asr\.preload is 'later'; allowed: true, false"):
        read_project("tiny", "3.11", root)


def test_defaults_name_models_that_are_there(root):
    write(root, "project", {"python": ["3.11"], "defaults": {"asr": {"models": {"vad": "gone"}}}})
    with pytest.raises(ProjectError, match=r"defaults of asr name the models 'gone'.*has: vad"):
        read_project("tiny", "3.11", root)


def test_a_group_is_for_variants_that_there_are(root):
    write(root, "dependencies", {"groups": [{**GROUP, "variants": ["cpu"]}], "imports": ["a"]})
    with pytest.raises(ProjectError, match=r"tiny: group base is for the variants cpu; .*none"):
        read_project("tiny", "3.11", root)


def test_a_hub_lists_files_itself(root):
    hub = {key: value for key, value in MODEL.items() if key != "files"}
    write(root, "models", {"models": [{**hub, "sources": [HUB]}]})
    assert read_project("tiny", "3.11", root).models[0].files == []


def extend(root: Path, name: str, **contents: object) -> None:
    folder = root / "projects" / name
    folder.mkdir()
    for file in ("project", "dependencies", "models"):
        empty = {"models": []} if file == "models" else {}
        (folder / f"{file}.yaml").write_text(yaml.safe_dump(contents.get(file, empty)))


def test_a_project_extends_another(root):
    write(
        root,
        "dependencies",
        {
            "variants": ["gpu", "cpu"],
            "groups": [
                GROUP,
                {"name": "net", "variants": ["gpu"], "packages": ["n==1"]},
                {"name": "net", "variants": ["cpu"], "packages": ["n==2"]},
            ],
            "imports": ["a"],
        },
    )
    extend(
        root,
        "more",
        project={"extends": "tiny", "defaults": {"asr": {"models": {"vad": "vad"}}}},
        dependencies={
            "groups": [
                {"name": "net", "variants": ["cpu"], "packages": ["n==3"]},
                {"name": "own", "packages": ["b==1"]},
            ],
            "imports": ["b", "a"],
        },
        models={"models": [{**MODEL, "alias": "more", "id": "org/more"}]},
    )
    project = read_project("more", "3.11", root)
    packages = {v: [p for g in project.groups(v) for p in g.packages] for v in ("gpu", "cpu")}
    assert packages == {"gpu": ["a==1", "n==1", "b==1"], "cpu": ["a==1", "n==3", "b==1"]}
    assert project.dependencies.imports == ["a", "b"]
    assert [model.alias for model in project.models] == ["vad", "more"]
    assert project.settings.defaults == {"asr": {"models": {"vad": "vad"}}}


def test_an_extension_may_have_an_empty_file(root):
    extend(root, "more", project={"extends": "tiny"})
    for name in ("dependencies", "models"):
        (root / "projects" / "more" / f"{name}.yaml").write_text(
            "# as tiny\n" if name == "dependencies" else "models: []\n"
        )
    assert read_project("more", "3.11", root).dependencies.imports == ["a"]


def test_what_does_not_go_together_is_told(root):
    extend(root, "more", project={"extends": "tiny"}, dependencies={"groups": [GROUP]})
    assert [g.name for g in read_project("more", "3.11", root).groups(None)] == ["base"]
    twice = {"groups": [{"name": "more", "packages": ["a==2"]}]}
    (root / "projects" / "more" / "dependencies.yaml").write_text(yaml.safe_dump(twice))
    with pytest.raises(ProjectError, match=r"more does not go with tiny: .*package a stands twice"):
        read_project("more", "3.11", root)


def test_a_circle_is_told(root):
    extend(root, "more", project={"extends": "tiny"})
    write(root, "project", {"extends": "more"})
    with pytest.raises(ProjectError, match="circle: more extends tiny extends more"):
        read_project("more", "3.11", root)


def test_what_is_extended_must_be_there(root):
    write(root, "project", {"extends": "gone"})
    with pytest.raises(ProjectError, match="tiny extends 'gone', which is not a project"):
        read_project("tiny", "3.11", root)


@pytest.mark.parametrize(
    ("wanted", "words"), [("cpu", "has no variant 'cpu'; it has: none"), (None, "")]
)
def test_a_variant_must_be_there(root, wanted, words):
    project = read_project("tiny", "3.11", root)
    if not words:
        assert project.choose_variant(wanted) is None
        return
    with pytest.raises(ProjectError, match=words):
        project.choose_variant(wanted)
