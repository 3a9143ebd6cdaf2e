"""What must be right before the first job is taken, and how the platform is told what is not.

The SDK runs the checks: one that raises makes the worker report itself as unhealthy, with the name
of the check and the first 256 characters of what it raised, and end; so messages say first what to
do. The SDK's own checks, which call public addresses and want torch, stay off (handler.py).
"""

import asyncio
import base64
import importlib.util
import io
import os
import shutil
import tempfile
import wave
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from volume_bootstrap.layout import Generation, LayoutError, ModelFile, manifest_of
from worker.errors import ModelNotProvisionedError, StartupError
from worker.model_store import ModelStore
from worker.settings import Settings

MEGABYTE = 1_000_000
MOST_NAMED = 3
"""Files that a message names."""


class Fitness:
    """The checks of one worker.

    Parameters
    ----------
    generation : the packages that it runs on.
    rehearse : runs a job and returns its reply.
    """

    def __init__(
        self,
        settings: Settings,
        project: str,
        generation: Generation,
        rehearse: Callable[[object], dict[str, Any]],
    ) -> None:
        self._settings = settings
        self._volume = settings.layout
        self._store = ModelStore(self._volume, project)
        self._generation = generation
        self._rehearse = rehearse

    def register(self) -> None:
        """Have the SDK run all checks before the first take, and none in local runs."""
        import runpod.serverless

        for check in (
            self.check_volume,
            self.check_packages,
            self.check_models,
            self.check_disk,
            self.check_device,
        ):
            runpod.serverless.register_fitness_check(check)

    def check_volume(self) -> None:
        """The volume is mounted and can be read.

        Raises
        ------
        StartupError
            It cannot; as in all checks, the message says what to do.
        """
        try:
            manifest_of(self._volume, self._store.project)
        except LayoutError as error:
            raise StartupError(
                f"Attach the network volume to the endpoint. {self._store.remedy}. The volume "
                f"cannot be read: {error}"
            ) from error

    def check_packages(self) -> None:
        """What a job imports is there; the models were loaded with most of it."""
        for name in self._generation.imports:
            try:
                found = importlib.util.find_spec(name)
            except ImportError as error:
                raise not_importable(error, self._settings, self._store.project) from error
            # The bundle of imports finds a module without a look at its file.
            if found is None or (found.has_location and not Path(str(found.origin)).exists()):
                missing = ImportError(f"no module named {name!r}")
                raise not_importable(missing, self._settings, self._store.project)

    def check_models(self) -> None:
        """Each file of the models has its size; their SHA-256 is compared when they are loaded."""
        try:
            models = self._store.manifest().models
        except ModelNotProvisionedError as error:
            raise StartupError(str(error)) from error
        folder = self._volume.models
        files = [
            (folder / model.folder / file.path, file) for model in models for file in model.files
        ]
        with ThreadPoolExecutor() as pool:  # a look at a network volume takes milliseconds
            wrong = [
                problem for problem in pool.map(lambda each: _problem(*each), files) if problem
            ]
        if wrong:
            raise StartupError(
                f"{self._store.remedy}. {len(wrong)} of {len(files)} files of models are not as "
                f"they were provisioned: {'; '.join(wrong[:MOST_NAMED])}."
            )

    def check_disk(self) -> None:
        """The temporary folder has room for the largest audio that a job may name."""
        folder = tempfile.gettempdir()
        free_mb = shutil.disk_usage(folder).free // MEGABYTE
        if free_mb < self._settings.max_audio_mb:
            raise StartupError(
                "Give the endpoint a larger container disk, let TMPDIR name a folder on a larger "
                f"local one, or lower SPEECH_MAX_AUDIO_MB={self._settings.max_audio_mb}: an audio "
                f"may take so many MB, and {free_mb} are free in {folder}."
            )

    def check_device(self) -> None:
        """The models that tell speakers apart run on the device, on what counts as speech."""
        audio = base64.b64encode(_silence()).decode()
        job_input = {
            "task": "diarization",
            "audio": f"data:audio/wav;base64,{audio}",
            "vad": {"speech_noise_threshold": -1.0},
        }
        if error := self._rehearse(job_input).get("error"):
            if error.startswith(ModelNotProvisionedError.code):
                raise StartupError(error)
            raise StartupError(
                "Check the GPU's driver and memory, or set SPEECH_DEVICE=cpu: a job of two seconds "
                f"fails on this device, as the worker's log tells: {error}"
            )


def _silence() -> bytes:
    """Two seconds as a WAV file."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", "not compressed"))
        file.writeframes(bytes(2 * 2 * 16_000))
    return buffer.getvalue()


def _problem(path: Path, file: ModelFile) -> str:
    """Say what is wrong with a file, or nothing."""
    try:
        size = path.stat().st_size
    except OSError as error:
        return f"{path}: {error.strerror}"
    return "" if size == file.size else f"{path} has {size} bytes, {file.size} were provisioned"


def not_importable(error: ImportError, settings: Settings, project: str) -> StartupError:
    """Say what to do about packages that do not import."""
    return StartupError(
        f"Build the packages anew with: python -m volume_bootstrap deps install --force --project "
        f"{project} --volume {settings.volume}. Those on the volume do not import: {error}."
    )


def has_platform() -> bool:
    """Whether there is a platform to tell: the SDK looks at the same variable."""
    return "RUNPOD_WEBHOOK_GET_JOB" in os.environ


def report(error: StartupError) -> None:
    """Tell the platform why this worker cannot serve; ends the process with exit code 1."""
    from runpod.serverless.modules import rp_fitness

    def startup() -> None:
        raise error

    rp_fitness.register_fitness_check(startup)
    asyncio.run(rp_fitness.run_fitness_checks())
