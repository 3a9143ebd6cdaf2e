"""What can go wrong on the client's side, and the exit code of each.

::

    ClientError                1    a file, a job or the platform failed
    ├── UsageError             2    nothing was begun: mend the command
    ├── SourceError            1    a recording cannot be read or sent
    ├── StorageError           1    S3 refuses, or cannot be reached
    ├── OutputError            1    a result cannot be written
    ├── JobFailed              1    the worker or the platform gave the job up; `code`, `message`
    ├── PlatformError          1    the platform did not do what it was asked
    │   ├── AccessError             the key or the endpoint is refused: no other file would pass
    │   ├── RefusedError            this job is refused
    │   ├── UnreachableError        no answer, however often it was tried
    │   ├── UnclearError            a job was sent and its answer lost: it may run or not
    │   └── GoneError               the platform knows the job no more
    ├── WaitError              1    the job takes longer than the client wanted to wait
    └── StoppedError         130    the client was told to end

A message says what failed, the value, what is allowed and what to do next. It never holds a key or
the query of a link.
"""

from typing import ClassVar


class ClientError(Exception):
    """Something failed in a way that a user can read; `str(error)` is the message."""

    exit_code: ClassVar[int] = 1


class UsageError(ClientError):
    """The command or the call cannot be carried out as it is; nothing was begun."""

    exit_code = 2


class SourceError(ClientError):
    """A recording cannot be read, or is too large to be sent as it is."""


class StorageError(ClientError):
    """S3 refuses, cannot be reached, or there are no keys for it."""


class OutputError(ClientError):
    """A result cannot be written."""


class JobFailed(ClientError):  # noqa: N818 - what happened, not a fault of the client
    """The job ended without a result.

    Attributes
    ----------
    code : of docs/job-api.md, such as ``UNSUPPORTED_AUDIO``; the platform's own ``CANCELLED`` and
        ``TIMED_OUT``; ``NO_RESULT`` and ``FAILED`` where nothing else is known.
    message : what the worker says of it.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class PlatformError(ClientError):
    """The platform did not do what it was asked."""


class AccessError(PlatformError):
    """The key is refused, or there is no such endpoint: every other job would meet the same."""


class RefusedError(PlatformError):
    """The platform refuses this job."""


class UnreachableError(PlatformError):
    """No answer that means anything, however often it was tried."""


class UnclearError(PlatformError):
    """A job was sent and its answer lost: the platform may have it or not."""


class GoneError(PlatformError):
    """The platform knows nothing of the job any more."""


class WaitError(ClientError):
    """The job takes longer than the client wanted to wait; it goes on without it."""


class StoppedError(ClientError):
    """The client was told to end."""

    exit_code = 130
