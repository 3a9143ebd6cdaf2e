"""SIGKILL at random moments of a run: where it hit, what served then, and what the next run did."""

import os
import random
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.faults.report import tell
from tests.faults.scene import STAGE, Scene
from tests.faults.verdict import KINDS, Serving, judge, judge_rerun

START = "start"
"""From the process's start to its first stage: reading the project, taking the lock."""
LEAST_PER_STAGE = 3
MOST_ATTEMPTS = 100
"""More than kills are wanted: a run may end, or a short stage pass, before the signal comes."""


@dataclass(frozen=True, slots=True)
class Kill:
    """One kill: the stage that it hit, what a worker got then, what was wrong after all."""

    stage: str
    served: str
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Target:
    """A command that is killed so often; `kinds` of things have a new version for it each time.

    `stages` are those that are aimed at, by default all.
    """

    name: str
    verb: str
    kinds: Sequence[str]
    count: int
    options: Sequence[str] = ()
    stages: Sequence[str] = ()

    def too_few(self, kills: Mapping[str, Sequence[Kill]]) -> list[str]:
        """Stages that were aimed at, and hit too seldom."""
        return [s for s in self.stages or kills if len(kills.get(s, ())) < LEAST_PER_STAGE]


def kill_often(scene: Scene, target: Target, source: random.Random) -> dict[str, list[Kill]]:
    """Kill runs of a command until `count` hit, at least three in every stage.

    Each time there is a next version to bring. A moment is a stage, and a random part of how long
    that stage takes undisturbed; the stage that counts is the one that was logged last.

    Returns
    -------
    Kills by the stage that they hit: those that were aimed at in their order, then others.
    """
    durations = _measure(scene, target)
    if target.stages:
        durations = {stage: durations[stage] for stage in target.stages}
    kills: dict[str, list[Kill]] = {stage: [] for stage in durations}
    for _ in range(MOST_ATTEMPTS):
        missing = [stage for stage in durations if len(kills[stage]) < LEAST_PER_STAGE]
        done = sum(map(len, kills.values()))
        if done >= target.count and not missing:
            break
        weights = None if missing else list(durations.values())
        (aim,) = source.choices(missing or list(durations), weights)
        before = scene.look()
        scene.offer_next(target.kinds)
        stage = _kill(scene, target, aim, source.uniform(0, durations[aim]))
        if stage is not None:
            kills.setdefault(stage, []).append(_judge(scene, target, stage, before))
            tell(f"{target.name}: {done + 1} of {target.count} kills, in {stage}")
    return kills


def _measure(scene: Scene, target: Target) -> dict[str, float]:
    """Run undisturbed once; seconds that each stage takes, the first being the start."""
    scene.offer_next(target.kinds)
    moments = [(START, time.perf_counter())]
    with scene.start(target.verb, None, *target.options) as process:
        lines = []
        for line in process.stderr or ():
            lines.append(line)
            moments += [(stage, time.perf_counter()) for stage in STAGE.findall(line)]
    if process.returncode:
        raise RuntimeError(
            f"an undisturbed `{target.verb}` failed with exit code {process.returncode}: "
            f"{''.join(lines[-20:])}"
        )
    ends = [*(moment for _, moment in moments[1:]), time.perf_counter()]
    durations: dict[str, float] = {}
    for (stage, begun), end in zip(moments, ends, strict=True):
        durations[stage] = durations.get(stage, 0.0) + end - begun
    return durations


def _kill(scene: Scene, target: Target, aim: str, delay_s: float) -> str | None:
    """Start a run and kill its process group; the stage it was in, or none if it was over."""
    last = START
    with scene.start(target.verb, None, *target.options) as process:
        assert process.stderr is not None
        assert process.stdout is not None
        if aim != START:
            for line in process.stderr:
                if match := STAGE.search(line):
                    last = match[1]
                    if last == aim:
                        break
        time.sleep(delay_s)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        for line in process.stderr:
            if match := STAGE.search(line):
                last = match[1]
        process.stdout.read()
    return last if process.returncode == -signal.SIGKILL else None


def _judge(scene: Scene, target: Target, stage: str, before: Serving) -> Kill:
    now = scene.look()
    problems = judge(now, before, scene.wanted)
    again = scene.run(target.verb, None, *target.options)
    problems += judge_rerun(scene, again, scene.look())
    changed = any(now.get(kind) != before[kind] for kind in KINDS)
    return Kill(stage, "new" if changed else "old", tuple(problems))
