"""``make demo``'s last step, as it is run there."""

import json
import re
import subprocess
import sys
from pathlib import Path

from tests.test_handler import environment

ROOT = Path(__file__).resolve().parent.parent


def test_the_demo_prints_a_transcript_and_leaves_files(volume, tmp_path):
    (tmp_path / "test_input.json").symlink_to(ROOT / "test_input.json")
    done = subprocess.run(
        [sys.executable, "-m", "scripts.demo"],
        env=environment(volume.root, PYTHONPATH=str(ROOT), RUNPOD_LOG_LEVEL="ERROR"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
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
