"""The worker's log."""

import json
import logging

import pytest

from worker.telemetry import set_up_logging


@pytest.mark.usefixtures("own_logging")
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
