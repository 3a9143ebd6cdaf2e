"""Servers of the tests: each a process of its own, which ends with a block."""

import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).parent.parent


class ServerProcess:
    """A program that prints a line once it listens.

    Parameters
    ----------
    arguments : of Python, such as ``-m tests.media_server FOLDER``.

    Attributes
    ----------
    said : the line.
    """

    def __init__(self, *arguments: str) -> None:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            [sys.executable, *arguments], cwd=ROOT, stdin=pipe, stdout=pipe, text=True
        )
        assert self._process.stdout is not None
        self.said = self._process.stdout.readline()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._process:  # closes the pipes and waits
            self._process.kill()
