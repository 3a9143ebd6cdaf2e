"""``make demo``'s last step, as it is run there."""

import base64
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_handler import environment
from volume_bootstrap.layout import Volume

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = "volume://samples/sample.wav"
START = {"url": SAMPLE, "id": "call 7/a", "duration": 12}
BOTH = {"url": SAMPLE, "duration": 21.5}
ANN = {"name": "Ann Lee", "audio": {"url": SAMPLE, "offset": 21.8, "duration": 6.1}}


def demo(volume: Volume, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the demo where ``test_input.json`` lies in `folder`."""
    return subprocess.run(
        [sys.executable, "-m", "scripts.demo"],
        env=environment(volume.root, PYTHONPATH=str(ROOT), RUNPOD_LOG_LEVEL="ERROR"),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_the_demo_prints_a_transcript_and_leaves_files(volume, tmp_path):
    (tmp_path / "test_input.json").symlink_to(ROOT / "test_input.json")
    done = demo(volume, tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "out" / "sample.json").read_text())
    rows = re.findall(r"^ *([\d.]+) - *([\d.]+)  (SPEAKER_\d\d)  (.+)$", done.stdout, re.MULTILINE)
    assert [(float(s), float(e), who, text) for s, e, who, text in rows] == [
        (round(s["start"], 2), round(s["end"], 2), s["speaker"], s["text"])
        for s in result["segments"]
    ]
    assert {who for _, _, who, _ in rows} == {"SPEAKER_00", "SPEAKER_01"}
    rttm = (tmp_path / "out" / "sample.rttm").read_text().splitlines()
    assert len(rttm) == len(result["turns"]) > 4
    assert all(re.fullmatch(r"SPEAKER sample 1 \S+ \S+ <NA> <NA> \S+ <NA> <NA>", r) for r in rttm)
    for name in ("txt", "srt", "vtt", "textgrid"):
        assert "New Jersey" in (tmp_path / "out" / f"sample.{name}").read_text()


def written(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "out").iterdir())


@pytest.mark.parametrize(
    ("job", "name", "shown", "hidden"),
    [
        ({"task": "diarization", "audio": START}, "call_7_a", "█", "New Jersey"),
        ({"task": "asr", "audio": START}, "call_7_a", " -", "SPEAKER_"),
        ({"audio": START, "timestamps": "none"}, "call_7_a", "█", "  SPEAKER_00  "),
        ({"audio": BOTH, "speakers": [ANN]}, "sample", "  Ann Lee  ", "SPEAKER_00"),
        ({"task": "diarization", "audio": BOTH, "speakers": [ANN]}, "sample", "Ann Lee   ", "_00"),
        ({"task": "asr", "audio": SAMPLE, "timestamps": "none"}, "sample", "New Jersey", "SPEAKER"),
    ],
)
def test_every_task_is_shown(volume, tmp_path, job, name, shown, hidden):
    (tmp_path / "test_input.json").write_text(json.dumps({"input": job}))
    done = demo(volume, tmp_path)
    assert done.returncode == 0, done.stderr
    assert written(tmp_path) == [f"{name}.json"]
    result = json.loads((tmp_path / "out" / f"{name}.json").read_text())
    assert shown in done.stdout
    assert hidden not in done.stdout
    if "text" in result and "segments" not in result:
        assert result["text"] in done.stdout
    assert re.search(r"^\d+\.\d s of audio in ", done.stdout, re.MULTILINE)


def test_one_of_a_list_that_fails_is_told_and_the_others_are_kept(volume, tmp_path):
    inline = "data:audio/wav;base64," + base64.b64encode(b"no audio" * 99).decode()
    job = {"task": "asr", "audio": [START, inline, START], "formats": ["srt"]}
    (tmp_path / "test_input.json").write_text(json.dumps({"input": job}))
    done = demo(volume, tmp_path)
    assert done.returncode == 1
    first, second, third = "1-call_7_a", "2-audio", "3-call_7_a"
    kept = [f"{name}.{suffix}" for name in (first, third) for suffix in ("json", "srt")]
    assert written(tmp_path) == sorted([*kept, f"{second}.json"])
    error = json.loads((tmp_path / "out" / f"{second}.json").read_text())["error"]
    assert error.startswith("UNSUPPORTED_AUDIO: ")
    assert f"{second}: {error}\n" in done.stdout
    assert "Traceback" not in done.stderr + done.stdout


@pytest.mark.parametrize("job", [{"task": "asr"}, {"audio": "volume://nothing.wav"}])
def test_a_job_that_fails_is_told(volume, tmp_path, job):
    (tmp_path / "test_input.json").write_text(json.dumps({"input": job}))
    done = demo(volume, tmp_path)
    assert done.returncode == 1
    assert re.search(r"INVALID_INPUT: audio: required|FETCH_FAILED: ", done.stdout)
    assert "Traceback" not in done.stderr + done.stdout
