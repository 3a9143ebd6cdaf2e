"""The two tables, and a line of progress now and then."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.faults.kills import Kill, Target

WIDTH = 110


@dataclass(frozen=True, slots=True)
class Row:
    """One fault: exit code and last line of the run that met it, what served, what was wrong.

    A row that is `skipped` says why; it counts neither way.
    """

    fault: str
    code: int | None
    said: str
    served: str
    problems: Sequence[str] = ()
    skipped: str = ""


def tell(line: str) -> None:
    """Tell how far it is, to whoever waits."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def kills_table(target: "Target", kills: Mapping[str, Sequence["Kill"]]) -> Iterator[str]:
    """Kills by stage: how many, what served then, how many re-runs finished."""
    total = [kill for hits in kills.values() for kill in hits]
    yield f"SIGKILL of the process group, `{target.name}`: {len(total)} kills at random moments"
    yield (
        f"  {'stage hit':<16}{'kills':>6}{'old served':>12}{'new served':>12}"
        f"{'re-run finished':>17}"
    )
    for stage, hits in [*kills.items(), ("all", total)]:
        old = sum(kill.served == "old" for kill in hits)
        whole = sum(not kill.problems for kill in hits)
        few = "  TOO FEW" if stage in target.too_few(kills) else ""
        yield f"  {stage:<16}{len(hits):>6}{old:>12}{len(hits) - old:>12}{whole:>17}{few}"
    for kill in total:
        yield from (f"  FAILED in {kill.stage}: {problem}" for problem in kill.problems)


def faults_table(rows: Sequence[Row]) -> Iterator[str]:
    """Each fault in two lines: what became of it, and what the tool said last."""
    yield f"{'fault':<52}{'exit':>5}  {'then serves':<28}re-run finishes"
    for row in rows:
        if row.skipped:
            yield f"{row.fault:<52}{'-':>5}  not run: {row.skipped}"
            continue
        verdict = "FAILED" if row.problems else "yes"
        yield f"{row.fault:<52}{row.code!s:>5}  {row.served:<28}{verdict}"
        yield from (f"    {line}" for line in _shortened(row.said))
        yield from (f"    FAILED: {problem}" for problem in row.problems)


def _shortened(text: str) -> list[str]:
    """Two lines of a text: its beginning and its end, where reasons stand."""
    if len(text) <= 2 * WIDTH:
        return [part for part in (text[:WIDTH], text[WIDTH:]) if part]
    return [f"{text[:WIDTH]} …", f"… {text[-WIDTH:]}"]
