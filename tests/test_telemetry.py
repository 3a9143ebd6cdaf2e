"""The worker's log."""

import json
import logging
from collections.abc import Iterator

import pytest

from worker.telemetry import set_up_logging

OURS = ("worker", "volume_bootstrap")


@pytest.fixture
def levels(monkeypatch) -> Iterator[None]:
    """Give back what the test changes for the process."""
    before = {name: logging.getLogger(name).level for name in OURS}
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    yield
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)


@pytest.mark.usefixtures("levels")
def test_each_line_is_json_whoever_logs(capsys):
    set_up_logging("INFO")
    for name in ("worker.service", "volume_bootstrap.import_bundle", "asyncio"):
        logging.getLogger(name).info("told")
        logging.getLogger(name).warning("warned")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(line["logger"], line["message"]) for line in lines] == [
        ("worker.service", "told"),
        ("worker.service", "warned"),
        ("volume_bootstrap.import_bundle", "told"),
        ("volume_bootstrap.import_bundle", "warned"),
        ("asyncio", "warned"),
    ]
