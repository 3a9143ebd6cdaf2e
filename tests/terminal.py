"""A program whose stderr is a terminal."""

import os
import pty
import subprocess
from collections.abc import Sequence
from pathlib import Path


def shown(command: Sequence[str], env: dict[str, str], cwd: Path | None = None) -> bytes:
    """What a program shows there until it ends, which it does well."""
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as screen:
        process = subprocess.Popen(
            command, env=env, cwd=cwd, stdout=subprocess.DEVNULL, stderr=theirs
        )
        os.close(theirs)
        found = b""
        try:
            while piece := screen.read(4096):
                found += piece
        except OSError:  # how a terminal ends
            pass
    assert process.wait(60) == 0, found
    return found
