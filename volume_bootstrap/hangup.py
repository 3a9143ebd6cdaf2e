"""A run that outlives the terminal that it was started in."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import TextIO


@contextlib.contextmanager
def outliving_the_terminal() -> Iterator[None]:
    """Go on when the terminal is closed, and let the programs that are started go on, too.

    A closed terminal sends SIGHUP, and fails each write from then on, of every process. So nothing
    writes to it but a thread here, which stops telling where nobody listens.
    """
    # An ignored signal stays ignored in what is started; a handler would not.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with contextlib.ExitStack() as stack:
        for stream in (sys.stdout, sys.stderr):
            if stream.isatty():
                stack.enter_context(_relayed(stream))
        yield


@contextlib.contextmanager
def _relayed(stream: TextIO) -> Iterator[None]:
    number = stream.fileno()
    terminal = os.dup(number)
    read, write = os.pipe()
    os.dup2(write, number)
    os.close(write)
    relay = threading.Thread(target=_relay, args=(read, terminal), daemon=True)
    relay.start()
    try:
        yield
    finally:
        stream.flush()
        if not os.isatty(terminal):  # it was closed: what comes now goes nowhere, without an error
            terminal = os.open(os.devnull, os.O_WRONLY)
        # The relay ends with the pipe, and that with its last writer.
        os.dup2(terminal, number)
        relay.join(timeout=1.0)


def _relay(source: int, terminal: int) -> None:
    while told := os.read(source, 65_536):
        with contextlib.suppress(OSError):  # closed
            while told:
                told = told[os.write(terminal, told) :]
