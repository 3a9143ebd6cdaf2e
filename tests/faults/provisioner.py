"""What a volume goes through, in two tables.

Runs on this machine alone, with an index and a hub on loopback; the export of a model takes torch
from where pip finds it. It needs user namespaces for the full and the read-only disk.
"""

import random
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

from tests.faults import bundles, pythons, supplies, volumes, writers
from tests.faults.bundles import apply_scene, create_scene
from tests.faults.cases import try_case
from tests.faults.exports import export_scene
from tests.faults.kills import START, Kill, Target, kill_often
from tests.faults.pushes import push_scene
from tests.faults.report import Row, faults_table, kills_table, tell
from tests.faults.scene import Scene, scene
from tests.faults.verdict import KINDS

KILLS_OF_ONE = 30
"""Of a bundle as it is made, as it is applied, and of a push."""
PACKING = (START, "verify", "resolve", "fetch", "pack")
UNPACKING = (START, "extract-models", "extract-wheels", "install", "compile", "import-check")
"""Stages of bundles that take a while; others are hit as it comes."""
SWITCHING = ("switch-models", "switch-deps", "manifest", "publish")
"""From the first name that changes to the last: short, and what matters most."""


def try_provisioner(wanted: re.Pattern[str], seed: int, num_kills: int) -> bool:
    """Put the provisioner through the kills and the faults whose name the expression is found in.

    Prints both tables; returns whether all went as it should.

    Parameters
    ----------
    seed : of the moments at which it is killed
    num_kills : of an install, and of a download; a push has its own number
    """
    kills: list[tuple[Target, dict[str, list[Kill]]]] = []
    with tempfile.TemporaryDirectory(prefix="speech-faults-") as folder:
        for target, make in _targets(num_kills):
            if wanted.search(target.name):
                with make(Path(folder)) as place:
                    kills.append((target, _kill(place, target, random.Random(seed))))
        with scene(Path(folder)) as place:
            rows = list(_try_all(place, wanted))
    lines = [line for each in kills for line in [*kills_table(*each), ""]]
    if rows:
        lines += [*faults_table(rows), ""]
    if kills:
        lines.append(f"seed {seed}; the same moments are chosen with --seed {seed}")
    sys.stdout.writelines(f"{line}\n" for line in lines)
    return _passed(kills, rows)


def _targets(
    count: int,
) -> Iterator[tuple[Target, Callable[[Path], AbstractContextManager[Scene]]]]:
    yield Target("setup, new packages", "setup", ("packages",), count), scene
    yield Target("models download", "models download", ("models",), count), scene
    yield Target(bundles.CREATE, bundles.CREATE, KINDS, KILLS_OF_ONE, (), PACKING), create_scene
    stages = (*UNPACKING, *SWITCHING)
    yield Target(bundles.APPLY, bundles.APPLY, KINDS, KILLS_OF_ONE, (), stages), apply_scene
    options, stages = ["--force"], ["export"]
    yield (
        Target("models download, export", "models download", ("models",), 3, options, stages),
        export_scene,
    )
    yield Target("models push", "models push", ("models",), KILLS_OF_ONE), push_scene


def _kill(place: Scene, target: Target, source: random.Random) -> dict[str, list[Kill]]:
    place.slow_down()
    _begin(place)
    return kill_often(place, target, source)


def _try_all(place: Scene, wanted: re.Pattern[str]) -> Iterator[Row]:
    trials: dict[str, Callable[[Scene], Row]] = {
        case.name: partial(try_case, case=case) for case in supplies.CASES + volumes.CASES
    }
    trials |= {
        "two provisioners at once": writers.two_at_once,
        "dead holder here": partial(writers.dead_holder, elsewhere=False),
        "dead holder elsewhere": partial(writers.dead_holder, elsewhere=True),
        "workers start during switches": writers.starts_during_switches,
        "a worker runs while its generation ages": writers.worker_keeps_its_generation,
        "another Python that fits": pythons.fitting,
        "another Python that does not fit": pythons.unfit,
    }
    chosen = [trial for name, trial in trials.items() if wanted.search(name)]
    if chosen:
        _begin(place)
    for trial in chosen:
        row = trial(place)
        for problem in row.problems:
            tell(f"  FAILED: {problem}")
        yield row
        if row.problems:
            # The next row is not to suffer from what this one left.
            shutil.rmtree(place.volume)
            _begin(place)


def _begin(place: Scene) -> None:
    """Fill the volume, undisturbed."""
    place.offer_next()
    first = place.run("setup")
    if first.code:
        raise RuntimeError(f"the first set-up failed: {first.log}")


def _passed(kills: list[tuple[Target, dict[str, list[Kill]]]], rows: list[Row]) -> bool:
    enough = not any(target.too_few(hits) for target, hits in kills)
    whole = not any(k.problems for _, hits in kills for found in hits.values() for k in found)
    return enough and whole and not any(row.problems for row in rows)
