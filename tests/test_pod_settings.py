"""What a pod is told by its environment: all that is wrong is named at once."""

import pytest

from volume_bootstrap.errors import PodError
from volume_bootstrap.pod_settings import PodSettings


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
        "SPEECH_MIRROR='pypi' is not allowed",
        "RUNPOD_API_KEY is not allowed: holds characters that no key has.",
        "RUNPOD_REST_URL='http://example.com' is not allowed: it begins with https://",
        "RUNPOD_POD_ID is not set, which --terminate needs.",
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
        ({"SPEECH_MIRROR": "ftp://me:secret@x/"}, "SPEECH_MIRROR='ftp://x/' is not allowed"),
    ],
)
def test_one_thing_that_is_wrong(tmp_path, told, message):
    good = {"SPEECH_PROJECTS": "demo", "SPEECH_VOLUME": str(tmp_path)} if told else told
    with pytest.raises(PodError, match=message):
        PodSettings.from_environment({**good, **told}, terminate=False)


def test_an_empty_variable_counts_as_unset(tmp_path):
    told = {"SPEECH_PROJECTS": "demo,,demo-funasr ", "SPEECH_VOLUME": str(tmp_path)}
    settings = PodSettings.from_environment({**told, "SPEECH_VARIANT": " "}, terminate=False)
    assert settings.projects == ("demo", "demo-funasr")
    assert settings.variant is None
