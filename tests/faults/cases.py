"""A fault that a run meets, and the trial that it is put through."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from tests.faults.report import Row, tell
from tests.faults.scene import How, Scene
from tests.faults.verdict import judge, judge_rerun, served

SHOWN_LOG_CHARS = 600


def _nothing() -> None:
    """End of a fault that is over by itself, or that the run mends."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault that is in effect: how runs are started then, and what ends it."""

    how: How = field(default_factory=How)
    end: Callable[[], object] = _nothing


@dataclass(frozen=True, slots=True)
class Case:
    """A fault by name, what makes it, and what the run that meets it shall do.

    `says` stands in what the run tells. A fault that `damages` the volume is met by the worker,
    too: until a run has mended it, nothing needs to serve; there is no next version then.
    """

    name: str
    make: Callable[[Scene], AbstractContextManager[Fault]]
    code: int
    says: str = ""
    damages: bool = False


def try_case(scene: Scene, case: Case) -> Row:
    """Meet a fault on the way to the next version; then run again without it."""
    tell(case.name)
    with case.make(scene) as fault:
        before = scene.look(fault.how)
        if not case.damages:
            scene.offer_next()
        met = scene.run("setup", fault.how)
        now = scene.look(fault.how)
        problems = judge(now, now if case.damages else before, scene.wanted)
        if met.code != case.code or case.says not in met.log:
            problems.append(
                f"exit code {met.code} (not {case.code}?) or {case.says!r} was not told: "
                f"{met.log[-SHOWN_LOG_CHARS:]}"
            )
        fault.end()
        again = scene.run("setup", fault.how)
        problems += judge_rerun(scene, again, scene.look(fault.how))
        seen = served(before if case.damages else now, scene.wanted)
    return Row(case.name, met.code, met.last_line, seen, problems)
