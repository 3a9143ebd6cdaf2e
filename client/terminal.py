"""What a user sees: bars or plain lines while it works (stderr), then a table (stdout)."""

import sys
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column, Table
from rich.text import Text

from client.sources import Recording, printable
from client.work import Outcome, State

STDERR = Console(stderr=True, highlight=False, emoji=False, markup=False)
LOOKS: dict[State, tuple[str, str]] = {
    "done": ("✓ done", "green"),
    "kept": ("✓ done before", "dim green"),
    "failed": ("✗ failed", "bold red"),
    "open": ("… no result yet", "yellow"),
    "unclear": ("? unclear", "bold yellow"),
}
"""How an outcome is shown, and in which style."""
NAME_WIDTH = 40
"""Of a name beside a bar; of a longer one the middle is left out."""
WIDE = 10_000
"""Without a terminal nothing is cut: programs read it."""


class Display:
    """Tells how far a batch is; `begin`, `tell`, `note` and `end` are called by several threads."""

    def __init__(self, recordings: Sequence[Recording]) -> None:
        total = self._total = len(recordings)
        # All rows are as wide as the widest will be: nothing jumps.
        self._width = min(max(len(recording.shown) for recording in recordings), NAME_WIDTH)
        self._lock = threading.Lock()
        self._rows: dict[str, TaskID] = {}
        self._stages: dict[str, str] = {}
        self._num_ended = 0
        self._bars: Progress | None = None
        if STDERR.is_terminal:
            self._bars = Progress(
                SpinnerColumn(finished_text=" "),
                TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
                BarColumn(24, complete_style="cyan", finished_style="green", pulse_style="cyan"),
                TextColumn("{task.fields[stage]:<17}", style="cyan", markup=False),
                TimeElapsedColumn(),
                console=STDERR,
                transient=True,
            )
            self._all = self._bars.add_task(
                "all".ljust(self._width), total=total, stage=f"0 of {total}"
            )

    def __enter__(self) -> Self:
        if self._bars:
            self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bars:
            self._bars.stop()

    def begin(self, recording: Recording) -> None:
        with self._lock:
            if self._bars:
                name = _middle_cut(recording.shown, NAME_WIDTH).ljust(self._width)
                self._rows[recording.name] = self._bars.add_task(name, total=None, stage="")

    def tell(self, recording: Recording, stage: str, share: float | None) -> None:
        """Show what happens to a recording, and the share of it that is done."""
        with self._lock:
            row = self._rows.get(recording.name)
            if self._bars and row is not None:
                percent = "" if share is None else f" {100 * share:.0f} %"
                total = None if share is None else 1.0
                self._bars.update(
                    row, total=total, completed=share or 0.0, stage=f"{stage}{percent}"
                )
            elif self._stages.get(recording.name) != stage:
                self._stages[recording.name] = stage
                STDERR.print(f"{recording.shown}: {stage}", soft_wrap=True)

    def note(self, recording: Recording, message: str) -> None:
        """Tell something that a user should know."""
        STDERR.print(f"{recording.shown}: {printable(message)}", soft_wrap=True)

    def end(self, outcome: Outcome) -> None:
        recording = outcome.recording
        with self._lock:
            self._num_ended += 1
            row = self._rows.pop(recording.name, None)
            if self._bars and row is not None:
                self._bars.remove_task(row)
                stage = f"{self._num_ended} of {self._total}"
                self._bars.update(self._all, completed=self._num_ended, stage=stage)
                return
        took = f" in {outcome.seconds:.1f} s" if outcome.state == "done" else ""
        said = f": {printable(outcome.message)}" if outcome.message else ""
        word = LOOKS[outcome.state][0][2:]
        STDERR.print(
            f"{recording.shown}: {word}{took}{said} ({self._num_ended} of {self._total})",
            soft_wrap=True,
        )


def show(outcomes: Sequence[Outcome], folder: str, seconds: float) -> None:
    """Print the table of all, what failed and why, and one line that sums it up."""
    console = Console(highlight=False, emoji=False, markup=False)
    if not console.is_terminal:
        console.width = WIDE
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("file", overflow="fold")
    table.add_column("outcome", no_wrap=True)
    for heading in ("duration", "speakers", "seconds"):
        table.add_column(heading, justify="right", no_wrap=True)
    for outcome in outcomes:
        word, style = LOOKS[outcome.state]
        table.add_row(
            Text(outcome.recording.shown),
            Text(word, style=style),
            "" if outcome.audio_s is None else clock(outcome.audio_s),
            "" if outcome.num_speakers is None else str(outcome.num_speakers),
            "" if outcome.state == "kept" else f"{outcome.seconds:.1f}",
        )
    console.print(table)
    for outcome in outcomes:
        if outcome.message:
            line = Text(f"\n{outcome.recording.shown}: ", style=LOOKS[outcome.state][1])
            said = printable(outcome.message)
            console.print(line.append(said, style="default not bold"), soft_wrap=True)
    console.print(f"\n{_sum(outcomes, folder, seconds)}", soft_wrap=True)


def clock(seconds: float) -> str:
    """Seconds as ``1:02:03`` or ``2:03``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def fail(message: str, code: int) -> int:
    """Print an error and return its exit code."""
    said = printable(message)
    STDERR.print(Text("error: ", style="bold red").append(said, style="default"), soft_wrap=True)
    return code


def print_lines(*lines: str) -> None:
    """Print lines, each on one of its own, whatever is in it."""
    sys.stdout.write("".join(f"{printable(line)}\n" for line in lines))


def _sum(outcomes: Sequence[Outcome], folder: str, seconds: float) -> str:
    states = [outcome.state for outcome in outcomes]
    counts = [f"{states.count(s)} {LOOKS[s][0][2:]}" for s in LOOKS if s in states]
    audio_s = sum(o.audio_s or 0.0 for o in outcomes if o.state == "done")
    spoken = f" · {clock(audio_s)} of audio in {clock(seconds)}" if audio_s else ""
    return f"{', '.join(counts) or 'nothing was done'}{spoken} · results in {folder}"


def _middle_cut(text: str, width: int) -> str:
    half = (width - 1) // 2
    return text if len(text) <= width else f"{text[: width - 1 - half]}…{text[-half:]}"
