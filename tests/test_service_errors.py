"""What the real service answers where it cannot do a job."""

import dataclasses
import json

import numpy as np
import pytest

from tests import media
from tests.service_jobs import SAMPLE, data_uri, diarize, wav
from volume_bootstrap.layout import dump, read_manifest
from worker.errors import FetchFailedError
from worker.runpod_app import start_service
from worker.telemetry import set_up_logging

pytestmark = pytest.mark.usefixtures("temporary_folder")


def test_errors_are_one_string_with_a_code(service, server):
    hidden = "volume://../../etc/passwd"
    not_base64 = "data:audio/wav;base64,UklGRgABC"
    cases = {
        "INVALID_INPUT": ["ftp://example.com/a.wav", "s3://bucket", "a.wav", not_base64],
        "FORBIDDEN_URL": [
            "http://169.254.169.254/latest/meta-data/",
            "http://2130706434/",
            "http://0x7f.0.0.2/",
            "http://[::ffff:10.0.0.1]/",
            "http://[::1]/",
            "http://user:pass@example.com/a.wav",
            server.url("/redirect?to=http://127.0.0.2/a.wav"),
            hidden,
            "volume://.metadata/demo-py3.11.json",
        ],
        "FETCH_FAILED": [
            server.url("/missing.wav"),
            server.url("/html"),
            "http://127.0.0.1:9/a.wav",
            "volume://samples/none.wav",
        ],
        "UNSUPPORTED_AUDIO": [
            "data:audio/wav;base64,",
            data_uri(b"This is a text file.\n" * 100),
        ],
    }
    for code, sources in cases.items():
        for source in sources:
            reply = diarize(service, source)
            assert list(reply) == ["error"], source
            assert reply["error"].startswith(f"{code}: "), (source, reply)
            assert "Traceback" not in reply["error"]


def test_a_link_out_of_the_volume_is_refused(make_settings, own_volume, tmp_path):
    secret = tmp_path / "secret.wav"
    secret.write_bytes(b"secret")
    (own_volume.root / "samples" / "link.wav").symlink_to(secret)
    service = start_service(make_settings(own_volume), "demo")
    assert diarize(service, "volume://samples/link.wav")["error"].startswith("FORBIDDEN_URL: ")


def test_limits(make_settings):
    service = start_service(make_settings(SPEECH_MAX_AUDIO_S="10"), "demo")
    assert diarize(service, SAMPLE)["error"].startswith("AUDIO_TOO_LONG: ")
    long = np.zeros(16_000 * 60)
    service = start_service(make_settings(SPEECH_MAX_AUDIO_MB="1"), "demo")
    assert diarize(service, wav(long))["error"].startswith("AUDIO_TOO_LARGE: ")


def test_a_damaged_model_says_how_to_repair_it_before_anything_is_fetched(
    make_settings, own_volume, server
):
    record = next((own_volume.models / "hub/iic").glob("*campplus*/model.onnx"))
    content = bytearray(record.read_bytes())
    content[len(content) // 2] ^= 1
    record.write_bytes(content)
    service = start_service(make_settings(own_volume), "demo")
    before = server.count("/files/sample.wav")
    error = diarize(service, server.url("/files/sample.wav"))["error"]
    assert error.startswith("MODEL_NOT_PROVISIONED: ")
    assert f"python -m volume_bootstrap setup --project demo --volume {own_volume.root}" in error
    assert server.count("/files/sample.wav") == before

    record.unlink()
    assert diarize(service, SAMPLE)["error"].startswith("MODEL_NOT_PROVISIONED: ")
    # A repaired volume serves the next job of the same worker.
    content[len(content) // 2] ^= 1
    record.write_bytes(content)
    assert "turns" in diarize(service, SAMPLE)


@pytest.mark.parametrize(
    "change",
    [
        {"defaults": {}},
        {"defaults": None},
        {"defaults": {"diarization": {"models": {"vad": "fsmn-vad", "embedding": "gone"}}}},
        {"defaults": {"diarization": {"models": {}, "colour": 1}}},
        {"models": ()},
        "{",
        "[" * 100_000,
    ],
    ids=str,
)
def test_a_damaged_manifest_is_said(make_settings, own_volume, change):
    path = own_volume.manifest("demo")
    own_volume.manifest_copy("demo").unlink()
    manifest = read_manifest(path)
    text = change if isinstance(change, str) else dump(dataclasses.replace(manifest, **change))
    path.write_text(text)
    service = start_service(make_settings(own_volume), "demo")
    error = diarize(service, SAMPLE)["error"]
    assert error.startswith("MODEL_NOT_PROVISIONED: ")
    assert "python -m volume_bootstrap setup" in error
    path.write_text(dump(manifest))
    assert "turns" in diarize(service, SAMPLE)


def test_a_damaged_manifest_is_served_from_its_copy(make_settings, own_volume, caplog):
    own_volume.manifest("demo").write_text("{")
    service = start_service(make_settings(own_volume), "demo")
    assert "turns" in diarize(service, SAMPLE)
    assert "json cannot be read" in caplog.text
    assert "Its copy serves." in caplog.text


def test_an_unknown_model_lists_those_there_are(service):
    error = diarize(service, SAMPLE, model="xvector")["error"]
    assert error.startswith("INVALID_INPUT: ")
    assert "campplus-zh-en" in error


def test_a_shift_longer_than_the_window_is_refused(service):
    error = diarize(service, SAMPLE, diarization={"window_s": 1, "shift_s": 1.5})["error"]
    assert error.startswith("INVALID_INPUT: diarization.shift_s")


@pytest.mark.usefixtures("own_logging")
def test_a_bug_is_an_internal_error_whose_log_line_has_the_reference(service, monkeypatch, capsys):
    monkeypatch.setattr(service, "_planner", None)
    set_up_logging("WARNING")
    error = diarize(service, SAMPLE)["error"]
    assert error.startswith("INTERNAL: ")
    assert "NoneType" not in error
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    (line,) = [line for line in lines if "traceback" in line]
    assert line["message"].removeprefix("internal error ") in error
    assert "AttributeError" in line["traceback"]


def test_an_error_that_does_not_serialise_is_answered(service, monkeypatch):
    """Whoever posts it says so; the service never raises."""

    def fail(*_: object) -> None:
        raise FetchFailedError("\ud800")

    monkeypatch.setattr(service, "_work", fail)
    reply = service.answer({"task": "diarization", "audio": SAMPLE})
    assert reply == {"error": "FETCH_FAILED: \ud800"}


def test_a_video_without_sound_is_refused(service, tmp_path):
    reply = diarize(service, data_uri(media.silent_video(tmp_path, 1).read_bytes()))
    assert reply["error"].startswith("UNSUPPORTED_AUDIO: ")
