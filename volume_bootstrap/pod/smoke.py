"""A real job on the volume, through the worker's own code: what was filled is heard to work."""

import importlib.metadata
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from volume_bootstrap.errors import PodError, ToolError
from volume_bootstrap.layout import Volume
from volume_bootstrap.pod.report import Tried
from volume_bootstrap.project import ROOT, Project
from volume_bootstrap.runner import run

IMAGE = ROOT / "requirements.txt"
"""What the worker's image holds beside the volume."""
JOB_LIMIT_S = 30 * 60.0
"""For the one job: a sample of minutes, with models that are read from a slow volume for the first
time. Of a worker that hangs nobody would hear, and the pod would go on costing money."""
TOLD_CHARACTERS = 200
"""Of a transcript, for the report."""


def check_image() -> None:
    """Refuse a Python that the worker cannot run in, before anything is fetched.

    Raises
    ------
    PodError
        It lacks packages of the worker's image, or has other versions of them; or the worker's
        code is not here.
    """
    missing = []
    for line in IMAGE.read_text(encoding="utf-8").split():
        pin = Requirement(line)
        try:
            there = importlib.metadata.version(pin.name)
        except importlib.metadata.PackageNotFoundError:
            missing.append(line)
            continue
        if there not in pin.specifier:
            missing.append(f"{line} (here: {there})")
    if missing:
        raise PodError(
            f"{sys.executable} is not as the worker's image, so no job can be tried here; it "
            f"lacks {', '.join(missing)}. Install: pip install -c requirements.lock -r "
            "requirements.txt -r requirements-provision.txt"
        )
    if not (ROOT / "worker" / "__main__.py").is_file():
        raise PodError(
            f"{ROOT} has no worker/, which runs the job that is tried at the end. Run this from a "
            "whole checkout, or from the image's target `provision`."
        )


def try_job(volume: Volume, project: Project) -> Tried:
    """Run one job on the project's first sample, by the worker, in a process of its own.

    Raises
    ------
    PodError
        The worker does not start on this volume, does not end within `JOB_LIMIT_S`, or found
        nothing in the recording.
    """
    task = "transcript" if "asr" in project.settings.defaults else "diarization"
    sample = Path(project.settings.samples[0])
    audio = f"volume://samples/{sample.name}"
    with tempfile.TemporaryDirectory(prefix="speech-pod-") as out:
        # -P: what lies in the working directory is not meant.
        command = [sys.executable, "-P", "-m", "worker", "run", audio, "--task", task]
        try:
            run(
                [*command, "--formats", "json", "--out", out],
                {
                    "PYTHONPATH": str(ROOT),
                    "SPEECH_VOLUME": str(volume.root),
                    "SPEECH_PROJECT": project.name,
                },
                timeout_s=JOB_LIMIT_S,
            )
        except ToolError as error:
            raise PodError(f"Project {project.name} serves no job: {error}") from error
        reply = json.loads((Path(out) / f"{sample.stem}.json").read_text(encoding="utf-8"))
    return _tried(volume, project.name, task, audio, reply)


def _tried(volume: Volume, project: str, task: str, audio: str, reply: dict[str, Any]) -> Tried:
    """What the worker found.

    Raises
    ------
    PodError
        Nobody spoke, or nothing was said, where both are known to be otherwise.
    """
    text = reply.get("text")
    found = Tried(
        project,
        task,
        audio,
        reply["audio"]["duration"],
        reply["timings"]["total"],
        len(reply["speakers"]),
        text if text is None else text[:TOLD_CHARACTERS],
    )
    missing = [] if found.num_speakers else ["a speaker"]
    if task == "transcript" and not (text and text.strip()):
        missing.append("a word")
    if missing:
        raise PodError(
            f"Project {project} finds not {' or '.join(missing)} in {audio}, where people talk. "
            f"Its files on {volume.root} are whole: use another release, and report this one."
        )
    return found
