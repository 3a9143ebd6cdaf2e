"""The rows of the worker, put through and printed."""

import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tests.faults import endurance, worker_ends, worker_platform, worker_resources
from tests.faults.report import tell
from tests.faults.worker_scene import Trial, WorkerRow, WorkerScene, worker_scene

ROWS: dict[str, Callable[[Trial], str]] = {
    **worker_ends.ROWS,
    **worker_platform.ROWS,
    **worker_resources.ROWS,
    f"{endurance.NUM_JOBS} jobs in a row, good and bad": endurance.endure,
}


def try_worker(wanted: re.Pattern[str]) -> bool:
    """Put workers through each fault whose name the expression is found in.

    Prints the table; returns whether all went as it should.
    """
    chosen = [name for name in ROWS if wanted.search(name)]
    if not chosen:
        return True
    with (
        tempfile.TemporaryDirectory(prefix="speech-faults-") as folder,
        worker_scene(Path(folder) / "scene") as scene,
    ):
        rows = [_try(scene, name) for name in chosen]
    sys.stdout.writelines(f"{line}\n" for line in worker_table(rows))
    return not any(row.problems for row in rows)


def _try(scene: WorkerScene, name: str) -> WorkerRow:
    trial = Trial(scene, name)
    try:
        happened = ROWS[name](trial)
    except Exception as error:  # noqa: BLE001 - whatever it is, the other rows go on
        happened = "broken off"
        trial.problems.append(f"{type(error).__name__}: {error}")
    row = trial.row(happened)
    for problem in row.problems:
        tell(f"  FAILED: {problem}")
    return row


def worker_table(rows: Sequence[WorkerRow]) -> Iterator[str]:
    """Each fault in two lines: the figures, and what happened."""
    yield f"{'fault of a worker':<56}{'jobs':>6}{'results':>9}{'lost':>6}{'seconds':>9}"
    for row in rows:
        verdict = "  FAILED" if row.problems else ""
        yield (
            f"{row.fault:<56}{row.jobs:>6}{row.results:>9}{row.lost:>6}{row.seconds:>9.1f}{verdict}"
        )
        if row.happened:
            yield f"    {row.happened}"
        yield from (f"    FAILED: {problem}" for problem in row.problems)
