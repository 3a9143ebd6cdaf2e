"""The client and the real worker with its models: on the platform, and as the SDK's local API."""

import json
import shutil
import socket
import subprocess
import sys
import wave
from collections.abc import Iterator
from pathlib import Path

import pytest

from client import Client
from tests import s3_server
from tests.client.processes import TO_LOOPBACK, environment, names_of_jobs, run
from tests.platform import Platform, WorkerProcess, until
from tests.server_process import ROOT

BUCKET_SECRET = "a-secret-of-the-bucket"


@pytest.fixture(scope="module")
def keys() -> Iterator[dict[str, str]]:
    """Keys of an S3 that has the bucket ``bucket``."""
    with s3_server.moto() as url:
        yield {
            "BUCKET_ENDPOINT_URL": url,
            "BUCKET_ACCESS_KEY_ID": "key",
            "BUCKET_SECRET_ACCESS_KEY": BUCKET_SECRET,
        }


@pytest.fixture(scope="module")
def served(tmp_path_factory, volume, keys) -> Iterator[Platform]:
    """A platform of its own with a real worker."""
    folder = tmp_path_factory.mktemp("worker")
    with Platform() as platform, WorkerProcess(platform, folder, volume.root, **keys) as worker:
        worker.ready()
        yield platform


@pytest.fixture
def large(tmp_path, data) -> Path:
    """The sample conversation and then silence, too large for a call."""
    path = tmp_path / "calls" / "große Runde.wav"
    path.parent.mkdir()
    with wave.open(str(data / "sample.wav")) as sample, wave.open(str(path), "wb") as file:
        file.setparams(sample.getparams())
        file.writeframes(sample.readframes(sample.getnframes()))
        file.writeframes(bytes(7_000_000))
    return path


def test_a_folder_goes_through_the_platform_to_a_real_worker(served, data, tmp_path):
    folder, out = tmp_path / "calls", tmp_path / "out"
    (folder / "sub").mkdir(parents=True)
    shutil.copy(data / "sample.wav", folder / "two voices.wav")
    shutil.copy(data / "jfk.flac", folder / "sub")
    (folder / "no.mp3").write_text("no audio")
    options = ["--recursive", "--formats", "json,srt,rttm", "--num-speakers", "2"]
    done = run("submit", folder, "--out", out, *TO_LOOPBACK, *options, env=environment(served))
    assert done.returncode == 1, done.stderr
    assert "\nno.mp3: UNSUPPORTED_AUDIO: " in done.stdout
    assert "2 done, 1 failed" in done.stdout
    whole = json.loads((out / "two voices.wav.json").read_text())
    assert len(whole["speakers"]) == 2
    rttm = (out / "two voices.wav.rttm").read_text().splitlines()
    assert len(rttm) == len(whole["turns"]) > 4
    assert rttm[0].startswith("SPEAKER two_voices 1 ")
    assert "New Jersey" in (out / "two voices.wav.srt").read_text()
    assert "country" in (out / "sub/jfk.flac.srt").read_text()
    assert names_of_jobs(served) == ["jfk", "no", "two voices"]


@pytest.mark.parametrize("sends_keys", [False, True])
def test_a_large_file_goes_by_a_bucket_and_its_result_comes_by_links(
    served, keys, large, tmp_path, sends_keys
):
    store = s3_server.client_of(keys["BUCKET_ENDPOINT_URL"])
    out = tmp_path / "out"
    prefix = f"s3://bucket/{sends_keys}"
    options = ["--s3", prefix, "--option", f"output={prefix}/results/", "--formats", "txt,rttm"]
    options += ["--send-keys"] if sends_keys else []
    arguments = ["submit", large, "--out", out, "--task", "diarization", *TO_LOOPBACK, *options]
    for _ in range(2):
        done = run(*arguments, env=environment(served, **keys))
        assert done.returncode == 0, done.stderr + done.stdout
        (out / "große Runde.wav.txt").unlink()
    assert BUCKET_SECRET not in done.stderr + done.stdout
    assert (out / "große Runde.wav.rttm").read_text().startswith("SPEAKER große_Runde 1 ")
    listed = store.list_objects_v2(Bucket="bucket", Prefix=f"{sends_keys}/")["Contents"]
    uploads = [entry for entry in listed if "/results/" not in entry["Key"]]
    assert [entry["Size"] for entry in uploads] == [large.stat().st_size]
    assert uploads[0]["Key"].endswith("/gro_e_Runde.wav")
    jobs = [j["payload"] for j in served.jobs() if prefix in str(j["payload"])]
    assert [("s3Config" in job) for job in jobs] == [sends_keys] * 2


def test_a_bucket_that_refuses_is_told(served, keys, large, tmp_path):
    arguments = ["submit", large, "--out", tmp_path / "out", *TO_LOOPBACK]
    none = run(*arguments, "--s3", "s3://bucket/x", env=environment(served))
    assert none.returncode == 1
    assert "there are no keys for S3. Set BUCKET_ENDPOINT_URL" in none.stdout
    wrong = run(*arguments, "--s3", "s3://nobody/x", env=environment(served, **keys))
    assert wrong.returncode == 1
    assert "cannot be written: " in wrong.stdout
    assert "NoSuchBucket" in wrong.stdout


def test_a_library_reads_a_summary_with_its_links(served, keys, data, monkeypatch):
    for name, value in (environment(served) | keys).items():
        monkeypatch.setenv(name, value)
    with Client(endpoint="loopback") as client:
        result = client.transcribe(
            data / "sample.wav", formats=["json", "srt"], output="s3://bucket/library/"
        )
    assert "New Jersey" in result.files["srt"]
    assert len(result.speakers) == 2
    assert result.segments
    assert result.segments[0].words


@pytest.fixture(scope="module")
def api(volume) -> Iterator[str]:
    """The SDK's local API around the real handler."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    own = {"SPEECH_VOLUME": str(volume.root), "SPEECH_PROJECT": "demo", "SPEECH_DEVICE": "cpu"}
    process = subprocess.Popen(
        [sys.executable, "handler.py", "--rp_serve_api", "--rp_api_port", str(port)],
        env=environment(**own),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("localhost", port)) == 0

    try:
        until(listens, 60)
        yield f"http://localhost:{port}"
    finally:
        process.terminate()
        process.wait(30)


def test_a_local_server_does_the_same(api, data, large, tmp_path):
    out = tmp_path / "out"
    (tmp_path / "empty.wav").touch()
    paths = [data / "sample.wav", tmp_path / "empty.wav", large]
    options = ["--task", "diarization", "--formats", "rttm", "--out", out, "--url", api]
    done = run("submit", *paths, *options, env=environment())
    assert done.returncode == 1, done.stderr
    assert "2 done, 1 failed" in done.stdout
    assert (out / "sample.wav.rttm").read_text().startswith("SPEAKER sample 1 ")
    again = run("submit", *paths, *options, env=environment())
    assert "2 done before, 1 failed" in again.stdout


def test_a_local_job_whose_client_was_killed_is_begun_again(api, data, tmp_path):
    out = tmp_path / "out"
    arguments = ["submit", data / "sample.wav", "--task", "diarization", "--out", out, "--url", api]
    journal = out / ".speech-client.jsonl"
    command = [sys.executable, "-m", "client", *map(str, arguments)]
    with subprocess.Popen(command, env=environment(), stderr=subprocess.DEVNULL) as client:
        until(lambda: journal.exists() and '"submitted"' in journal.read_text())
        client.kill()
    done = run(*arguments, env=environment())
    assert done.returncode == 0, done.stdout + done.stderr
    assert (out / "sample.wav.json").exists()


def test_health_is_asked_of_a_worker(api, served):
    for where in (["--url", api], TO_LOOPBACK):
        done = run("health", *where, env=environment(served))
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["task"] == "health"


def test_a_server_that_is_not_there(tmp_path, data, monkeypatch):
    monkeypatch.setattr("client.platform.FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr("client.platform.LONGEST_PAUSE_S", 0.01)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    with Client(url=url) as client, pytest.raises(Exception, match="no connection") as error:
        client.health()
    assert "in 8 tries" in str(error.value)
