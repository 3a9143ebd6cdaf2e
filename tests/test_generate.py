"""What is made from the code: the script, and what it says on the Hub."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scripts import generate, generate_hub
from tests import dockerfile
from tests.dockerfile import Stage
from volume_bootstrap.project import read_project
from worker.defaults import ProjectDefaults
from worker.device import choose
from worker.engines import whisper_device
from worker.parsing import parse
from worker.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
ALIASES = {str(field.alias): field for field in Settings.model_fields.values()}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "scripts.generate", *arguments]
    return subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)


def test_all_is_up_to_date():
    done = run("--check")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_an_option_that_there_is_not():
    done = run("--chekc")
    assert done.returncode == 1
    assert done.stderr == "--chekc is not allowed; the one option is --check.\n"


@pytest.fixture
def copies(tmp_path) -> Path:
    """Copies of the files, which may be damaged."""
    for name, _ in generate.FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text((ROOT / name).read_text())
    return tmp_path


@pytest.mark.parametrize("name", [name for name, _ in generate.FILES])
def test_what_is_out_of_date_is_named_and_made_anew(copies, name):
    whole = (copies / name).read_text()
    mark = "made by make generate -->\n"
    (copies / name).write_text(whole.replace(mark, f"{mark}X", 1) if mark in whole else f"{whole}X")
    with pytest.raises(SystemExit) as told:
        generate.main(["--check"], copies)
    assert told.value.code == f"Out of date: {name}. Make them anew with: make generate"
    generate.main([], copies)
    assert (copies / name).read_text() == whole
    generate.main(["--check"], copies)


def test_what_is_not_there_is_made(copies):
    whole = (copies / ".runpod" / "hub.json").read_text()
    (copies / ".runpod" / "hub.json").unlink()
    with pytest.raises(SystemExit, match=r"Out of date: \.runpod/hub\.json\."):
        generate.main(["--check"], copies)
    generate.main([], copies)
    assert (copies / ".runpod" / "hub.json").read_text() == whole


@pytest.mark.parametrize(
    "text",
    ["", "<!-- x: end -->\n<!-- x: made by make generate -->\n", 2 * "<!-- x: end -->\n"],
)
def test_a_file_without_its_marks_is_left_alone(text):
    with pytest.raises(SystemExit, match="One line '<!-- x: made by make generate -->' is needed"):
        generate.block("x", lambda: "new")(text)


def test_only_what_stands_between_the_marks_is_made():
    render = generate.block("x", lambda: r"a \1 b")
    text = "before\n<!-- x: made by make generate -->\nold\n<!-- x: end -->\nafter\n"
    wanted = text.replace("old", "\na \\1 b\n")
    assert render(text) == wanted
    assert render(wanted) == wanted


@pytest.fixture(scope="module")
def hub() -> dict[str, Any]:
    return json.loads((ROOT / ".runpod" / "hub.json").read_text())


@pytest.fixture(scope="module")
def jobs() -> dict[str, Any]:
    return json.loads((ROOT / ".runpod" / "tests.json").read_text())


def test_the_listing_has_the_fields_that_the_hub_needs(hub):
    assert hub.keys() == {"title", "description", "type", "category", "config"}
    assert (hub["type"], hub["category"]) == ("serverless", "audio")
    assert hub["config"].keys() == {"runsOn", "cpuFlavor", "containerDiskInGb", "env"}


def test_each_setting_is_offered_or_left_out_for_a_reason(hub):
    offered = [entry["key"] for entry in hub["config"]["env"]]
    assert len(offered) == len(set(offered))
    assert sorted([*offered, *generate_hub.LEFT_OUT]) == sorted(ALIASES)
    assert set(generate_hub.PLAIN) <= set(offered)


def values(asked: dict[str, Any]) -> list[object]:
    """What the Hub lets somebody choose, as far as it is told."""
    options = [option["value"] for option in asked.get("options", [])]
    return [asked[key] for key in ("default", "min", "max") if key in asked] + options


def test_the_worker_takes_what_the_hub_offers(hub, tmp_path):
    for entry in hub["config"]["env"]:
        asked = entry["input"]
        assert asked["type"] in {"string", "number"}
        assert asked["name"]
        assert asked["description"]
        for value in values(asked):
            settings = Settings.from_environment(
                {"SPEECH_VOLUME": str(tmp_path), entry["key"]: str(value)}
            )
            (name,) = [n for n, f in Settings.model_fields.items() if f.alias == entry["key"]]
            assert getattr(settings, name) == value
        if "default" in asked:
            assert asked["default"] == ALIASES[entry["key"]].default
        if "options" in asked:
            assert asked["default"] in [option["value"] for option in asked["options"]]


def test_no_secret_has_a_default(hub):
    for entry in hub["config"]["env"]:
        if any(word in entry["key"] for word in ("KEY", "SECRET", "TOKEN")):
            assert "default" not in entry["input"]


@pytest.mark.parametrize("precision", generate_hub.PRECISIONS)
def test_each_precision_runs_on_a_cpu(precision):
    device = choose("cpu", 1, None if precision == "auto" else precision)
    assert whisper_device.place(device)["device"] == "cpu"


def test_the_jobs_are_ones_that_the_project_of_the_image_can_do(hub, jobs):
    project = read_project(last_stages()[2].default("PROJECT"), "3.11")
    defaults = ProjectDefaults.model_validate(project.settings.defaults)
    samples = {f"volume://samples/{Path(sample).name}" for sample in project.settings.samples}
    names = [test["name"] for test in jobs["tests"]]
    assert len(names) == len(set(names))
    for test in jobs["tests"]:
        request = parse(test["input"])
        assert {source.url for source in request.audio} <= samples
        assert request.task == "diarization" or defaults.asr is not None
        assert request.model is None
        assert test["timeout"] >= 1000 * 60
    assert {parse(test["input"]).task for test in jobs["tests"]} == {
        "transcript", "diarization", "asr",
    }  # fmt: skip
    assert jobs["config"] == {"cpuFlavor": hub["config"]["cpuFlavor"]}


def test_the_hubs_jobs_end_well(service, jobs):
    replies = {test["name"]: service.answer(test["input"]) for test in jobs["tests"]}
    assert "New Jersey" in replies["transcript_with_speakers"]["text"]
    assert len(replies["diarization"]["speakers"]) == 2
    assert "Hello" in replies["asr_of_ten_seconds"]["text"]


def last_stages() -> list[Stage]:
    """The stages of the Hub's Dockerfile: worker, filled, baked."""
    return dockerfile.read(ROOT / ".runpod" / "Dockerfile")[1:]


def test_the_hub_builds_the_baked_image():
    _, worker, provision, filled, baked, _ = dockerfile.read(ROOT / "Dockerfile.serverless")
    worker.instructions[worker.instructions.index(("ARG", "CUDA=13.0"))] = ("ARG", "CUDA=")
    assert last_stages() == [worker, provision, filled, baked]


def test_a_changed_dockerfile_is_told(tmp_path, monkeypatch):
    (tmp_path / "Dockerfile.serverless").write_text("# It.\n\nFROM x AS worker\n")
    monkeypatch.setattr(generate_hub, "ROOT", tmp_path)
    with pytest.raises(SystemExit, match="needs one 'FROM worker AS volume'"):
        generate_hub.dockerfile()
