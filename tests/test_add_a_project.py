"""docs/add-a-project.md, followed to the letter in a checkout of its own."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from tests.wheels import ROOT

TEXT = (ROOT / "docs" / "add-a-project.md").read_text()
FILES = re.findall(r"^`(projects/[^`]+)`\n\n```yaml\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
COMMANDS = re.findall(r"^\$ python (.*)$", TEXT, re.MULTILINE)


def run(checkout: Path, command: str) -> str:
    done = subprocess.run(
        [sys.executable, *shlex.split(command)],
        cwd=checkout,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, (command, done.stderr)
    return done.stdout


def test_a_newcomer_gets_through(tmp_path):
    checkout = tmp_path / "checkout"
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("volume_bootstrap", "projects"):
        shutil.copytree(ROOT / name, checkout / name, ignore=ignored)
    for name in ("requirements.lock", "tests/data/sample.wav"):
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, checkout / name)

    assert [Path(path).name for path, _ in FILES] == [
        "project.yaml",
        "dependencies.yaml",
        "models.yaml",
    ]
    for path, content in FILES:
        (checkout / path).parent.mkdir(exist_ok=True)
        (checkout / path).write_text(content)

    plan, setup, status, verify = COMMANDS
    assert " + jaconv 0.5.0\n" in run(checkout, plan)
    assert "set up in" in run(checkout, setup)
    assert "my-project" in run(checkout, status)
    assert run(checkout, verify) == "everything is as it was provisioned\n"
    link = checkout / "volume/models/hub/iic/speech_fsmn_vad_zh-cn-16k-common-pytorch"
    assert (link / "model.pt").stat().st_size > 1_000_000
    assert (checkout / "volume/samples/sample.wav").is_file()
    assert run(checkout, setup).startswith(f"my-project on {checkout / 'volume'}: nothing to do\n")
