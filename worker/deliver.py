"""Results to where they go: into the answer where they fit, else to S3.

Keys hold the job's id: a job that is delivered twice writes the same objects twice.
"""

import hashlib
import logging
import uuid
from collections.abc import Callable, Mapping
from urllib.parse import quote

from worker import s3, s3_account
from worker.control import JobControl
from worker.errors import ForbiddenUrlError, OutputFailedError, OutputTooLargeError, WorkerError
from worker.keep import keep
from worker.parsing import parse_s3_config
from worker.parts import serialise
from worker.places import Place
from worker.replies import Reply
from worker.report import page
from worker.s3_account import HOW_TO_SET_UP, Account
from worker.schema import JobRequest
from worker.settings import Settings

logger = logging.getLogger(__name__)

RUN_LIMIT_BYTES = 9_500_000
"""For `/run`. The platform takes 10 MB with what it wraps around, and loses what is larger."""
RUNSYNC_LIMIT_BYTES = 19_000_000
"""For `/runsync`, where it takes 20 MB."""
RUNSYNC_IDS = "sync-"
"""How the platform begins the ids of `/runsync`."""
UPLOAD_LIMIT_S = 600.0
"""For all files of a job."""
MAX_PART = 150
"""Bytes of a job's or a recording's id in a key, which S3 limits to 1,024 with its prefix."""

SUMMARY = ("task", "audio", "speakers", "language", "notes", "models", "timings")
"""What an answer keeps beside the links to its files."""
CONTENT_TYPES = {
    "json": "application/json",
    "vtt": "text/vtt; charset=utf-8",
    "html": "text/html; charset=utf-8",
}
PLAIN = "text/plain; charset=utf-8"


class Delivery:
    """Where the result of one job goes.

    Parameters
    ----------
    job_id : in the keys of its files; None: one is made up.
    s3_config : of the job, not validated yet. With it, the worker's own keys are not used.

    Raises
    ------
    InvalidInputError, ForbiddenUrlError
        `s3_config` has a mistake, or an endpoint that a job may not name.
    """

    def __init__(
        self,
        request: JobRequest,
        job_id: str | None,
        s3_config: object,
        settings: Settings,
        control: JobControl,
    ) -> None:
        self._request = request
        self._settings = settings
        self._control = control
        self._job_id = job_id or uuid.uuid4().hex
        folder = _key_part(self._job_id)
        if len(folder) > MAX_PART:  # cut, two jobs could have the same
            folder = hashlib.sha256(folder.encode()).hexdigest()
        self._folder = f"{folder}/"
        is_sync = (job_id or "").startswith(RUNSYNC_IDS)
        self._limit_bytes = RUNSYNC_LIMIT_BYTES if is_sync else RUN_LIMIT_BYTES
        self.account: Account | None
        """For audio of `s3://`, too."""
        self.num_bytes = 0
        """Of the answer that `deliver` has made."""
        if s3_config is None:
            self.account = s3_account.of_settings(settings)
        else:
            self.account = s3_account.of_job(parse_s3_config(s3_config))

    def check(self) -> None:
        """Find out whether the files can be written where the job wants them.

        Raises
        ------
        OutputFailedError
            They cannot: before anything was spent on the job.
        ForbiddenUrlError
            The endpoint of the job has an address that a job may not reach.
        """
        if self._request.output is None:
            return
        place = Place.parse(self._request.output)
        with self._open(place) as bucket:
            bucket.check(f"{place.prefix}{self._folder}check")

    def deliver(self, reply: Reply) -> Reply:
        """Make the answer: the reply as it is, or a summary with links to its files.

        A reply whose files cannot be written goes as it is, with a note, where it fits.

        Raises
        ------
        OutputFailedError
            The files could not be written; the message says where on the volume the reply is kept.
        OutputTooLargeError
            The reply is larger than the platform takes, and there is no other place for it.
        ValueError, TypeError
            It does not serialise; posted, it would leave the job waiting for ever.
        """
        if "error" in reply or self._settings.local_files:  # no platform, no limit
            return reply
        formats: tuple[str, ...] = tuple(self._request.formats)
        place = None
        if self._request.output is not None:
            place = Place.parse(self._request.output)
        elif (size := len(serialise(reply))) > self._limit_bytes:
            # An answer holds the JSON, whatever the formats.
            place, formats = self._spare_place(), (*formats, "json")
        if place:
            try:
                reply = self._upload(reply, place, frozenset(formats))
            except (OutputFailedError, ForbiddenUrlError) as error:
                reply = self._without_files(reply, error)
            size = len(serialise(reply))
        if size > self._limit_bytes:
            reply = self._lighter(reply)
            size = len(serialise(reply))
        if size > self._limit_bytes:
            raise OutputTooLargeError(
                f"The result has {size / 1e6:.1f} MB; an answer takes {self._limit_bytes / 1e6:g} "
                "MB. Name `output` (s3://bucket/prefix/) in the job, or set SPEECH_OUTPUT on the "
                "endpoint, with the keys for it; or ask for less: coarser `timestamps`, fewer "
                "`formats`, fewer or shorter recordings in a job."
            )
        self.num_bytes = size
        return reply

    def _without_files(self, reply: Reply, error: WorkerError) -> Reply:
        """What is answered where S3 failed: nothing that was paid for is thrown away."""
        logger.warning("the files cannot be written: %s", error)
        noted = self._lighter(_noted(reply, f"The files could not be written. {error}"))
        if len(serialise(noted)) <= self._limit_bytes:
            return noted
        try:
            # Apart from what worker/outbox.py may have to keep of the same job.
            path = keep(self._settings.layout.results, f"{self._job_id}.whole", serialise(reply))
        except OSError as failure:
            logger.error("the result cannot be kept, and is lost: %s", failure.strerror)  # noqa: TRY400
            raise error from failure
        raise OutputFailedError(
            f"{error} The result is kept on the worker's volume, as results/{path.name}."
        ) from error

    def _lighter(self, reply: Reply) -> Reply:
        """Make HTML reports smaller, or leave them out, as far as an answer needs it."""
        for lighten in (dict, _without_speech, _without_reports):
            lighter: Reply = lighten(reply)
            if len(serialise(lighter)) <= self._limit_bytes:
                return lighter
        return reply

    def _spare_place(self) -> Place | None:
        """Where a result goes that is too large for an answer."""
        if self.account and self.account.bucket:
            return Place(self.account.bucket, "")
        if self.account and self.account.is_ours and self._settings.output:
            return Place.parse(self._settings.output)
        return None

    def _open(self, place: Place) -> "s3.Connection":
        if self.account is None:
            raise OutputFailedError(f"s3://{place.bucket} has no keys. {HOW_TO_SET_UP}.")
        return s3.connect(
            self.account,
            place.bucket,
            self._settings,
            self._control,
            UPLOAD_LIMIT_S,
            OutputFailedError,
        )

    def _upload(self, reply: Reply, place: Place, formats: frozenset[str]) -> Reply:
        """Write the files of each recording, and make the summary that links to them."""
        with self._open(place) as bucket:

            def put(name: str, kind: str, content: bytes) -> str:
                key = f"{place.prefix}{self._folder}{name}.{kind}"
                bucket.upload(key, content, CONTENT_TYPES.get(kind, PLAIN))
                return bucket.link(key)

            if "results" not in reply:
                return _summary(reply, formats, put, _name(self._request.audio[0].id) or "result")
            results = []
            for index, entry in enumerate(reply["results"]):
                name = "-".join(filter(None, [str(index), _name(entry["id"])]))
                if entry["ok"]:
                    output = _summary(entry["output"], formats, put, name)
                    entry = {**entry, "output": output}  # noqa: PLW2901 - the reply stays as it is
                results.append(entry)
            return {"results": results}


def _summary(
    result: Reply, formats: frozenset[str], put: Callable[[str, str, bytes], str], name: str
) -> Reply:
    """Put one recording's files, and keep of its result what is short."""
    texts: Mapping[str, str] = result.get("files", {})
    links = {}
    if "json" in formats:
        whole = {key: value for key, value in result.items() if key != "files"}
        links["json"] = put(name, "json", serialise(whole))
    links |= {kind: put(name, kind, text.encode()) for kind, text in texts.items()}
    return {key: result[key] for key in SUMMARY if key in result} | {"files": links}


def _noted(reply: Reply, note: str) -> Reply:
    """Add a note, to each recording of a list."""
    return _each(reply, lambda one: {**one, "notes": [*one.get("notes", []), note]})


def _each(reply: Reply, change: Callable[[Reply], Reply]) -> Reply:
    """Change the result of each recording; those that failed stay."""
    if "results" not in reply:
        return change(reply)
    return {
        "results": [
            {**entry, "output": change(entry["output"])} if entry["ok"] else entry
            for entry in reply["results"]
        ]
    }


def _without_speech(reply: Reply) -> Reply:
    """Let the reports ask for their audio: the answer is too large with it."""

    def lighten(one: Reply) -> Reply:
        files = one.get("files", {})
        if "html" not in files:
            return one
        note = "html: the audio is left out, for the answer would be too large with it"
        lighter = {**one, "files": {**files, "html": page.without_speech(files["html"])}}
        return _noted(lighter, note)

    return _each(reply, lighten)


def _without_reports(reply: Reply) -> Reply:
    """Leave out what the result itself tells, and can be made of it elsewhere."""

    def lighten(one: Reply) -> Reply:
        files = one.get("files", {})
        if "html" not in files:
            return one
        note = (
            "html: left out, for the answer would be too large with it; "
            "`python -m worker.report` makes it of this result"
        )
        return _noted({**one, "files": {k: v for k, v in files.items() if k != "html"}}, note)

    return _each(reply, lighten)


def _name(recording_id: str | None) -> str:
    """A recording's id as part of a key, cut between two characters."""
    text = (recording_id or "")[:MAX_PART]
    while len(part := _key_part(text)) > MAX_PART:
        text = text[:-1]
    return part


def _key_part(text: str) -> str:
    """One part of a key, whatever the text: without slashes, and never ``..``."""
    return quote(text, safe="", errors="surrogatepass").replace("..", "%2E%2E")
