"""Errors a job can end with.

::

    WorkerError                code
    ├── InvalidInputError      INVALID_INPUT
    ├── ForbiddenUrlError      FORBIDDEN_URL
    ├── FetchFailedError       FETCH_FAILED
    ├── AudioTooLargeError     AUDIO_TOO_LARGE
    ├── AudioTooLongError      AUDIO_TOO_LONG
    ├── UnsupportedAudioError  UNSUPPORTED_AUDIO
    ├── ModelNotProvisionedError  MODEL_NOT_PROVISIONED
    ├── OutOfMemoryError       OUT_OF_MEMORY
    ├── OutputFailedError      OUTPUT_FAILED
    ├── OutputTooLargeError    OUTPUT_TOO_LARGE
    └── JobEndedError
        ├── CancelledError     CANCELLED
        └── JobTimeoutError    TIMEOUT

A message says what failed, the value, what is allowed and what to do next. It
never holds a credential, a host name of the worker or the query of a URL.

`StartupError` stands apart: the worker cannot serve at all (settings, volume,
dependencies), so there is no job to answer.
"""

from collections.abc import Iterator
from typing import ClassVar


def describe_internal(reference: str) -> str:
    """The reply to a job on which the worker itself failed; its log says more under `reference`."""
    return (
        f"INTERNAL: the worker failed on this job, reference {reference}; the worker's log has "
        "the details under it. Try again; if it stays, report it."
    )


class WorkerError(Exception):
    """A job failed in a way its caller can read; `str(error)` is the message."""

    code: ClassVar[str]

    @property
    def reply(self) -> str:
        """The one string of the job API: ``CODE: message``."""
        return f"{self.code}: {self}"


class InvalidInputError(WorkerError):
    """The request does not fit the schema."""

    code = "INVALID_INPUT"


class ForbiddenUrlError(WorkerError):
    """The source names an address or path that a job may not reach."""

    code = "FORBIDDEN_URL"


class FetchFailedError(WorkerError):
    """The source could not be read; trying again may help."""

    code = "FETCH_FAILED"


class AudioTooLargeError(WorkerError):
    """The source holds more bytes than the worker takes."""

    code = "AUDIO_TOO_LARGE"


class AudioTooLongError(WorkerError):
    """The decoded audio lasts longer than the worker takes."""

    code = "AUDIO_TOO_LONG"


class UnsupportedAudioError(WorkerError):
    """The bytes are not audio that can be decoded."""

    code = "UNSUPPORTED_AUDIO"


class ModelNotProvisionedError(WorkerError):
    """A model is missing from the volume, or is not what the manifest says."""

    code = "MODEL_NOT_PROVISIONED"


class OutOfMemoryError(WorkerError):
    """The job needs more memory than the device has left, even in the smallest pieces."""

    code = "OUT_OF_MEMORY"


class OutputFailedError(WorkerError):
    """The result could not be written where the job wants it."""

    code = "OUTPUT_FAILED"


class OutputTooLargeError(WorkerError):
    """The result is larger than the platform takes, and there is no other place for it."""

    code = "OUTPUT_TOO_LARGE"


class JobEndedError(WorkerError):
    """The job has to end before its work is done; nothing may hold this up."""


class CancelledError(JobEndedError):
    """The job was told to end."""

    code = "CANCELLED"


class JobTimeoutError(JobEndedError):
    """The job took longer than it may."""

    code = "TIMEOUT"


class StartupError(Exception):
    """The worker cannot start; the message says what to mend."""


def with_causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error, and what it was raised from."""
    while error is not None:
        yield error
        error = error.__cause__
