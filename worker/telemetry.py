"""Logs as JSON lines that carry the job's id, and the time each stage takes."""

import contextlib
import json
import logging
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

logger = logging.getLogger(__name__)

job_id: ContextVar[str | None] = ContextVar("job_id", default=None)


class Stopwatch:
    """Seconds by stage, in the order the stages began."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure what runs inside."""
        started = time.perf_counter()
        try:
            yield
        finally:
            elapsed = time.perf_counter() - started
            self.seconds[name] = self.seconds.get(name, 0.0) + elapsed

    @property
    def total(self) -> float:
        """Seconds since the watch was made."""
        return time.perf_counter() - self._started


@dataclass(slots=True)
class Record:
    """What is counted of one job.

    outcome : ``COMPLETED`` or the code of its error.
    seconds : by stage, of all its recordings.
    num_bytes : of its answer; 0 where that is an error.
    """

    outcome: str = "INTERNAL"
    seconds: Counter[str] = field(default_factory=Counter)
    num_bytes: int = 0

    def add(self, timings: Mapping[str, float]) -> None:
        """Add the timings of a recording's result."""
        self.seconds.update({n: s for n, s in timings.items() if n not in ("total", "rtf")})


class Tally:
    """Counts the jobs of a worker, and logs a line for each."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._started = time.monotonic()
        self._in_progress = 0
        self._outcomes: Counter[str] = Counter()
        self._seconds: Counter[str] = Counter()

    @contextlib.contextmanager
    def job(self) -> Iterator[Record]:
        """Count what runs inside as a job, by what it writes into its record."""
        watch, record = Stopwatch(), Record()
        with self._lock:
            self._in_progress += 1
        try:
            yield record
        finally:
            with self._lock:
                self._in_progress -= 1
                self._outcomes[record.outcome] += 1
                self._seconds.update(record.seconds)
            fields = {
                "outcome": record.outcome,
                "seconds": {name: round(s, 4) for name, s in record.seconds.items()},
                "bytes": record.num_bytes,
            }
            logger.info("ended after %.2f s", watch.total, extra={"fields": fields})

    def describe(self) -> dict[str, Any]:
        """Count of jobs since the worker started, by outcome, and seconds of their stages."""
        with self._lock:
            return {
                "uptime_s": round(time.monotonic() - self._started, 3),
                "in_progress": self._in_progress,
                "jobs": dict(self._outcomes),
                "seconds": {name: round(s, 3) for name, s in self._seconds.items()},
            }


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname,
            "logger": record.name,
            "job": job_id.get(),
            "message": record.getMessage(),
            **vars(record).get("fields", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def set_up_logging(level: str) -> None:
    """Send all logs to stderr, a JSON object a line; of other libraries, warnings and errors."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter())
    logging.getLogger().handlers = [handler]
    for name in ("worker", "volume_bootstrap"):
        logging.getLogger(name).setLevel(level)
    # At DEBUG it prints response headers: the query of a signed URL among them.
    logging.getLogger("httpcore").setLevel(logging.WARNING)
