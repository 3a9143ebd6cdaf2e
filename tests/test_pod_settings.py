"""What a pod is told by its environment: all that is wrong is named at once."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_handler import environment
from volume_bootstrap.errors import PodError
from volume_bootstrap.pod import settings
from volume_bootstrap.pod.settings import PodSettings

ROOT = Path(__file__).resolve().parent.parent


def test_all_that_is_wrong_is_named_before_anything_is_done(tmp_path):
    told = {
        "SPEECH_PROJECTS": "demo, singing", "SPEECH_VARIANT": "cuda", "SPEECH_MIRROR": "pypi",
        "RUNPOD_API_KEY": "rpa_SECRET and more", "RUNPOD_REST_URL": "http://example.com",
        "SPEECH_VOLUME": str(tmp_path), "MODELSCOPE_CACHE": "/root/models",
    }  # fmt: skip
    with pytest.raises(PodError) as caught:
        PodSettings.from_environment(told, terminate=True)
    message = str(caught.value)
    for sentence in (
        "'singing' is not a project",
        "demo has no variant 'cuda'",
        "SPEECH_MIRROR is not allowed: it begins with https:// or http://",
        "RUNPOD_API_KEY is not allowed: holds characters that no key has.",
        "RUNPOD_REST_URL is not allowed: it begins with https://",
        "RUNPOD_POD_ID is not set, which --terminate needs.",
        "RUNPOD_VOLUME_ID is not set, which --terminate needs.",
        f"{tmp_path} is on the pod's own disk and would go with it",
        f"MODELSCOPE_CACHE='/root/models' is not on the volume {tmp_path}",
    ):
        assert sentence in message
    assert "rpa_SECRET" not in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({}, "SPEECH_PROJECTS names no project; give one or more of these"),
        ({"SPEECH_PROJECTS": " , "}, "SPEECH_PROJECTS names no project"),
        ({"SPEECH_VOLUME": __file__}, r"test_pod_settings\.py' is not allowed: is no folder"),
        ({"RUNPOD_POD_ID": "../x"}, r"RUNPOD_POD_ID='\.\./x' is not allowed"),
        ({"SPEECH_MIRROR": "ftp://me:secret@x/"}, "SPEECH_MIRROR is not allowed: it begins"),
        ({"SPEECH_MIRROR": "ftp://x/?secret"}, "SPEECH_MIRROR is not allowed: it begins"),
        ({"RUNPOD_REST_URL": "https://me:secret@x/"}, "RUNPOD_REST_URL is not allowed: it beg"),
        ({"RUNPOD_REST_URL": "https://x/?secret"}, "RUNPOD_REST_URL is not allowed: it begins"),
    ],
)
def test_one_thing_that_is_wrong(tmp_path, told, message):
    good = {"SPEECH_PROJECTS": "demo", "SPEECH_VOLUME": str(tmp_path)} if told else told
    with pytest.raises(PodError, match=message) as caught:
        PodSettings.from_environment({**good, **told}, terminate=False)
    assert "secret" not in str(caught.value)


def test_an_empty_variable_counts_as_unset(tmp_path):
    told = {"SPEECH_PROJECTS": "demo,,demo-funasr ", "SPEECH_VOLUME": str(tmp_path)}
    read = PodSettings.from_environment({**told, "SPEECH_VARIANT": " "}, terminate=False)
    assert read.projects == ("demo", "demo-funasr")
    assert read.variant is None


RUNPODS = {"RUNPOD_POD_ID": "pod9", "RUNPOD_API_KEY": "rpa_SECRET", "RUNPOD_VOLUME_ID": "vol1"}


def test_a_folder_beside_the_network_volume_ends_no_pod(tmp_path):
    told = {"SPEECH_PROJECTS": "demo", "SPEECH_VOLUME": str(tmp_path), **RUNPODS}
    assert PodSettings.from_environment(told, terminate=False).volume_id == "vol1"
    with pytest.raises(PodError, match="is on the pod's own disk and would go with it"):
        PodSettings.from_environment(told, terminate=True)


@pytest.mark.parametrize("missing", RUNPODS)
def test_ending_a_pod_needs_all_that_runpod_sets(missing):
    """On a disk of its own, as a volume is: it is only looked at."""
    told = {"SPEECH_PROJECTS": "demo", "SPEECH_VOLUME": "/dev/shm", **RUNPODS}
    assert PodSettings.from_environment(told, terminate=True).pod_id == "pod9"
    del told[missing]
    with pytest.raises(PodError) as caught:
        PodSettings.from_environment(told, terminate=True)
    assert f"\n  {missing} is not set, which --terminate needs. RunPod" in str(caught.value)
    assert "own disk" not in str(caught.value)


def test_a_volume_that_is_not_named_is_told_once(tmp_path, monkeypatch):
    """As where nothing is mounted."""
    monkeypatch.setattr(settings, "MOUNTS", (tmp_path / "one", tmp_path / "other"))
    told = {"SPEECH_PROJECTS": "demo", "MODELSCOPE_CACHE": "/root/models", **RUNPODS}
    with pytest.raises(PodError) as caught:
        PodSettings.from_environment(told, terminate=True)
    (line,) = str(caught.value).splitlines()[1:-1]
    assert line.startswith("  SPEECH_VOLUME is not set, and neither ")


@pytest.mark.parametrize("cache", ["{}/../models", "{}/link"])
def test_models_that_only_seem_to_be_on_the_volume(tmp_path, cache):
    volume = tmp_path / "volume"
    volume.mkdir()
    (volume / "link").symlink_to(tmp_path)
    named = cache.format(volume)
    told = {"SPEECH_PROJECTS": "demo", "SPEECH_VOLUME": str(volume), "MODELSCOPE_CACHE": named}
    with pytest.raises(PodError, match=r"MODELSCOPE_CACHE=.* is not on the volume"):
        PodSettings.from_environment({**told, **RUNPODS}, terminate=True)


def test_no_program_that_is_started_sees_the_key(tmp_path):
    """The volume takes no lock: the run ends right after the settings were read."""
    (tmp_path / ".metadata").write_text("")
    script = (
        "import os\nfrom volume_bootstrap.cli.app import app\n"
        "try:\n    app(['pod'], standalone_mode=False)\n"
        "finally:\n    print(sorted(n for n in os.environ if n.startswith('RUNPOD_')))"
    )
    told = environment(tmp_path, SPEECH_PROJECTS="demo", **RUNPODS)
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=told,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout == "['RUNPOD_POD_ID', 'RUNPOD_VOLUME_ID']\n"
    assert "PodError" in done.stderr
