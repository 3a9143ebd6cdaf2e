import io
import logging
import threading

import pytest
from rich.console import Console

from volume_bootstrap import progress
from volume_bootstrap.progress import Progress, Stopped


@pytest.fixture(autouse=True)
def _plain(monkeypatch):
    monkeypatch.setattr(progress, "STDERR", Console(file=io.StringIO()))


def test_a_line_at_the_end_tells_what_was_fetched(caplog):
    caplog.set_level(logging.INFO)
    with Progress("models") as shown:
        shown.expect("a", 3_000_000)
        shown.expect("b", None)
        shown.advance("a", 3_000_000)
        shown.advance("b", 1_000_000)
    (line,) = caplog.messages
    assert line.startswith("models: fetched 2 files, 4.0 MB, in ")


def test_nothing_is_told_where_nothing_was_fetched(caplog):
    caplog.set_level(logging.INFO)
    with Progress("models"):
        pass
    assert not caplog.messages


def test_tenths_of_a_large_download_are_told_with_what_was_there_before(caplog):
    caplog.set_level(logging.INFO)
    with Progress("models") as shown:
        shown.expect("a", 1_000_000_000, done_bytes=500_000_000)
        for _ in range(500):
            shown.advance("a", 1_000_000)
    told = [line.partition(", ")[2] for line in caplog.messages[:-1]]
    assert told == ["50 %", "60 %", "70 %", "80 %", "90 %"]
    assert "fetched 1 files, 500.0 MB" in caplog.messages[-1]


def test_without_a_size_time_decides(caplog, monkeypatch):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(progress, "QUIET_S", 0.0)
    with Progress("models") as shown:
        shown.expect("a", None)
        shown.advance("a", 2_000_000)
    assert caplog.messages[1] == "models: 2 MB"


def test_it_is_silent_where_the_log_is(caplog, monkeypatch):
    console = Console(file=io.StringIO(), force_terminal=True)
    monkeypatch.setattr(progress, "STDERR", console)
    caplog.set_level(logging.WARNING)
    with Progress("models") as shown:
        shown.expect("a", 1_000_000_000)
        shown.advance("a", 1_000_000_000)
    assert not caplog.messages
    assert not console.file.getvalue()


def test_a_terminal_gets_a_bar_and_many_threads_add_up(caplog, monkeypatch):
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    monkeypatch.setattr(progress, "STDERR", console)
    caplog.set_level(logging.INFO)
    with Progress("models") as shown:

        def add(name: str) -> None:
            shown.expect(name, 1_000)
            for _ in range(1_000):
                shown.advance(name, 1)

        threads = [threading.Thread(target=add, args=(str(n),)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert "8.0/8.0 kB" in console.file.getvalue()
    assert "fetched 8 files" in caplog.messages[-1]


def test_the_end_of_the_run_closes_what_is_read_from():
    closed = []
    with Progress("models") as shown:
        with shown.reading(lambda: closed.append("before")):
            pass
        with shown.reading(lambda: closed.append("now")):
            shown.stop()
    assert closed == ["now"]


def test_the_end_of_the_run_ends_whoever_tells_or_waits():
    with Progress("models") as shown:
        shown.expect("a", 10)
        shown.stop()
        with pytest.raises(Stopped):
            shown.advance("a", 1)
        with pytest.raises(Stopped):
            shown.wait(1_000)
