"""The recordings of a job: fetched and decoded ahead of the models, each in its own folder."""

import contextvars
import shutil
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from worker import audio
from worker.control import JobControl
from worker.errors import AudioTooLargeError, JobEndedError
from worker.fetch import fetch
from worker.naming import describe_source
from worker.s3_account import Account
from worker.settings import Settings
from worker.sources import AudioSource
from worker.telemetry import Stopwatch

AHEAD = 2
"""Recordings that are fetched and decoded while one is worked on: disk is bounded by them."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A decoded recording; its samples lie in `folder` until it is closed."""

    source: AudioSource
    audio: audio.Audio
    stopwatch: Stopwatch
    folder: Path

    def close(self) -> None:
        """Give its disk space back; a second time there is nothing to do."""
        self.audio.waveform.close()
        if self.folder.exists():
            shutil.rmtree(self.folder)


def read(
    source: AudioSource,
    folder: Path,
    settings: Settings,
    control: JobControl,
    account: Account | None = None,
) -> Recording:
    """Fetch and decode one recording into `folder`, which is made; after an error it is gone."""
    stopwatch = Stopwatch()
    folder.mkdir()
    try:
        with stopwatch.stage("fetch"), _disk(source):
            path = fetch(source.url, folder, settings, control, account)
        with stopwatch.stage("decode"):
            decoded = audio.decode(
                path,
                folder / "samples.f32",
                control,
                max_seconds=settings.max_audio_s,
                offset=source.offset,
                duration=source.duration,
            )
    except BaseException:
        shutil.rmtree(folder)
        raise
    if path.parent == folder:  # downloaded; what lies on the volume stays
        path.unlink()
    return Recording(source, decoded, stopwatch, folder)


@contextmanager
def _disk(source: AudioSource) -> Iterator[None]:
    """Say what a full disk means."""
    try:
        yield
    except OSError as error:
        if error.errno not in audio.DISK_FULL:
            raise
        raise AudioTooLargeError(
            f"The worker's disk is full: {describe_source(source.url)} does not fit on it. Send "
            "less at a time, or give the endpoint a larger container disk."
        ) from error


def read_ahead(
    sources: Sequence[AudioSource],
    folder: Path,
    settings: Settings,
    control: JobControl,
    account: Account | None = None,
) -> Generator[Recording | Exception]:
    """Yield each recording in order, or what is wrong with it, while the next ones are read.

    Who gets a recording closes it. The `account` is for audio of ``s3://``.

    Raises
    ------
    CancelledError
        The job was cancelled.
    """
    running: deque[Future[Recording | Exception]] = deque()

    def stop() -> None:
        """End the reading that nobody waits for: whoever closes this early is done with the job."""
        if running:
            control.cancel()

    with ExitStack() as ending:
        ending.callback(_discard, running)
        pool = ending.enter_context(ThreadPoolExecutor(AHEAD, thread_name_prefix="read"))
        ending.callback(stop)
        for number, source in enumerate(sources):
            # The job's id goes along, into the log.
            context = contextvars.copy_context()
            own = folder / str(number)
            running.append(
                pool.submit(context.run, _attempt, source, own, settings, control, account)
            )
            if len(running) > AHEAD:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()


def _discard(running: deque[Future[Recording | Exception]]) -> None:
    """Close what was read for nobody."""
    for future in running:
        if not future.exception() and isinstance(recording := future.result(), Recording):
            recording.close()


def _attempt(
    source: AudioSource,
    folder: Path,
    settings: Settings,
    control: JobControl,
    account: Account | None,
) -> Recording | Exception:
    """Read one recording; its error is a value, so that it ends no other's reading."""
    try:
        return read(source, folder, settings, control, account)
    except JobEndedError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, it is this recording's
        return error
