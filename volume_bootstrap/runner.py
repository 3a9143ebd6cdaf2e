"""The one function that starts other programs."""

import contextlib
import logging
import os
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import IO

from volume_bootstrap.errors import ToolError

logger = logging.getLogger(__name__)

QUIET_ENVIRONMENT = {"ORT_DISABLE_TELEMETRY": "1"}
"""ONNX Runtime calls home and keeps a database, unless it is told not to before its import."""

CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")
QUERY = re.compile(r"(?<=://)(?P<address>[^?\s]+)\?[^\s`)]+")

SHOWN_LINES = 30
"""Lines of a failed program's output that its error repeats."""

TOLD = ("Downloading ", "Downloaded ", "Building ", "Built ")
"""How lines of uv start that tell of a step which may take minutes."""


def run(
    command: Sequence[str],
    environment: Mapping[str, str | None],
    *,
    text: str = "",
    shows_progress: bool = False,
) -> str:
    """Run a program to its end.

    Parameters
    ----------
    environment : changes to this process's own; a variable that is None is taken out.
    text : its standard input.
    shows_progress : hand it the terminal, where there is one, for its own progress bars.

    Returns
    -------
    Its standard output; its standard error is shown only when it fails, but for its warnings and,
    without a terminal, for what it downloads and builds.

    Raises
    ------
    ToolError
        It cannot be started, or fails.
    """
    logger.debug("run %s", shlex.join(command))
    merged = {**os.environ, **environment}
    on_terminal = shows_progress and sys.stderr.isatty() and logger.isEnabledFor(logging.INFO)
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if on_terminal else subprocess.PIPE,
            env={name: value for name, value in merged.items() if value is not None},
            encoding="utf-8",
            errors="replace",
        )
    except OSError as error:
        raise ToolError(f"{command[0]} cannot be started: {error.strerror}.") from error
    complaints: list[str] = []
    with process:
        reader = threading.Thread(target=_follow, args=(process.stderr, complaints))
        reader.start()
        try:
            output = _talk(process, text)
        except BaseException:
            # An interrupted provisioner leaves no program behind that still writes to the volume.
            process.kill()
            raise
        finally:
            reader.join()
    if process.returncode:
        lines = [*output.splitlines(), *complaints][-SHOWN_LINES:]
        raise ToolError(
            f"{shlex.join(command[:3])} failed with exit code {process.returncode}"
            + ("; its output stands above." if on_terminal else ":\n  " + "\n  ".join(lines))
        )
    return output


def _talk(process: subprocess.Popen[str], text: str) -> str:
    """Write a program's input, then read its output: it reads all before it writes any."""
    if process.stdin is None or process.stdout is None:
        raise ValueError("the program was started without pipes")
    # One that fails early closes its input; its exit code tells.
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(text)
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()
    return process.stdout.read()


def _follow(stream: IO[str] | None, lines: list[str]) -> None:
    """Keep a program's complaints; tell of its warnings and its long steps as they come."""
    for line in stream or ():
        # uv repeats addresses as it was given them.
        lines.append(QUERY.sub(r"\g<address>", CREDENTIALS.sub("", line.rstrip())))
        if line.startswith("warning:"):
            logger.warning("%s", lines[-1].removeprefix("warning: "))
        elif line.startswith(TOLD):
            logger.info("  %s", lines[-1])
        else:
            logger.debug("  %s", lines[-1])
