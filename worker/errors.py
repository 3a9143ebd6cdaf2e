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
    ├── InternalError          INTERNAL
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


class WorkerError(Exception):
    """A job failed in a way its caller can read; `str(error)` is the message.

    when, remedy : when it is raised, and what to do; docs/job-api.md has its table from these.
    """

    code: ClassVar[str]
    when: ClassVar[str]
    remedy: ClassVar[str]

    @property
    def reply(self) -> str:
        """The one string of the job API: ``CODE: message``."""
        return f"{self.code}: {self}"


class InvalidInputError(WorkerError):
    """The request does not fit the schema."""

    code = "INVALID_INPUT"
    when = "a field is missing, unknown, or has a value that is not allowed"
    remedy = "mend what the message names; it names up to five mistakes at once"


class ForbiddenUrlError(WorkerError):
    """The source names an address or path that a job may not reach."""

    code = "FORBIDDEN_URL"
    when = (
        "the source is a private, loopback, link-local or metadata address, redirects to one, "
        "holds credentials, or leaves the volume"
    )
    remedy = "use a public address, or list the range in `SPEECH_ALLOWED_NETWORKS`"


class FetchFailedError(WorkerError):
    """The source could not be read; trying again may help."""

    code = "FETCH_FAILED"
    when = "the source refuses, times out, breaks off, does not exist, or answers with a web page"
    remedy = "check the link; 429, 5xx and broken connections were already tried three times"


class AudioTooLargeError(WorkerError):
    """The source holds more bytes than the worker takes."""

    code = "AUDIO_TOO_LARGE"
    when = "more bytes than `SPEECH_MAX_AUDIO_MB`, or than the temporary folder has room for"
    remedy = "compress the audio, raise the limit, or give the endpoint a larger container disk"


class AudioTooLongError(WorkerError):
    """The decoded audio lasts longer than the worker takes."""

    code = "AUDIO_TOO_LONG"
    when = "longer than `SPEECH_MAX_AUDIO_S`"
    remedy = "name a stretch with `offset` and `duration`, or raise the limit"


class UnsupportedAudioError(WorkerError):
    """The bytes are not audio that can be decoded."""

    code = "UNSUPPORTED_AUDIO"
    when = "empty, no audio inside, or of a format that cannot be decoded"
    remedy = "convert it, for example to wav or flac"


class ModelNotProvisionedError(WorkerError):
    """A model is missing from the volume, or is not what the manifest says."""

    code = "MODEL_NOT_PROVISIONED"
    when = "a model is missing from the volume or is damaged; nothing was fetched"
    remedy = "run the command in the message"


class OutOfMemoryError(WorkerError):
    """The job needs more memory than the device has left, even in the smallest pieces."""

    code = "OUT_OF_MEMORY"
    when = (
        "memory ran out, though idle models were unloaded and the stage was tried three times "
        "more, with batches of recognition, overlap and embedding halved each time (up to 120 "
        "windows of speech are embedded one by one, which cannot be halved); of a list, the "
        "recording that did not fit"
    )
    remedy = (
        "send less audio at a time, lower `SPEECH_CONCURRENCY`, or give the endpoint more memory"
    )


class OutputFailedError(WorkerError):
    """The result could not be written where the job wants it."""

    code = "OUTPUT_FAILED"
    when = (
        "S3 refuses the files, or there are no keys for it: before anything is fetched where "
        "`output` is named; afterwards only for a result that does not fit into the answer, and "
        "the message says where that is kept"
    )
    remedy = "mend what the message names: keys, bucket, permission, endpoint"


class OutputTooLargeError(WorkerError):
    """The result is larger than the platform takes, and there is no other place for it."""

    code = "OUTPUT_TOO_LARGE"
    when = "the result is larger than the platform takes, and there is no bucket for it"
    remedy = "name `output`, or set `SPEECH_OUTPUT`, or ask for less"


class InternalError(WorkerError):
    """The worker itself failed on the job: what no other class says."""

    code = "INTERNAL"
    when = "a defect of the worker"
    remedy = "look for the reference in the worker's log"


def describe_internal(reference: str) -> str:
    """The reply to a job on which the worker itself failed; its log says more under `reference`."""
    return InternalError(
        f"the worker failed on this job, reference {reference}; the worker's log has the details "
        "under it. Try again; if it stays, report it."
    ).reply


class JobEndedError(WorkerError):
    """The job has to end before its work is done; nothing may hold this up."""


class CancelledError(JobEndedError):
    """The job was told to end."""

    code = "CANCELLED"
    when = "the job was cancelled while it ran"
    remedy = "nothing; the platform does not show it"


class JobTimeoutError(JobEndedError):
    """The job took longer than it may."""

    code = "TIMEOUT"
    when = "the job took longer than `timeout_s` or `SPEECH_JOB_TIMEOUT_S`"
    remedy = "send less audio at a time, or raise it"


class StartupError(Exception):
    """The worker cannot start; the message says what to mend."""


def with_causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error, and what it was raised from."""
    while error is not None:
        yield error
        error = error.__cause__
