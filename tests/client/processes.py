"""The client as a process: ``python -m client`` with an environment of its own."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.platform import Platform
from tests.platform.server import API_KEY, ENDPOINT
from tests.server_process import ROOT

OURS = ("RUNPOD_", "SPEECH_", "BUCKET_", "AWS_")
TIMEOUT_S = 120
TO_LOOPBACK = ("--endpoint", ENDPOINT)


def environment(platform: Platform | None = None, **more: str) -> dict[str, str]:
    """Nothing of whoever runs the tests; the key and the address of a loopback platform."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    kept |= {"NO_PROXY": "127.0.0.1,localhost", "COLUMNS": "120", "PYTHONPATH": str(ROOT)}
    if platform:
        kept |= {
            "RUNPOD_API_KEY": API_KEY,
            "RUNPOD_ENDPOINT_BASE_URL": f"{platform.url}/v2",
        }
    return kept | more


def command(arguments: Sequence[str | Path]) -> list[str]:
    return [sys.executable, "-m", "client", *map(str, arguments)]


def run(*arguments: str | Path, env: dict[str, str]) -> subprocess.CompletedProcess:
    """Run the client to its end."""
    return subprocess.run(
        command(arguments),
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
    )


def names_of_jobs(platform: Platform) -> list[str]:
    """The recordings that jobs were sent for, sorted; one sent twice stands there twice."""
    return sorted(job["payload"]["input"]["audio"]["id"] for job in platform.jobs())
