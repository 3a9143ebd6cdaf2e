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
            formats = known.formats or self._plan.request.formats
            self._outputs.publish(formats)  # a kill may have come before
            if self._outputs.are_there(formats):
                return self._outcome("kept", known)
        if known and known.state == "submitting" and self._may_run:
            raise UnclearError(
                "an earlier run ended while it sent this: the platform may have it or not. Look at "
                "the endpoint's requests; run the same again with --resubmit to send it once more."
            )
        if known and known.state == "submitted" and known.job:
            job, is_old = Job(known.job, self._plan.request.output), True
        else:
            job, is_old = self._send(), False
        try:
            reply = self._fetch(job)
        except (GoneError, JobFailed) as error:
            # The result of an old job may have been kept too long ago, and one that was cancelled
            # is wanted now. A job of this run runs, whatever a 404 says, or somebody cancelled it.
            is_cancelled = isinstance(error, JobFailed) and error.code == "CANCELLED"
            if not is_old and isinstance(error, GoneError):
                raise GoneError(f"{error} Run the same again to ask for it once more.") from error
            if not is_old or not (isinstance(error, GoneError) or is_cancelled):
                raise
            self._watcher.note(self._recording, f"{error} It is sent again.")
            reply = self._fetch(self._send())
        return self._finish(reply)

    def record(self, state: str, **more: Any) -> Entry:  # noqa: ANN401 - fields of Entry
        """Write a line of the journal."""
        entry = Entry(self._recording.name, self._id, state, self._client.target, **more)
        self._journal.write(entry)
        return entry

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
        formats = self._outputs.prepare(reply)
        missing = [kind for kind in self._plan.request.formats if kind not in formats]
        message = None
        if missing:
            notes = "; ".join(parsed.notes) or "the answer does not say why"
            message = f"the answer has no {', '.join(missing)} ({notes})."
        entry = self.record(
            "done",
            message=message,
            formats=formats,
            audio_s=parsed.audio.duration,
            num_speakers=None if self._plan.request.task == "asr" else len(parsed.speakers),
        )
        self._outputs.publish(formats)
        return self._outcome("done", entry)

    def _outcome(self, state: State, entry: Entry) -> Outcome:
        """Tell what the journal has of the result."""
        return Outcome(
            self._recording,
            state,
            audio_s=entry.audio_s,
            num_speakers=entry.num_speakers,
            message=entry.message or "",
        )
