"""The provisioner's figures as a table of plain text."""

from collections.abc import Iterator
from typing import Any

Result = dict[str, Any]

MAX_NO_CHANGE_S = 0.5
MAX_CHANGED_S = 8.0
LEAST_TIMES_PIP = 5.0
LEAST_OF_CURL = 0.8


def render(result: Result) -> str:
    """The section: figures, then the targets beside what was reached."""
    return "\n".join(_lines(result["packages"], result["models"]))


def _lines(packages: Result, models: Result) -> Iterator[str]:
    yield (
        f"Packages: {packages['num_packages']} of speaker-diarization (cpu), "
        f"{packages['num_files']} files, {packages['size_mb']} MB; warm caches, local disk"
    )
    rows = (
        ("deps install, no change, s", "no change"),
        (f"deps install, {packages['changed']} changed, s", "one switched"),
        ("  and the oldest generation removed, s", "one changed"),
        ("pip install --target of the same lock, s", "pip"),
    )
    for title, name in rows:
        yield f"  {title:<45}{_figure(packages['seconds'][name], 2)}"
    size = models["num_files"] * models["file_mb"]
    yield f"Models: {models['num_files']} files of {models['file_mb']} MB from a hub on loopback"
    for title, name in (
        ("models download, fetching, s", "fetch"),
        ("curl, ten at once, s", "curl"),
    ):
        seconds = models["seconds"][name]
        yield f"  {title:<45}{_figure(seconds, 2):<26}{size / seconds['median']:.0f} MB/s"
    nothing, changed = (packages["seconds"][n]["median"] for n in ("no change", "one switched"))
    by_pip, by_curl = packages["pip_by_changed"], models["speed_by_curl"]
    yield "Targets"
    yield _target("no change ≤ 0.5 s", f"{nothing:.2f}", reached=nothing <= MAX_NO_CHANGE_S)
    yield _target(
        "one package changed, built, switched ≤ 8 s",
        f"{changed:.2f}",
        reached=changed <= MAX_CHANGED_S,
    )
    yield _target(
        "at least 5 times faster than pip", _figure(by_pip, 1),
        reached=by_pip["median"] >= LEAST_TIMES_PIP,
    )  # fmt: skip
    yield _target(
        "at least 0.8 of curl's speed", _figure(by_curl, 2),
        reached=by_curl["median"] >= LEAST_OF_CURL,
    )  # fmt: skip


def _target(title: str, shown: str, *, reached: bool) -> str:
    return f"  {title:<45}{shown:<22}{'reached' if reached else 'MISSED'}"


def _figure(figure: Result, digits: int) -> str:
    return (
        f"{figure['median']:.{digits}f} ({figure['min']:.{digits}f} to {figure['max']:.{digits}f})"
    )
