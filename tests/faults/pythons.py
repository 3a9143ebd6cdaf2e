"""Pythons of other versions on the volume of this one."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.faults.report import Row, tell
from tests.faults.scene import How, Scene
from tests.faults.verdict import judge, judge_rerun, served
from tests.wheels import ROOT

FITTING = "3.12"
"""Another that the project is for: it gets packages of its own beside."""
UNFIT = "3.13"
"""One that the project is not for."""


def fitting(scene: Scene) -> Row:
    """Fill the volume for another Python: each worker gets its own, neither sees the other's."""
    name = f"Python {FITTING} meets a volume of {_this()}"
    program = find_python(FITTING)
    if program is None:
        return _not_run(name, FITTING)
    tell(name)
    python = _with_provisioner(scene, program, FITTING)
    before = scene.look()
    refused = _start(scene, python)
    problems = []
    if "volume_bootstrap setup" not in refused.get("error", ""):
        problems.append(f"its worker was not told what to do: {refused}")
    scene.offer_next()
    met = scene.run("setup", How(python=python))
    now = scene.look()
    # The other Python's run brings nothing to this one's worker.
    problems += judge(now, before, dict.fromkeys(scene.wanted, ""))
    theirs = _start(scene, python)
    if met.code or set(theirs.get("packages", {}).values()) != {scene.wanted["packages"]}:
        problems.append(f"its own worker gets {theirs} after exit code {met.code}: {met.last_line}")
    problems += judge_rerun(scene, scene.run("setup"), scene.look())
    return Row(name, met.code, refused.get("error", ""), served(now, scene.wanted), problems)


def unfit(scene: Scene) -> Row:
    """Start the provisioner with a Python that the project is not for."""
    name = f"Python {UNFIT}, which the project is not for"
    program = find_python(UNFIT)
    if program is None:
        return _not_run(name, UNFIT)
    tell(name)
    python = _with_provisioner(scene, program, UNFIT)
    before = scene.look()
    scene.offer_next()
    met = scene.run("setup", How(python=python))
    now = scene.look()
    problems = judge(now, before, scene.wanted)
    if met.code != 1 or f"this is {UNFIT}" not in met.log:
        problems.append(f"exit code {met.code}: {met.log[-1500:]}")
    problems += judge_rerun(scene, scene.run("setup"), scene.look())
    return Row(name, met.code, met.last_line, served(now, scene.wanted), problems)


def find_python(version: str) -> str | None:
    """Find an interpreter of a version on PATH or among pyenv's; none where there is none."""
    home = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    candidates = [str(path) for path in home.glob(f"versions/{version}.*/bin/python")]
    if on_path := shutil.which(f"python{version}"):
        candidates.insert(0, on_path)
    for candidate in candidates:
        # One on PATH may be a shim of pyenv's that finds nothing behind it.
        done = subprocess.run([candidate, "-c", ""], capture_output=True, check=False)
        if done.returncode == 0:
            return candidate
    return None


def _not_run(name: str, version: str) -> Row:
    return Row(name, None, "", "", skipped=f"no Python {version} is installed here")


def _with_provisioner(scene: Scene, program: str, version: str) -> str:
    """Make an environment with what the provisioner needs; path of its interpreter."""
    folder = scene.checkout.root / f"python-{version}"
    subprocess.run([program, "-m", "venv", str(folder)], check=True)
    python = str(folder / "bin" / "python")
    needs = ["-r", "requirements-provision.txt", "-c", "requirements.lock"]
    subprocess.run([python, "-m", "pip", "install", "-qq", *needs], cwd=ROOT, check=True)
    return python


def _start(scene: Scene, python: str) -> dict[str, Any]:
    program = [python, "-m", "tests.faults.serving", str(scene.volume)]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def _this() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"
