"""What the tests of the client share."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from client import platform as client_platform
from client import session
from tests.client.processes import OURS
from tests.client.stand_in import StandIn
from tests.platform import Platform
from tests.platform.server import API_KEY


@pytest.fixture
def calls(tmp_path: Path) -> Callable[..., Path]:
    """Make a folder with recordings of these names; no worker hears them."""

    def make(*names: str) -> Path:
        folder = tmp_path / "calls"
        for name in names:
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b"RIFF of " + os.fsencode(name))
        return folder

    return make


@pytest.fixture(scope="module")
def stand_in(platform_process: Platform) -> Iterator[None]:
    """A worker takes the platform's jobs, from test to test."""
    with StandIn(platform_process):
        yield


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short pauses, in this process."""
    monkeypatch.setattr(client_platform, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(client_platform, "LONGEST_PAUSE_S", 0.02)
    monkeypatch.setattr(session, "FIRST_POLL_S", 0.01)
    monkeypatch.setattr(session, "LONGEST_POLL_S", 0.05)
    monkeypatch.setattr(session, "GONE_PAUSES_S", (0.01, 0.02, 0.05))


@pytest.fixture
def loopback(platform, monkeypatch: pytest.MonkeyPatch):
    """The platform, as this process's environment names it."""
    for name in [name for name in os.environ if name.startswith(OURS)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("RUNPOD_API_KEY", API_KEY)
    monkeypatch.setenv("RUNPOD_ENDPOINT_BASE_URL", f"{platform.url}/v2")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return platform
