"""``python -m volume_bootstrap pod create``, as it is typed on one's own machine."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runpod_api import KEY, RunPodApi
from volume_bootstrap.cli.app import app
from volume_bootstrap.errors import ApiError, PodError, ProvisionError
from volume_bootstrap.pod.creation import STOCK_IMAGE, start_command

ROOT = Path(__file__).resolve().parent.parent
SOURCE = "https://example.com/speech-worker-1.tar.gz"
GOOD = ["create", "-p", "demo", "--volume-id", "vol1", "--cpu", "cpu3c", "--image", "me/speech:1"]


@pytest.fixture(scope="module")
def process() -> Iterator[RunPodApi]:
    with RunPodApi() as running:
        yield running


@pytest.fixture
def api(process: RunPodApi, monkeypatch) -> RunPodApi:
    process.reset()
    monkeypatch.setenv("RUNPOD_API_KEY", KEY)
    monkeypatch.setenv("RUNPOD_REST_URL", process.base)
    return process


COMMAND = [sys.executable, "-m", "volume_bootstrap", "pod"]
COSTS = "It costs money until it is ended: https://console.runpod.io/pods, or runpodctl remove pod "


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *words], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )


def stop(api: RunPodApi, number: int, method: str, *words: str) -> str:
    """Send a signal once RunPod was called; return what was said on stderr."""
    with subprocess.Popen(
        [*COMMAND, *words], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        while method not in [call["method"] for call in api.calls]:
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(number)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 1
    return " ".join(said.split())


def test_a_pod_is_created_and_followed_to_its_end(api):
    """Another process ends it, as the pod itself does."""

    def end() -> None:
        while "GET" not in [call["method"] for call in api.calls]:
            time.sleep(0.05)
        api.fault("GET", status=404)

    pod = threading.Thread(target=end)
    pod.start()
    machines = ["--gpu", "NVIDIA L4", "--gpu", "NVIDIA A40"]
    more = ["--source", SOURCE, "--env", "HF_TOKEN=hf_secret=1", "--wait", "1"]
    done = run(
        *["create", "-p", "demo", "-p", "demo-funasr", "--volume-id", "vol1", *machines, *more]
    )
    pod.join()
    assert (done.returncode, done.stdout) == (0, "pod pod1 fills volume vol1: demo, demo-funasr\n")
    assert done.stderr.splitlines() == [
        f"pod pod1 is created. {COSTS}pod1",
        "pod pod1: RUNNING",
        "pod pod1: gone; .metadata/pod-report.txt on the volume says whether it was ready",
    ]
    asked = api.pods["pod1"]
    assert asked["imageName"] == STOCK_IMAGE
    assert asked["gpuTypeIds"] == ["NVIDIA L4", "NVIDIA A40"]
    assert asked["dockerStartCmd"] == ["sh", "-c", start_command(SOURCE)]
    assert asked["env"] == {
        "SPEECH_VOLUME": "/workspace",
        "SPEECH_PROJECTS": "demo,demo-funasr",
        "HF_TOKEN": "hf_secret=1",
    }


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_stops_a_creation_is_told_of_a_pod_that_may_be_there(api, number):
    api.fault("POST", silent=True, carry_out=True)
    said = stop(api, number, "POST", *GOOD)
    (pod,) = api.pods.values()
    assert f"Interrupted. Whether there is a pod {pod['name']} now is not known: look at" in said
    assert "same again" not in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_stops_following_is_told_of_the_cost(api, number):
    said = stop(api, number, "GET", *GOOD, "--wait", "1")
    assert said.endswith(f"Pod pod1 is not followed any more, and goes on. {COSTS}pod1")


@pytest.mark.parametrize("words", [[], ["--quiet", "--json"]])
def test_a_stdout_that_fails_loses_no_id(api, words):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*COMMAND, *GOOD, *words],
            cwd=ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=60,
        )
    assert done.returncode != 0
    assert done.stderr.startswith(f"pod pod1 is created. {COSTS}pod1\n")
    assert "No space left on device" in done.stderr


def test_its_id_is_printed_as_json(api, capsys):
    app(["pod", *GOOD, "--json"], standalone_mode=False)
    expected = {"pod": "pod1", "volume": "vol1", "projects": ["demo"]}
    assert json.loads(capsys.readouterr().out) == expected


def test_what_runpod_refuses_is_told(api):
    api.fault("POST", status=500, words="There are no instances currently available")
    done = run(*GOOD)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "answered 500: There are no instances currently available. Whether" in done.stderr
    assert KEY not in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([*GOOD, "--gpu", "NVIDIA L4"], "machines of one sort"),
        (["create", "-p", "demo", "--volume-id", "v", "--image", "x"], "machines of one sort"),
        (["create", "-p", "demo", "--volume-id", "v", "--cpu", "cpu3c"], "Name --image, built"),
        ([*GOOD, "--source", "/home/me/x.tar.gz"], "is no address"),
        ([*GOOD, "--mirror", "pypi.org/simple"], "SPEECH_MIRROR is not allowed: it begins with"),
        ([*GOOD, "--variant", "cuda"], "has no variant 'cuda'"),
        ([*GOOD, "-p", "singing"], "'singing' is not a project"),
        ([*GOOD, "--env", "hf_secret"], "write NAME=VALUE"),
        ([*GOOD, "--env", "=hf_secret"], "write NAME=VALUE"),
        ([*GOOD, "--env", "SPEECH_VOLUME=/hf_secret"], "--env SPEECH_VOLUME: this command or Run"),
        ([*GOOD, "--env", "RUNPOD_VOLUME_ID=hf_secret"], "--env RUNPOD_VOLUME_ID: this command"),
        ([*GOOD, "--mirror", "htps://user:hf_secret@host"], "SPEECH_MIRROR is not allowed: it"),
        ([*GOOD, "--env", "RUNPOD_REST_URL=http://hf_secret"], "RUNPOD_REST_URL is not allowed: "),
        ([*GOOD, "--env", "RUNPOD_API_KEY=hf_secret 2"], "RUNPOD_API_KEY is not allowed: holds"),
        (
            [*GOOD, "--env", "MODELSCOPE_CACHE=/root/models"],
            "none was created:\n  MODELSCOPE_CACHE='/root/models' is not on the volume /workspace",
        ),
        ([*GOOD, "--env", "MODELSCOPE_CACHE=/workspace/../models"], "is not on the volume /worksp"),
        ([*GOOD, "--source", "htps://host/x?token=hf_secret"], "is no address"),
        ([*GOOD, "--volume-id", ""], "--volume-id '' is no id"),
        ([*GOOD, "--volume-id", "vol1\n"], "is no id"),
        ([*GOOD, "--volume-id", "../vol1"], "is no id"),
        (["--terminate", *GOOD], "come after `create`"),
    ],
)
def test_what_cannot_be_meant_creates_no_pod(api, words, message):
    with pytest.raises(ProvisionError, match=message) as caught:
        app(["pod", *words], standalone_mode=False)
    assert "hf_secret" not in str(caught.value)
    assert api.calls == []


def test_a_project_that_nothing_can_be_tried_on_creates_no_pod(api, tmp_path):
    """In a copy of this repository, which has such a project."""
    for folder in ("volume_bootstrap", "projects"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    mute = shutil.copytree(tmp_path / "projects" / "demo", tmp_path / "projects" / "mute")
    told = (mute / "project.yaml").read_text()
    (mute / "project.yaml").write_text(told[: told.index("samples:")])
    words = [word.replace("demo", "mute") for word in GOOD]
    done = subprocess.run(
        [*COMMAND, *words], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    assert "SPEECH_PROJECTS: mute has no `samples`; one is tried at the end." in done.stderr
    assert api.calls == []


def test_what_only_the_pod_can_tell_is_sent_as_it_is(api):
    """A secret by its name, and a cache on the volume that is no folder here."""
    told = {
        "RUNPOD_API_KEY": "{{ RUNPOD_SECRET_pods }}",
        "RUNPOD_REST_URL": "{{RUNPOD_SECRET_rest}}",
        "MODELSCOPE_CACHE": "/workspace/elsewhere",
    }
    words = [word for name, value in told.items() for word in ("--env", f"{name}={value}")]
    app(["pod", *GOOD, *words], standalone_mode=False)
    (pod,) = api.pods.values()
    assert pod["env"] == {"SPEECH_VOLUME": "/workspace", "SPEECH_PROJECTS": "demo", **told}


@pytest.mark.parametrize("key", ["", "  ", "two words", "schlüssel"])
def test_without_a_key_nothing_is_asked(api, monkeypatch, key):
    monkeypatch.setenv("RUNPOD_API_KEY", key)
    with pytest.raises(PodError, match="RUNPOD_API_KEY is not set, or holds characters"):
        app(["pod", *GOOD], standalone_mode=False)
    assert api.calls == []


def test_a_wrong_key_is_not_repeated(api, monkeypatch):
    monkeypatch.setenv("RUNPOD_API_KEY", "rpa_SECRET")
    with pytest.raises(ApiError, match=r"key … is not known\. No pod was created") as caught:
        app(["pod", *GOOD], standalone_mode=False)
    assert "rpa_SECRET" not in str(caught.value)


@pytest.mark.parametrize(
    "address",
    [
        "http://localhost.example.com/v1",
        "http://127.0.0.1:9@example.com/?hf_secret",
        "https://me:hf_secret@example.com/v1",
        "https://example.com/v1?token=hf_secret",
    ],
)
def test_the_key_goes_nowhere_in_clear_text(api, monkeypatch, address):
    """Nor is an address used, or repeated, that has a secret of its own."""
    monkeypatch.setenv("RUNPOD_REST_URL", address)
    with pytest.raises(PodError, match="it begins with https://") as caught:
        app(["pod", *GOOD], standalone_mode=False)
    assert "hf_secret" not in str(caught.value)


def test_no_start_command_is_broken_by_its_source():
    command = start_command("https://x/$(touch it)'; exit 0 #.tar.gz")
    done = subprocess.run(["sh", "-n", "-c", command], check=False, capture_output=True)
    assert done.returncode == 0
    assert "'\"'\"'" in command
    assert os.linesep in command
