"""What a status of the platform means: progress, a reply, or a job that has failed."""

import re
from typing import Any

from client.errors import JobFailed
from client.platform import Status

MAX_SAID = 500
"""Characters of a failure without a code that a message repeats."""


def progress(status: Status) -> tuple[str, float | None]:
    """What a running job does and the share of it that is done, whatever the platform tells."""
    if status.status == "IN_QUEUE":
        return "in the queue", None
    told = status.output if isinstance(status.output, dict) else {}
    stage, share = told.get("stage"), told.get("progress")
    return (
        stage if isinstance(stage, str) and stage.isprintable() else "working",
        float(share) if isinstance(share, int | float) and 0 <= share <= 1 else None,
    )


def outcome(status: Status) -> dict[str, Any]:
    """The reply of a job that has ended.

    Raises
    ------
    JobFailed
        It has none.
    """
    if status.status == "COMPLETED":
        if isinstance(status.output, dict) and "error" not in status.output:
            return status.output
        if status.output is None:
            raise JobFailed(
                "NO_RESULT",
                "the platform has lost the result, which it does with those over 10 MB. Name "
                "--option output=s3://bucket/prefix/, or ask for fewer formats.",
            )
    error = status.error
    if error is None and isinstance(status.output, dict):
        error = status.output.get("error")
    if status.status in ("CANCELLED", "TIMED_OUT"):
        raise JobFailed(
            status.status, f"the platform ended the job ({error or 'no reason given'})."
        )
    code = re.fullmatch(r"([A-Z][A-Z_]+): (.+)", str(error), re.DOTALL)
    if code:
        raise JobFailed(code[1], code[2])
    raise JobFailed("FAILED", str(error)[:MAX_SAID] if error else "the platform gives no reason.")
