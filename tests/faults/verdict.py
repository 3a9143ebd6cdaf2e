"""Whether what a worker gets is whole, and whether the run after a fault finished the job."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.faults.scene import Finished, Scene

Serving = dict[str, Any]
"""What tests.faults.serving prints."""

KINDS = ("packages", "models")


def judge(now: Serving, before: Serving, wanted: Mapping[str, str]) -> list[str]:
    """Say what is wrong with what a worker gets after a fault.

    Packages are all of the version before or all of the one that is wanted, and so are models.
    """
    if "error" in now:
        return [f"nothing serves: {now['error']}"]
    problems = []
    for kind in KINDS:
        found, old = set(now[kind].values()), set(before[kind].values())
        if found not in (old, {wanted[kind]}):
            problems.append(f"{kind} are neither the old nor the new: {now[kind]}")
    return problems


def judge_rerun(scene: "Scene", again: "Finished", now: Serving) -> list[str]:
    """Say what is wrong after the run that shall finish the job."""
    problems = []
    if again.code:
        problems.append(f"the re-run ended with {again.code}: {again.last_line}")
    if "error" in now:
        return [*problems, f"after the re-run nothing serves: {now['error']}"]
    problems += [
        f"after the re-run {kind} are {now[kind]}, not {wanted}"
        for kind, wanted in scene.wanted.items()
        if set(now[kind].values()) != {wanted}
    ]
    # What nothing removes is told once, where it arose.
    if new := {*now["leftovers"], *scene.temporary_files()} - scene.told:
        scene.told |= new
        problems.append(f"left over: {', '.join(sorted(new))}")
    return problems


def served(now: Serving, wanted: Mapping[str, str]) -> str:
    """Say in a few words what a worker gets."""
    if "error" in now:
        return "nothing, and says so"
    words = {k: "new" if set(now[k].values()) == {wanted[k]} else "old" for k in KINDS}
    if len(set(words.values())) == 1:
        return words["packages"]
    return ", ".join(f"{word} {kind}" for kind, word in words.items())
