"""Memory of long recordings, and how soon a job on one ends when it is cancelled."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.asr_sides import AUDIO, AsrWorker, Job

Result = dict[str, Any]


def long(
    worker: AsrWorker, alias: str, recordings: Sequence[Path], tasks: Sequence[str], cancels: int
) -> Result:
    """Run each task on each recording, in a process of its own; cancel jobs on the shortest.

    Parameters
    ----------
    recordings : the shortest first; they lie on the worker's volume.
    cancels : how often a job is cancelled, at random moments.
    """
    runs = []
    for task in tasks:
        for recording in recordings:
            process = worker.run([_job(task, alias, recording)])
            (answer,) = process.answers
            runs.append(
                {
                    "task": task,
                    "duration_s": answer["audio"]["duration"],
                    "wall_s": round(answer["wall_s"], 2),
                    "peak_memory_mb": round(process.process.peak_memory_mb),
                    "stages_s": answer["timings"],
                }
            )
    cancelled = {}
    if cancels:
        for task in tasks:
            job = json.dumps(_job(task, alias, recordings[0]))
            cancelled[task] = worker.script("asr_cancel", str(cancels), job).answers
    return {"runs": runs, "cancelled": cancelled}


def _job(task: str, alias: str, recording: Path) -> Job:
    return {
        "task": task,
        "model": alias,
        "timestamps": "word",
        "audio": f"volume://{AUDIO}/{recording.name}",
    }
