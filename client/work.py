"""One recording from its file to its results, going on where an earlier run has ended."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from client import result
from client.errors import GoneError, JobFailed, PlatformError, StoppedError, UnclearError
from client.journal import Entry, Journal
from client.outputs import Outputs
from client.request import Request
from client.session import Client, Job
from client.sources import Recording

State = Literal["done", "kept", "failed", "open", "unclear"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one recording.

    Parameters
    ----------
    state : `kept`: was done by an earlier run. `open`: the platform has its job still. `unclear`:
        whether it has is not known.
    seconds : what it took in this run.
    """

    recording: Recording
    state: State
    seconds: float = 0.0
    audio_s: float | None = None
    num_speakers: int | None = None
    message: str = ""


class Watcher(Protocol):
    """Is told what happens, by several threads."""

    def begin(self, recording: Recording) -> None: ...
    def tell(self, recording: Recording, stage: str, share: float | None) -> None: ...
    def note(self, recording: Recording, message: str) -> None: ...
    def end(self, outcome: Outcome) -> None: ...


@dataclass(frozen=True, slots=True)
class Plan:
    """How the recordings of a command are worked on.

    Parameters
    ----------
    folder : of the results.
    parallel : jobs on their way at once.
    timeout : seconds to wait for a job at most; None: as long as the platform keeps it.
    resubmit : send again what may be with the platform already.
    """

    request: Request
    folder: Path
    parallel: int = 4
    timeout: float | None = None
    resubmit: bool = False


class Work:
    """What one recording needs.

    Parameters
    ----------
    sending : holds the recording's name while it is being sent.
    """

    def __init__(
        self,
        client: Client,
        journal: Journal,
        plan: Plan,
        watcher: Watcher,
        recording: Recording,
        sending: set[str],
    ) -> None:
        self._client = client
        self._journal = journal
        self._plan = plan
        self._watcher = watcher
        self._recording = recording
        self._sending = sending
        self._id = plan.request.fingerprint(recording.identity, client.target)
        self._outputs = Outputs(plan.folder, recording.name, plan.request.formats, self._id)

    @property
    def known(self) -> Entry | None:
        """What the journal has of it."""
        return self._journal.find(self._recording.name, self._id)

    def run(self) -> Outcome:
        """Do what is not done.

        Raises
        ------
        UnclearError
            An earlier run, or this one, sent it and does not know what became of it.
        ClientError
            Anything else of client/errors.py.
        """
        known = self.known
        if known and known.state == "done":
            self._outputs.publish()  # a kill may have come before
            if self._outputs.are_there:
                return self._outcome("kept", known.audio_s, known.num_speakers)
        if known and known.state == "submitting" and self._may_run:
            raise UnclearError(
                "an earlier run ended while it sent this: the platform may have it or not. Look at "
                "the endpoint's requests; run the same again with --resubmit to send it once more."
            )
        if known and known.state == "submitted" and known.job:
            job, is_old = Job(known.job), True
        else:
            job, is_old = self._send(), False
        try:
            reply = self._fetch(job)
        except (GoneError, JobFailed) as error:
            # An old job that was cancelled is wanted now. One of this run was not, by somebody.
            is_cancelled = isinstance(error, JobFailed) and error.code == "CANCELLED"
            if not (isinstance(error, GoneError) or (is_old and is_cancelled)):
                raise
            self._watcher.note(self._recording, f"{error} It is sent again.")
            reply = self._fetch(self._send())
        return self._finish(reply)

    def record(self, state: str, **more: Any) -> None:  # noqa: ANN401 - fields of Entry
        """Write a line of the journal."""
        name, target = self._recording.name, self._client.target
        self._journal.write(Entry(name, self._id, state, target, **more))

    @property
    def _may_run(self) -> bool:
        """Whether a job that was sent may run, though nobody has its id: a local one waits."""
        return not self._plan.resubmit and not self._client.platform.is_local

    def _send(self) -> Job:
        self._outputs.check()
        payload = self._client.payload(self._recording, self._plan.request, self._watch)
        self._sending.add(self._recording.name)
        try:
            self._client.platform.pause(0)  # the last moment to end without a job
            self.record("submitting")
            try:
                job = self._client.send(payload)
            except UnclearError:
                raise
            except (PlatformError, StoppedError):
                self.record("refused")
                raise
            self.record("submitted", job=job.id)
        finally:
            self._sending.discard(self._recording.name)
        return job

    def _fetch(self, job: Job) -> dict[str, Any]:
        return self._client.fetch(job, timeout=self._plan.timeout, watch=self._watch)

    def _watch(self, stage: str, share: float | None) -> None:
        self._watcher.tell(self._recording, stage, share)

    def _finish(self, reply: dict[str, Any]) -> Outcome:
        parsed = result.parse(reply)
        self._outputs.prepare(reply)
        speakers = None if self._plan.request.task == "asr" else len(parsed.speakers)
        audio_s = parsed.audio.duration
        self.record("done", audio_s=audio_s, num_speakers=speakers)
        self._outputs.publish()
        return self._outcome("done", audio_s, speakers)

    def _outcome(self, state: State, audio_s: float | None, num_speakers: int | None) -> Outcome:
        return Outcome(self._recording, state, audio_s=audio_s, num_speakers=num_speakers)
