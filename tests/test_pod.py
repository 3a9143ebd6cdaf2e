"""``python -m volume_bootstrap pod``, as a pod runs it, on the demo's volume."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import worker
from tests.faults.namespaces import read_only, small_disk
from tests.runpod_api import KEY, RunPodApi
from tests.test_handler import environment
from volume_bootstrap import __version__
from volume_bootstrap.layout import Volume, running_python
from volume_bootstrap.lock import writing
from volume_bootstrap.pod import filling, smoke
from volume_bootstrap.pod.creation import start_command
from volume_bootstrap.pod.report import Report
from volume_bootstrap.pod.settings import PodSettings
from volume_bootstrap.project import read_project

ROOT = Path(__file__).resolve().parent.parent
POD = [sys.executable, "-m", "volume_bootstrap", "pod"]
OWN_ROOT = """\
mount -t tmpfs none "$1"
for each in /*; do
    if [ -L "$each" ]; then cp -P "$each" "$1$each"
    elif [ -d "$each" ]; then mkdir "$1$each" && mount --rbind "$each" "$1$each"; fi
done
root="$1"; shift
exec chroot "$root" env --chdir="$PWD" "$@"
"""
"""Shell: run a command as a container does, on a root file system that holds no other folder."""


@pytest.fixture(scope="module")
def process() -> Iterator[RunPodApi]:
    with RunPodApi() as running:
        yield running


@pytest.fixture
def api(process: RunPodApi) -> RunPodApi:
    process.reset()
    process.add("pod9")
    return process


def variables(volume: Volume, api: RunPodApi, **more: str) -> dict[str, str]:
    """What RunPod and its user say to a pod."""
    told = environment(
        volume.root, SPEECH_PROJECTS="demo", RUNPOD_POD_ID="pod9", RUNPOD_VOLUME_ID="vol1",
        RUNPOD_API_KEY=KEY, RUNPOD_REST_URL=api.base, **more,
    )  # fmt: skip
    del told["SPEECH_PROJECT"]
    return told


@pytest.fixture
def ending(tmp_path) -> list[str]:
    """The words of `pod --terminate`, where the volume is no folder of the root's own disk."""
    root = tmp_path / "root"
    root.mkdir()
    namespace = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-e", "-c", OWN_ROOT]
    return [*namespace, "sh", str(root), *POD, "--terminate"]


def run(told: dict[str, str], words: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words, env=told, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )


def reported(volume: Volume) -> dict:
    text = (volume.metadata / "pod-report.txt").read_text()
    report = json.loads((volume.metadata / "pod-report.json").read_text())
    assert KEY not in text + json.dumps(report)
    assert report["volume"] == str(volume.root)
    return report


def test_a_volume_that_is_ready_ends_no_pod_that_runpod_keeps(own_volume, api, ending):
    """The report is there before, and stays as it is."""
    api.fault("DELETE", status=401, words=f"key {KEY} may not")
    done = run(variables(own_volume, api), ending)
    assert done.returncode == 1
    assert KEY not in done.stdout + done.stderr
    assert "error: RunPod refuses the key in RUNPOD_API_KEY (401)" in done.stderr
    assert done.stderr.splitlines()[-1] == (
        "The volume is ready, but pod pod9 still costs money: end it at "
        "https://console.runpod.io/pods or with: runpodctl remove pod pod9"
    )
    assert list(api.pods) == ["pod9"]
    report = reported(own_volume)
    assert (report["outcome"], report["error"], report["version"]) == ("ready", None, __version__)
    (filled,) = report["filled"]
    active = own_volume.pointer("demo").resolve().name
    assert (filled["name"], filled["generation"], filled["changed"]) == ("demo", active, False)
    manifest = json.loads(own_volume.manifest("demo").read_text())
    digests = {m["alias"]: {f["path"]: f["sha256"] for f in m["files"]} for m in manifest["models"]}
    assert {model["alias"]: model["sha256"] for model in filled["models"]} == digests
    (tried,) = report["tried"]
    assert (tried["task"], tried["num_speakers"]) == ("transcript", 2)
    assert "New Jersey" in tried["text"]
    steps = ["set up demo", "verify every file", "try a job of demo"]
    assert [step["name"] for step in report["steps"]] == steps
    assert done.stdout == (own_volume.metadata / "pod-report.txt").read_text()
    assert done.stdout.endswith("The volume is ready.\n")


def test_a_closed_terminal_ends_nothing_but_the_telling(own_volume, api, ending):
    api.fault("DELETE", status=500)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        ending,
        env=variables(own_volume, api),
        cwd=ROOT,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    shown = b""
    while b"verify every file" not in shown:
        shown += os.read(ours, 4096)
    os.close(ours)
    os.killpg(process.pid, signal.SIGHUP)
    assert process.wait(120) == 0
    assert reported(own_volume)["outcome"] == "ready"
    assert api.pods == {}
    assert [call["status"] for call in api.calls] == [500, 204]


def test_a_failure_leaves_the_pod_and_says_why(own_volume, api, ending):
    done = run(variables(own_volume, api, SPEECH_DEVICE="cuda"), ending)
    assert done.returncode == 1
    assert "error: Project demo serves no job: " in done.stderr
    assert done.stderr.splitlines()[-1].startswith("Pod pod9 stays up, and costs money. Mend that")
    report = reported(own_volume)
    assert (report["outcome"], report["doing"]) == ("failed", "try a job of demo")
    assert "SPEECH_DEVICE=cuda" in report["error"]
    assert [step["name"] for step in report["steps"]] == ["set up demo", "verify every file"]
    assert api.calls == []
    assert list(api.pods) == ["pod9"]
    assert not (own_volume.metadata / "lock").exists()


def test_damage_is_found_before_a_job_is_tried(own_volume, api, ending):
    """Of one size and time with what it was, so that the set-up takes it for whole."""
    (model,) = own_volume.models.glob("hub/iic/speech_fsmn_vad*/am.mvn")
    stat, content = model.stat(), model.read_bytes()
    model.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    os.utime(model, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    done = run(variables(own_volume, api), ending)
    assert done.returncode == 1
    assert re.search(r"Damaged files: 1\.\n  .*am\.mvn: ", done.stderr)
    assert "Damaged files: 1." in reported(own_volume)["error"]
    assert api.calls == []


def is_at_work(process_id: str) -> bool:
    return "python-deps" in Path(f"/proc/{process_id}/maps").read_text()


def test_a_signal_leaves_the_report_unfinished_and_no_process(own_volume, api, ending):
    process = subprocess.Popen(
        ending,
        env=variables(own_volume, api),
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    while "try a job" not in process.stderr.readline():
        assert process.poll() is None
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    # Well on its way: its first library from the volume is there.
    while not (workers := [each for each in children.read_text().split() if is_at_work(each)]):
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 143
    assert not [worker for worker in workers if Path(f"/proc/{worker}").exists()]
    report = reported(own_volume)
    assert (report["outcome"], report["doing"]) == ("unfinished", "try a job of demo")
    assert "Pod pod9 stays up, and costs money." in said
    assert api.calls == []
    assert not (own_volume.metadata / "lock").exists()


def test_who_waits_for_another_pod_says_so_and_leaves_its_report_whole(own_volume, api, ending):
    """The other one is this process, which writes before, meanwhile and to its end."""
    other = Report(own_volume.root, own_volume.python, "pod8", "vol1", ("demo",), None)
    other.close("ready")
    other.write(own_volume)
    half = own_volume.metadata / "pod-report.json.partial"
    half.write_text("{")
    with writing(own_volume):
        process = subprocess.Popen(
            ending, env=variables(own_volume, api), cwd=ROOT, stderr=subprocess.PIPE, text=True
        )
        while "waiting for" not in process.stderr.readline():
            assert process.poll() is None
        report = reported(own_volume)
        assert (report["pod_id"], report["outcome"]) == ("pod9", "unfinished")
        assert report["doing"] == filling.WAITING
        assert f"Now: {filling.WAITING}" in (own_volume.metadata / "pod-report.txt").read_text()
        assert half.read_text() == "{"
        other.write(own_volume)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "Pod pod9 stays up, and costs money." in said
    report = reported(own_volume)
    assert (report["pod_id"], report["outcome"]) == ("pod8", "ready")
    assert [each.name for each in own_volume.metadata.glob("pod-report.*.*")] == [half.name]


def test_a_defect_is_told_as_one_and_the_pods_cost_with_it(
    own_volume, api, tmp_path, monkeypatch, caplog
):
    """Such as a worker, a real process, whose reply is not what it was."""
    (tmp_path / "worker").mkdir()
    (tmp_path / "worker" / "__main__.py").write_text(
        "import pathlib, sys\n"
        "pathlib.Path(sys.argv[sys.argv.index('--out') + 1], 'sample.json').write_text('{}')\n"
    )
    monkeypatch.setattr(smoke, "ROOT", tmp_path)
    told = variables(own_volume, api)
    settings = PodSettings.from_environment(told, terminate=False)
    with pytest.raises(KeyError, match="audio"):
        filling.fill(own_volume, [read_project("demo", running_python())], settings)
    assert "Pod pod9 stays up, and costs money." in caplog.text
    assert reported(own_volume)["error"] == "unexpected KeyError: 'audio'"


def test_a_volume_that_takes_no_report(own_volume, api, ending):
    """Nothing else is on it, and no room."""
    filled = ["sh", "-c", 'head -c 2M /dev/zero > "$0"; exec "$@"', own_volume.metadata / "fill"]
    with small_disk(own_volume.metadata, 1) as words:
        done = run(variables(own_volume, api), [*words, *filled, *ending])
    assert done.returncode == 1
    assert "pod-report.json: No space left on device. Free some room" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("Pod pod9 stays up")
    assert api.calls == []


def test_a_volume_that_is_read_only(own_volume, api, ending):
    with read_only(own_volume.root) as words:
        done = subprocess.run(
            [*words, *ending],
            env=variables(own_volume, api),
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert done.returncode == 1
    assert "pod-report.json: Read-only file system. Free some room" in done.stderr
    assert "or mount it so that it can be written to." in done.stderr
    assert api.calls == []


def test_the_provisioner_is_of_the_workers_release():
    assert __version__ == worker.__version__


def test_the_start_command_fetches_this_repository(tmp_path):
    archive = tmp_path / "speech worker.tar.gz"
    with tarfile.open(archive, "w:gz") as whole:
        whole.add(ROOT / "requirements.txt", "speech-worker-1/requirements.txt")
    fetch, found, rest = start_command(archive.as_uri()).partition("&& python -m venv")
    assert found
    assert rest.endswith("exec sleep infinity")
    done = subprocess.run(
        ["sh", "-c", f"{fetch} && cat requirements.txt"],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ((ROOT / "requirements.txt").read_text(), "")
