"""The one function that starts other programs."""

import logging
import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence

from volume_bootstrap.errors import ToolError

logger = logging.getLogger(__name__)

QUIET_ENVIRONMENT = {"ORT_DISABLE_TELEMETRY": "1"}
"""ONNX Runtime calls home and keeps a database, unless it is told not to before its import."""

SHOWN_LINES = 30
"""Lines of a failed program's output that its error repeats."""


def run(command: Sequence[str], environment: Mapping[str, str], *, text: str = "") -> str:
    """Run a program to its end.

    Parameters
    ----------
    environment : added to this process's own.
    text : its standard input.

    Returns
    -------
    Its standard output; its standard error is shown only when it fails.

    Raises
    ------
    ToolError
        It cannot be started, or fails.
    """
    logger.debug("run %s", shlex.join(command))
    try:
        process = subprocess.run(
            command,
            input=text,
            env={**os.environ, **environment},
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
    except OSError as error:
        raise ToolError(f"{command[0]} cannot be started: {error.strerror}.") from error
    if process.returncode:
        output = (process.stdout + process.stderr).strip().splitlines()
        raise ToolError(
            f"{shlex.join(command[:3])} failed with exit code {process.returncode}:\n  "
            + "\n  ".join(output[-SHOWN_LINES:])
        )
    return process.stdout
