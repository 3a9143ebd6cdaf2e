"""Alias -> verified files on the volume. Never a download in a job."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from volume_bootstrap.layout import (
    LayoutError,
    Manifest,
    ModelFile,
    ModelRecord,
    Volume,
    manifest_of,
)
from worker.errors import InvalidInputError, ModelNotProvisionedError
from worker.naming import quote


class ModelStore:
    """The models of one project, as its manifest tells.

    The manifest is read at each look-up, so that a volume that was repaired
    serves the next job.
    """

    def __init__(self, volume: Volume, project: str) -> None:
        self._volume = volume
        self.project = project

    def manifest(self) -> Manifest:
        """Read the project's manifest.

        Raises
        ------
        ModelNotProvisionedError
            It is missing or damaged.
        """
        try:
            return manifest_of(self._volume, self.project)
        except LayoutError as error:
            raise ModelNotProvisionedError(f"{error} {self.remedy}") from error

    def find(self, task: str, default: str, wanted: str | None = None) -> ModelRecord:
        """Look up the model that a job wants, or the project's default.

        Raises
        ------
        InvalidInputError
            The job wants a model that the project does not have for the task.
        ModelNotProvisionedError
            The default is not on the volume.
        """
        manifest = self.manifest()
        record = manifest.model(default if wanted is None else wanted)
        if record is not None and record.task == task:
            return record
        if wanted is None:
            raise ModelNotProvisionedError(f"model {default} is not on the volume. {self.remedy}")
        allowed = ", ".join(m.alias for m in manifest.models if m.task == task) or "none"
        raise InvalidInputError(
            f"model: {quote(wanted)} is not one for {task} of project {self.project}; "
            f"allowed: {allowed}."
        )

    def verified(self, record: ModelRecord) -> Path:
        """Path of what the worker loads, once the SHA-256 of every file that it reads is right.

        FunASR builds a model whose weights are missing, with random ones, so that no file may be
        taken for granted.

        Returns
        -------
        The exported file, or for a model without one, its folder.

        Raises
        ------
        ModelNotProvisionedError
            A file is missing, cannot be read, or is not the one that was provisioned.
        """
        folder = self._volume.models / record.folder
        read = [file for file in record.files if record.runtime in {None, file.path}]
        if not read:
            raise ModelNotProvisionedError(
                f"model {record.alias} has no files, as its manifest tells. {self.remedy}"
            )
        with ThreadPoolExecutor() as pool:
            # As a list, so that the first error is raised here.
            list(pool.map(lambda file: self._verify(record.alias, folder / file.path, file), read))
        return folder if record.runtime is None else folder / record.runtime

    def _verify(self, alias: str, path: Path, file: ModelFile) -> None:
        try:
            with path.open("rb") as opened:
                digest = hashlib.file_digest(opened, "sha256").hexdigest()
        except OSError as error:
            raise ModelNotProvisionedError(
                f"model {alias} cannot be read at {path}: {error.strerror}. {self.remedy}"
            ) from error
        if digest != file.sha256:
            raise ModelNotProvisionedError(
                f"model {alias} at {path} is damaged: its SHA-256 is {digest}, the manifest says "
                f"{file.sha256}. {self.remedy}"
            )

    @property
    def remedy(self) -> str:
        """What to do about a model that is missing or damaged."""
        return (
            f"Repair it with: python -m volume_bootstrap setup --project {self.project} "
            f"--volume {self._volume.root}"
        )
