"""What generated conversations showed, as a table of plain text."""

import math
from collections.abc import Iterator
from typing import Any

from benchmarks import table
from benchmarks.measure import WORKER

Result = dict[str, Any]

LEAST_SHARE = 0.9
"""Of the conversations: 18 of 20."""
MAX_CONFUSION_RATIO = 1 / 3
COLLARS = ("0.25", "0")


def render(result: Result) -> str:
    """Each conversation and all together, then the targets beside what was reached."""
    return table.lay_out(
        table.machine(result),
        _drawn(result["conversations"]),
        table.scores(result["accuracy"]),
        table.speed(result),
        _targets(result["accuracy"], list(result["conversations"]), result["by_worker"]),
    )


def _drawn(conversations: Result) -> Iterator[str]:
    for name, drawn in conversations.items():
        yield f"{name:<15}{drawn['speakers']:3} speakers{drawn['minutes']:4g} min"


def _targets(accuracy: Result, names: list[str], by_worker: Result) -> Iterator[str]:
    enough = math.ceil(LEAST_SHARE * len(names))
    # [side][collar][name]
    scores = {
        side: {c: {n: s[f"collar_{c}"] for n, s in scored["scores"].items()} for c in COLLARS}
        for side, scored in accuracy.items()
    }
    peers = [side for side in scores if side != WORKER]
    yield "Targets"
    for collar in COLLARS:
        ours = scores[WORKER][collar]
        for peer in peers:
            theirs = scores[peer][collar]
            a, b = ours["overall"]["confusion"], theirs["overall"]["confusion"]
            yield table.target(
                f"collar {collar}: confusion ≤ 1/3 of {table.LABELS[peer]}'s",
                f"{a:.2f} / {b:.2f}",
                reached=a <= MAX_CONFUSION_RATIO * b,
            )
        if peers:
            best = {n: min(scores[peer][collar][n]["der"] for peer in peers) for n in names}
            below = sum(ours[n]["der"] < best[n] for n in names)
            yield table.target(
                f"collar {collar}: DER below every peer's, {enough} times",
                f"{below} of {len(names)}",
                reached=below >= enough,
            )
    counts = {
        side: _right_counts(by_collar[COLLARS[0]], names) for side, by_collar in scores.items()
    }
    yield table.target(
        f"speaker count right, {enough} times",
        f"{counts[WORKER]} of {len(names)}",
        reached=counts[WORKER] >= enough,
    )
    for peer in peers:
        yield f"    {table.LABELS[peer]}'s: {counts[peer]} of {len(names)}"
    yield from table.speed_targets(by_worker)


def _right_counts(scores: Result, names: list[str]) -> int:
    return sum(scores[n]["speakers"] == scores[n]["reference_speakers"] for n in names)
