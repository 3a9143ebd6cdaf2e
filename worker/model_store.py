"""Alias -> a verified file on the volume. Never a download in a job."""

import hashlib
from pathlib import Path

from volume_bootstrap.layout import LayoutError, Manifest, ModelRecord, Volume, manifest_of
from worker.errors import InvalidInputError, ModelNotProvisionedError
from worker.naming import quote


class ModelStore:
    """The models of one project, as its manifest tells.

    The manifest is read at each look-up, so that a volume that was repaired
    serves the next job.
    """

    def __init__(self, volume: Volume, project: str) -> None:
        self._volume = volume
        self._project = project

    def manifest(self) -> Manifest:
        """Read the project's manifest.

        Raises
        ------
        ModelNotProvisionedError
            It is missing or damaged.
        """
        try:
            return manifest_of(self._volume, self._project)
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
            f"model: {quote(wanted)} is not one for {task} of project {self._project}; "
            f"allowed: {allowed}."
        )

    def verified(self, record: ModelRecord) -> Path:
        """Path of the file that the worker loads, once its SHA-256 is right.

        Raises
        ------
        ModelNotProvisionedError
            The file is missing, cannot be read, or is not the one that was provisioned.
        """
        try:
            file = record.runtime_file
        except LayoutError as error:
            raise ModelNotProvisionedError(f"{error} {self.remedy}") from error
        path = self._volume.models / record.folder / file.path
        try:
            with path.open("rb") as opened:
                digest = hashlib.file_digest(opened, "sha256").hexdigest()
        except OSError as error:
            raise ModelNotProvisionedError(
                f"model {record.alias} cannot be read at {path}: {error.strerror}. {self.remedy}"
            ) from error
        if digest != file.sha256:
            raise ModelNotProvisionedError(
                f"model {record.alias} at {path} is damaged: its SHA-256 is {digest}, the manifest "
                f"says {file.sha256}. {self.remedy}"
            )
        return path

    @property
    def remedy(self) -> str:
        """What to do about a model that is missing or damaged."""
        return (
            f"Repair it with: python -m volume_bootstrap setup --project {self._project} "
            f"--volume {self._volume.root}"
        )
