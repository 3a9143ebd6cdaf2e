"""The terminal: results on stdout, progress on stderr, one exit code for each kind of end."""

import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path

from rich.console import Console
from rich.logging import RichHandler
from rich.table import Table
from rich.text import Text

from volume_bootstrap.errors import DamageError
from volume_bootstrap.packages.integrity import Damage

STDERR = Console(stderr=True, highlight=False, emoji=False)
"""Bars and log lines go through the same console, or they would write over each other."""


def set_up_logging(*, verbose: bool, quiet: bool) -> None:
    """Send progress to stderr: decorated on a terminal, one plain line a message elsewhere."""
    level = logging.DEBUG if verbose else logging.WARNING if quiet else logging.INFO
    handler: logging.Handler
    if STDERR.is_terminal:
        handler = RichHandler(console=STDERR, show_path=False, show_level=False, markup=False)
    else:
        handler = logging.StreamHandler()
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[handler])
    # Not the clients of the hubs, which tell of each of their requests.
    logging.getLogger("volume_bootstrap").setLevel(level)


def fail(message: str, code: int) -> int:
    """Print an error and return its exit code."""
    STDERR.print(f"error: {message}", markup=False, soft_wrap=True)
    return code


def print_lines(*lines: str) -> None:
    """Print lines as they are."""
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def print_json(value: object) -> None:
    """Print a value as JSON; records become objects."""
    print_lines(json.dumps(value, indent=2, default=_plain))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under headings; columns named with a leading ``>`` stand to the right.

    Without a terminal nothing is cut: programs read it.
    """
    console = Console(highlight=False, emoji=False)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        right = column.startswith(">")
        table.add_column(
            column.removeprefix(">"), justify="right" if right else "left", overflow="fold"
        )
    for row in rows:
        table.add_row(*map(Text, row))
    if not console.is_terminal:
        console.width = 10_000
    console.print(table)


def report(damages: Sequence[Damage], *, as_json: bool) -> None:
    """Print what is damaged.

    Raises
    ------
    DamageError
        Anything is.
    """
    if as_json:
        print_json(list(damages))
    elif damages:
        rows = [(each.owner, str(each.path), each.problem) for each in damages]
        print_table(("what", "file", "problem"), rows)
    else:
        print_lines("everything is as it was provisioned")
    if damages:
        raise DamageError(
            f"Damaged files: {len(damages)}. Mend models with `setup`, packages with "
            "`deps install --force`."
        )


def size(num_bytes: float) -> str:
    """Bytes for people, in powers of 1000: ``28.0 MB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if num_bytes < 1000:
            return f"{num_bytes:.0f} B" if unit == "B" else f"{num_bytes:.1f} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.1f} TB"


def _plain(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} is no JSON")
