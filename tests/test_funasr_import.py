"""Imports of FunASR's modules by several threads."""

import sys
import threading
import warnings

import pytest

from worker.engines.funasr_import import funasr_module

DEADLINE_S = 60


@pytest.fixture
def modules(tmp_path, monkeypatch) -> list[str]:
    """Two modules of the package whose imports overlap where nothing keeps them apart."""
    funasr_module("register")
    package = sys.modules["funasr"]
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    names = ["slow_import", "slower_import"]
    for name, seconds in zip(names, (0.3, 0.6), strict=True):
        (tmp_path / f"{name}.py").write_text(f"import time\nprint('hello')\ntime.sleep({seconds})")
    yield names
    for name in names:
        sys.modules.pop(f"funasr.{name}", None)


def run(*calls) -> None:
    threads = [threading.Thread(target=call, daemon=True) for call in calls]
    for thread in threads:
        thread.start()
        thread.join(0.1)
    for thread in threads:
        thread.join(DEADLINE_S)
        assert not thread.is_alive()


def test_imports_at_once_leave_output_and_warnings_as_they_were(modules, capsys):
    output, filters = sys.stdout, list(warnings.filters)
    try:
        run(*(lambda name=name: funasr_module(name) for name in modules))
        assert sys.stdout is output
        assert warnings.filters == filters
    finally:
        sys.stdout, warnings.filters[:] = output, filters
    assert capsys.readouterr().out == ""


def test_what_is_imported_is_given_without_silencing_the_process(monkeypatch):
    name = "utils.postprocess_utils"
    module = funasr_module(name)

    class Watched:
        """Stands for `contextlib.redirect_stdout`, and is never to be entered."""

        def __init__(self, target: object) -> None:
            raise AssertionError(target)

    monkeypatch.setattr("contextlib.redirect_stdout", Watched)
    assert funasr_module(name) is module
