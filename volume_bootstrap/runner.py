"""The one function that starts other programs."""

import logging
import os
import re
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import IO

from volume_bootstrap.errors import ToolError

logger = logging.getLogger(__name__)

QUIET_ENVIRONMENT = {"ORT_DISABLE_TELEMETRY": "1"}
"""ONNX Runtime calls home and keeps a database, unless it is told not to before its import."""

CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")
QUERY = re.compile(r"(?<=://)(?P<address>[^?\s]+)\?[^\s`)]+")

SHOWN_LINES = 30
"""Lines of a failed program's output that its error repeats."""

LAST_WORDS_S = 1.0
"""How long the output of a program that was killed is waited for."""

TOLD = ("Downloading ", "Downloaded ", "Building ", "Built ")
"""How lines of uv start that tell of a step which may take minutes."""


def run(
    command: Sequence[str],
    environment: Mapping[str, str | None],
    *,
    text: str = "",
    shows_progress: bool = False,
    timeout_s: float | None = None,
) -> str:
    """Run a program to its end.

    Parameters
    ----------
    environment : changes to this process's own; a variable that is None is taken out.
    text : its standard input.
    shows_progress : hand it the terminal, where there is one, for its own progress bars.
    timeout_s : kill it after so many seconds; None waits for as long as it takes.

    Returns
    -------
    Its standard output; its standard error is shown only when it fails, but for its warnings and,
    without a terminal, for what it downloads and builds.

    Raises
    ------
    ToolError
        It cannot be started, fails, or does not end in time.
    """
    logger.debug("run %s", shlex.join(command))
    on_terminal = shows_progress and sys.stderr.isatty() and logger.isEnabledFor(logging.INFO)
    begun: list[subprocess.Popen[str]] = []
    complaints: list[str] = []
    try:
        process = _begin(begun, command, environment, None if on_terminal else subprocess.PIPE)
        output = _talk(process, text, complaints, timeout_s)
    except subprocess.TimeoutExpired as error:
        _kill(begun)
        said = "and was killed" + _said(complaints, on_terminal=on_terminal)
        raise ToolError(
            f"{shlex.join(command[:3])} did not end within {error.timeout:g} s, {said}"
        ) from error
    except BaseException:
        # An interrupted provisioner leaves no program behind that still writes to the volume.
        _kill(begun)
        raise
    if process.returncode:
        said = _said([*output.splitlines(), *complaints], on_terminal=on_terminal)
        raise ToolError(
            f"{shlex.join(command[:3])} failed with exit code {process.returncode}{said}"
        )
    return output


def _begin(
    begun: list[subprocess.Popen[str]],
    command: Sequence[str],
    environment: Mapping[str, str | None],
    stderr: int | None,
) -> subprocess.Popen[str]:
    """Start a program, and put it into `begun` whatever interrupts this meanwhile."""
    merged = {**os.environ, **environment}

    def begin() -> None:
        begun.append(
            subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env={name: value for name, value in merged.items() if value is not None},
                encoding="utf-8",
                errors="replace",
            )
        )

    try:
        # Handlers of signals run in the main thread alone: one that raises in the middle of Popen
        # would leave a program that runs and that nobody knows.
        with ThreadPoolExecutor(1) as pool:
            # First the thread: a pool that is interrupted as it starts one would not wait for it.
            pool.submit(int).result()
            pool.submit(begin).result()
    except OSError as error:
        raise ToolError(f"{command[0]} cannot be started: {error.strerror}.") from error
    return begun[0]


def _talk(
    process: subprocess.Popen[str], text: str, complaints: list[str], timeout_s: float | None
) -> str:
    """Write a program's input and read its output, while a thread follows its complaints.

    Raises
    ------
    subprocess.TimeoutExpired
        It, or what it started and gave its output to, does not end in time.
    """
    # The thread alone reads and closes this stream: nobody else can, while it waits for a line.
    stream, process.stderr = process.stderr, None
    reader = threading.Thread(target=_follow, args=(stream, complaints), daemon=True)
    reader.start()
    ends = time.monotonic() + (timeout_s or 0.0)
    try:
        output, _ = process.communicate(text, timeout_s)
        reader.join(timeout_s if timeout_s is None else max(0.0, ends - time.monotonic()))
    except BaseException:
        process.kill()
        # No longer: what it started may live on, and hold the pipe.
        reader.join(LAST_WORDS_S)
        raise
    if timeout_s is not None and reader.is_alive():
        raise subprocess.TimeoutExpired(process.args, timeout_s)
    return output


def _kill(begun: list[subprocess.Popen[str]]) -> None:
    for process in begun:
        process.kill()
        with process:  # closes its pipes, and waits for its end
            pass


def _said(lines: list[str], *, on_terminal: bool) -> str:
    """How a program's error ends: with the last of what it said."""
    if on_terminal:
        return "; its output stands above."
    if not lines:
        return "; it said nothing."
    return ":\n  " + "\n  ".join(lines[-SHOWN_LINES:])


def _follow(stream: IO[str] | None, lines: list[str]) -> None:
    """Keep a program's complaints; tell of its warnings and its long steps as they come."""
    if stream is None:
        return
    with stream:
        for line in stream:
            # uv repeats addresses as it was given them.
            lines.append(QUERY.sub(r"\g<address>", CREDENTIALS.sub("", line.rstrip())))
            if line.startswith("warning:"):
                logger.warning("%s", lines[-1].removeprefix("warning: "))
            elif line.startswith(TOLD):
                logger.info("  %s", lines[-1])
            else:
                logger.debug("  %s", lines[-1])
