"""Dockerfile.serverless: what it copies, and what is run of that, without an engine of containers.

The stages are laid out as a build would, in a folder that holds nothing else, with an environment
that has the image's packages alone.
"""

import json
import os
import re
import signal
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

import pytest
from docker.utils.build import exclude_paths

from tests import dockerfile
from tests.dockerfile import Stage
from tests.platform import WorkerProcess
from tests.test_handler import environment
from tests.test_imports import SHARED
from volume_bootstrap.packages.uv_tool import find_uv
from volume_bootstrap.pod.creation import RUN
from volume_bootstrap.project import known_projects, read_project
from worker.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
DOCKERFILES = [ROOT / "Dockerfile.serverless", ROOT / ".runpod" / "Dockerfile"]
BEFORE, WORKER, PROVISION, FILLED, BAKED, VOLUME = dockerfile.read(DOCKERFILES[0])
GRACE_S = Settings.model_fields["grace_s"].default


def commands(stage: Stage) -> list[str]:
    """What a stage runs, each command of a line by itself."""
    return [command.strip() for line in stage.values("RUN") for command in line.split("&&")]


def shell(
    command: str, folder: Path, bin_: Path, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a command as a build does, in a folder, with the programs of one environment first."""
    env = {**os.environ, "PATH": f"{bin_}:{os.environ['PATH']}", **variables}
    env.pop("SPEECH_VOLUME", None)
    return subprocess.run(
        ["sh", "-c", command],
        check=False,
        env=env,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.parent.name)
def test_hadolint_finds_nothing(path):
    tool = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([tool, path], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_targets():
    assert [stage.name for stage in (WORKER, PROVISION, FILLED, BAKED, VOLUME)] == [
        "worker", "provision", "filled", "baked", "volume",
    ]  # fmt: skip
    assert WORKER.base == "python:${PYTHON_VERSION}-slim-bookworm"
    assert PROVISION.base == BAKED.base == VOLUME.base == "worker"
    assert FILLED.base == "provision"
    assert VOLUME.instructions == [], "the default target is the worker alone"


def test_the_python_and_the_project_are_ones_that_there_are():
    python = BEFORE.default("PYTHON_VERSION")
    for name in known_projects():
        assert python in read_project(name, python).settings.python
    assert FILLED.default("PROJECT") in known_projects()


def test_the_worker_is_process_one():
    (entrypoint,) = WORKER.values("ENTRYPOINT")
    assert json.loads(entrypoint) == ["python", "handler.py"]
    assert not [stage for stage in (BAKED, VOLUME) for _ in stage.values("ENTRYPOINT")]
    assert not [stage for stage in (WORKER, BAKED, VOLUME) for _ in stage.values("CMD")]


def test_the_baked_volume_is_the_filled_one():
    (copied,) = BAKED.values("COPY")
    flag, source, target = copied.split()
    assert (flag, source) == ("--from=filled", target)
    assert BAKED.values("ENV") == [f"SPEECH_VOLUME={target}"]
    assert f"--volume {target}" in " ".join(commands(FILLED))
    assert f"{target}/.cache" in commands(FILLED)[-1], "uv's cache is a second copy of all packages"


def sent_of(root: Path) -> set[str]:
    """Files of a folder that go to an engine, as Docker's own client for Python chooses them."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    ignored = [line for line in lines if line and not line.startswith("#")]
    return {path for path in exclude_paths(str(root), ignored, "/") if (root / path).is_file()}


def test_what_is_copied_is_tracked_and_sent_and_nothing_else_is():
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], check=True, cwd=ROOT, capture_output=True, text=True
    ).stdout.split("\0")[:-1]
    sent = sent_of(ROOT)
    asked = [s for stage in (WORKER, PROVISION) for sources, _ in stage.copies() for s in sources]
    wanted = {
        source: {f for f in tracked if f == source or f.startswith(f"{source.rstrip('/')}/")}
        for source in asked
    }
    assert not [source for source, files in wanted.items() if not files]
    assert set().union(*wanted.values()) == sent & set(tracked) - {".dockerignore"}
    assert not [path for path in sent if "__pycache__" in path]


def test_what_lies_about_is_not_sent(tmp_path):
    wanted = {"handler.py", "worker/job.py", "worker/report/assets/main.js", "projects/demo/a.yaml"}
    about = {
        ".env", ".git/config", "worker/.env", "worker/__pycache__/job.cpython-311.pyc", "a.pyc",
        "volume/models/x", "tests/data/voice.wav", "tests/data/sample.rttm", "README.md",
        "projects/demo/.cache/token", ".venv/bin/python",
    }  # fmt: skip
    for name in wanted | about:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert sent_of(tmp_path) == wanted


def test_of_the_provisioner_the_worker_has_what_it_imports():
    copied = {
        source
        for sources, target in WORKER.copies()
        for source in sources
        if target == "volume_bootstrap/"
    }
    shared = {f"{module.replace('.', '/')}.py" for module in SHARED}
    assert copied == shared | {"volume_bootstrap/__init__.py"}


@dataclass(frozen=True)
class Image:
    """The target `volume`: its folder, and the environment of its Python."""

    app: Path
    packages: Path

    @property
    def python(self) -> Path:
        return self.packages / "bin" / "python"


@pytest.fixture(scope="module")
def image(tmp_path_factory) -> Image:
    """Lay it out and run what it runs; pip's line is left to uv, which has a cache."""
    folder = tmp_path_factory.mktemp("image")
    image = Image(folder / "app", folder / "packages")
    dockerfile.lay([WORKER, VOLUME], ROOT, image.app)
    venv.create(image.packages, symlinks=True)
    pip, *compiled = commands(WORKER)
    arguments = re.fullmatch(r"pip install --no-compile (?P<files>(-[cr] [a-z.]+ ?)+)", pip)
    assert arguments, pip
    files = [
        str(image.app / word) if word[0] != "-" else word for word in arguments["files"].split()
    ]
    find_uv()("install", *files, "--prefix", str(image.packages))
    assert len(compiled) == 2
    for command in compiled:
        here = command.replace("/app", str(image.app))
        here = here.replace('get_path("stdlib")', 'get_path("purelib")')  # not ours to compile
        done = shell(here, image.app, image.packages / "bin")
        assert done.returncode == 0, done.stderr
    return image


def written(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


def of_the_image(volume: Path) -> dict[str, str]:
    variables = dict(pair.split("=") for pair in WORKER.values("ENV")[1].split())
    kept = environment(volume, **variables)
    return {k: v for k, v in kept.items() if not k.startswith("PYTHONPATH")}


def test_the_worker_answers_a_job_from_what_is_copied(image, own_volume):
    before = written(image.app) | written(image.packages)
    assert len([p for p in written(image.app / "worker") if p.suffix == ".pyc"]) > 50
    job = json.dumps({"input": {"task": "transcript", "audio": "volume://samples/sample.wav"}})
    done = subprocess.run(
        [image.python, "handler.py", "--test_input", job],
        check=False,
        cwd=image.app,
        env=of_the_image(own_volume.root),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "New Jersey" in done.stdout
    assert "SPEAKER_01" in done.stdout
    assert written(image.app) | written(image.packages) == before


def test_the_image_has_no_torch(image):
    installed = {path.name for path in image.packages.glob("lib/*/site-packages/*")}
    assert {"runpod", "pydantic", "boto3", "httpcore"} <= installed
    assert not {"torch", "funasr", "onnxruntime", "numpy", "volume_bootstrap"} & installed
    assert not (image.app / "projects").exists()


def namespaced_id(pid: int) -> int:
    """A process's id in the innermost namespace that it is in."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.findall(r"^NSpid:.*\t(\d+)$", status, re.MULTILINE)[0])


def test_as_process_one_it_ends_on_sigterm(image, own_volume, platform, tmp_path):
    """The kernel spares process 1 of a container all signals that it has no handler for."""
    prefix = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc"]
    with WorkerProcess(
        platform, tmp_path, own_volume.root, prefix=prefix, python=image.python, home=image.app
    ) as worker:
        worker.ready()
        (first,) = [pid for pid in worker.children() if namespaced_id(pid) == 1]
        assert Path(f"/proc/{first}/cmdline").read_text().split("\0")[1:] == ["handler.py", ""]
        os.kill(first, signal.SIGTERM)
        assert worker.wait(GRACE_S) == 0
        assert worker.children() == []
        assert worker.leftovers() == []


@pytest.fixture(scope="module")
def builder(tmp_path_factory) -> Path:
    """The folder of the stages that fill a volume."""
    folder = tmp_path_factory.mktemp("filled") / "app"
    dockerfile.lay([WORKER, PROVISION], ROOT, folder)
    return folder


def test_a_volume_is_filled_from_what_is_copied(builder, tmp_path):
    setup, *_ = commands(FILLED)
    volume = tmp_path / "speech"
    command = f"{setup} --dry-run".replace("/speech", str(volume))
    bin_ = Path(sys.executable).parent
    done = shell(command, builder, bin_, PROJECT=FILLED.default("PROJECT"), VARIANT="")
    assert done.returncode == 0, done.stderr
    assert "+ onnxruntime" in done.stdout
    project = read_project(FILLED.default("PROJECT"), BEFORE.default("PYTHON_VERSION"))
    for model in project.models:
        assert re.search(rf"{model.alias} +download", done.stdout)
        bundled = [source.path for source in model.sources if source.kind == "bundled"]
        assert all((builder / path).is_dir() for path in bundled)
    wrong = shell(command, builder, bin_, PROJECT="demo", VARIANT="cuda")
    assert wrong.returncode == 1
    assert "has no variant 'cuda'" in wrong.stderr


def test_a_pod_begins_by_itself_from_what_is_copied(builder):
    (entrypoint,) = PROVISION.values("ENTRYPOINT")
    assert json.loads(entrypoint) == ["sh", "-c", RUN]
    once = RUN.replace("exec sleep infinity", "exit 7")
    done = shell(once, builder, Path(sys.executable).parent, SPEECH_PROJECTS="demo,nothing")
    assert done.returncode == 7
    assert "SPEECH_VARIANT: 'nothing' is not a project" in done.stderr
    assert "RUNPOD_POD_ID is not set" in done.stderr
    assert done.stderr.endswith("This pod costs money until you end it.\n")
    assert (builder / "worker" / "__main__.py").is_file()


def test_the_filled_volume_is_verified(builder, own_volume):
    _, verify, _ = commands(FILLED)
    command = f"{verify} --quick".replace("/speech", str(own_volume.root))
    done = shell(command, builder, Path(sys.executable).parent)
    assert done.returncode == 0, done.stderr


def test_the_driver_that_is_asked_for_is_that_of_the_packages(builder, tmp_path):
    setup, *_ = commands(FILLED)
    command = f"{setup} --dry-run --json".replace("/speech", str(tmp_path / "speech"))
    done = shell(command, builder, Path(sys.executable).parent, PROJECT="asr", VARIANT="cuda")
    assert done.returncode == 0, done.stderr
    (packages,) = json.loads(done.stdout)["packages"]
    versions = {change["name"]: change["after"] for change in packages["changes"]}
    assert versions["nvidia-cuda-runtime"].startswith(f"{WORKER.default('CUDA')}.")
    assert "${CUDA:+cuda>=${CUDA}}" in WORKER.values("ENV")[0]
