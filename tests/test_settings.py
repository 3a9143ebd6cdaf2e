from pathlib import Path

import pytest

from worker import s3_account
from worker.errors import StartupError
from worker.runpod_app import start_service
from worker.settings import Settings


def test_defaults():
    settings = Settings.from_environment({"SPEECH_VOLUME": "/v", "SPEECH_PROJECT": ""})
    assert settings.layout.models == Path("/v/models")
    assert settings.project is None
    assert settings.num_threads >= 1


def test_modelscope_cache_beats_the_volume():
    settings = Settings.from_environment({"SPEECH_VOLUME": "/v", "MODELSCOPE_CACHE": "/m"})
    assert settings.layout.models == Path("/m")


def test_networks_are_a_list():
    settings = Settings.from_environment(
        {"SPEECH_VOLUME": "/v", "SPEECH_ALLOWED_NETWORKS": "10.0.0.0/8, ::1/128"}
    )
    assert [str(n) for n in settings.allowed_networks] == ["10.0.0.0/8", "::1/128"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SPEECH_DEVICE", "gpu"),
        ("SPEECH_DEVICE", "cuda:x"),
        ("SPEECH_THREADS", "many"),
        ("SPEECH_THREADS", "-1"),
        ("SPEECH_ALLOWED_NETWORKS", "10.0.0.1/8"),
        ("SPEECH_MAX_AUDIO_MB", "0"),
        ("SPEECH_MAX_AUDIO_S", "inf"),
        ("SPEECH_FETCH_TIMEOUT_S", "nan"),
        ("SPEECH_LOG_LEVEL", "LOUD"),
        ("SPEECH_PROJECT", "../demo"),
        ("SPEECH_OUTPUT", "s3://bucket"),
        ("SPEECH_OUTPUT", "s3://a bucket/"),
        ("SPEECH_OUTPUT", "s3://bucket/no-slash"),
        ("SPEECH_OUTPUT", f"s3://bucket/{'x' * 700}/"),
    ],
)
def test_a_wrong_value_is_named(name, value):
    with pytest.raises(StartupError, match=name):
        Settings.from_environment({"SPEECH_VOLUME": "/v", name: value})


def test_an_output_without_keys_is_told_at_start(make_settings):
    keys = {"AWS_ACCESS_KEY_ID": "A", "AWS_SECRET_ACCESS_KEY": "S"}
    s3_account.check(make_settings(SPEECH_OUTPUT="s3://bucket/", **keys))
    with pytest.raises(StartupError, match=r"SPEECH_OUTPUT=s3://bucket/ has no keys"):
        start_service(make_settings(SPEECH_OUTPUT="s3://bucket/"), "demo")
