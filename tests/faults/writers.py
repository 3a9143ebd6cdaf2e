"""Two that write at once, one that died, and workers that start while the volume switches."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.faults.report import Row, tell
from tests.faults.scene import STAGE, TIMEOUT_S, How, Scene, finish
from tests.faults.verdict import KINDS, judge, judge_rerun, served
from tests.wheels import ROOT
from volume_bootstrap.packages.generations import KEPT

NUM_SWITCHES = 8


def two_at_once(scene: Scene) -> Row:
    """Start two runs in the same moment: one waits, both are content."""
    tell("two provisioners at once")
    before = scene.look()
    scene.offer_next()
    both = [scene.start("setup"), scene.start("setup")]
    ended = []
    for process in both:
        with process:
            ended.append(finish(process))
    now = scene.look()
    problems = judge(now, before, scene.wanted)
    waiting = [run for run in ended if "waiting for process" in run.log]
    if len(waiting) != 1:
        problems.append(f"{len(waiting)} of two runs told that they wait")
    problems += [f"one ended with {run.code}: {run.last_line}" for run in ended if run.code]
    problems += judge_rerun(scene, scene.run("setup"), scene.look())
    said = next((line for run in waiting for line in run.log.splitlines() if "waiting" in line), "")
    code = max(run.code for run in ended)
    return Row("two provisioners at once", code, said, served(now, scene.wanted), problems)


def dead_holder(scene: Scene, *, elsewhere: bool) -> Row:
    """Kill the holder of the lock; the next run takes it over.

    `elsewhere` gives the holder another host's name, so that only its silence tells of its death;
    the hour of that is made by setting the lock's time.
    """
    name = f"lock of a dead holder on {'another' if elsewhere else 'the same'} machine"
    tell(name)
    before = scene.look()
    scene.offer_next()
    script = 'hostname elsewhere && exec "$@"'
    renamed = ["unshare", "--user", "--map-root-user", "--uts", "sh", "-c", script, "sh"]
    with scene.start("setup", How(renamed if elsewhere else ())) as holder:
        assert holder.stderr is not None
        next(line for line in holder.stderr if "install" in STAGE.findall(line))
        os.killpg(holder.pid, signal.SIGKILL)
    lock = scene.volume / ".metadata" / "lock"
    text = lock.read_text(encoding="utf-8")
    problems = [] if ("elsewhere" in text) == elsewhere else [f"the lock is of another: {text}"]
    if elsewhere:
        an_hour_ago = time.time() - 3600
        os.utime(lock, (an_hour_ago, an_hour_ago))
    now = scene.look()
    problems += judge(now, before, scene.wanted)
    again = scene.run("setup")
    problems += judge_rerun(scene, again, scene.look())
    told = [line.strip() for line in again.log.splitlines() if "taking over" in line]
    if not told:
        problems.append("taking over was not told")
    return Row(name, again.code, "".join(told[:1]), served(now, scene.wanted), problems)


def starts_during_switches(scene: Scene) -> Row:
    """Start workers without a pause while the volume switches: each gets one version, whole."""
    tell("workers start during switches")
    before = scene.look()
    allowed: set[str] = set()
    stop = scene.temporary / "stop"
    with _starting(scene, stop) as log:
        for number in range(NUM_SWITCHES):
            if number % 2:
                done = scene.run("deps rollback")
            else:
                scene.offer_next()
                done = scene.run("setup")
            allowed |= set(scene.wanted.values())
            if done.code:
                break
    stop.unlink()
    starts: list[dict[str, Any]] = [json.loads(line) for line in log.read_text().splitlines()]
    log.unlink()
    allowed |= {version for kind in KINDS for version in before[kind].values()}
    problems = [] if done.code == 0 else [f"a switch ended with {done.code}: {done.last_line}"]
    problems += sorted({p for seen in starts for p in _broken(seen, allowed)})
    kinds = len({seen.get("generation") for seen in starts})
    if kinds < NUM_SWITCHES // 2:
        problems.append(f"only {kinds} generations were seen: the starts missed the switches")
    problems += judge_rerun(scene, scene.run("setup"), scene.look())
    said = f"{len(starts)} starts during {NUM_SWITCHES} switches saw {kinds} generations"
    return Row("workers start during switches", done.code, said, "old or new, whole", problems)


def _broken(seen: dict[str, Any], allowed: set[str]) -> Iterator[str]:
    if "error" in seen:
        yield f"a start failed: {seen['error']}"
        return
    for kind in KINDS:
        found = set(seen[kind].values())
        if len(found) != 1 or not found <= allowed:
            yield f"a start got {kind} {seen[kind]}"


@contextmanager
def _starting(scene: Scene, stop: Path) -> Iterator[Path]:
    """Start workers one after another until `stop` is there; what each saw is a line of a file."""
    log = scene.temporary / "starts"
    with log.open("w") as file:
        program = [sys.executable, "-m", "tests.faults.serving", str(scene.volume)]
        starting = subprocess.Popen([*program, "--until", str(stop)], cwd=ROOT, stdout=file)
        with starting:
            try:
                yield log
            finally:
                stop.touch()


def worker_keeps_its_generation(scene: Scene) -> Row:
    """Let a worker run while so many generations are built that its own would be removed."""
    name = "a worker runs while its generation ages"
    tell(name)
    before = scene.look()
    (old,) = set(before["packages"].values())
    program = [sys.executable, "-m", "tests.faults.serving", str(scene.volume), "--hold"]
    pipe = subprocess.PIPE
    with subprocess.Popen(program, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as worker:
        assert worker.stdout is not None
        generation = json.loads(worker.stdout.readline())["generation"]
        for _ in range(KEPT + 1):
            scene.offer_next(["packages"])
            done = scene.run("setup")
        late = json.loads(worker.communicate("go on\n", timeout=TIMEOUT_S)[0])
    problems = [] if done.code == 0 else [f"a run ended with {done.code}: {done.last_line}"]
    if set(late["packages"].values()) != {old}:
        problems.append(f"the worker of {old} imported {late['packages']}")
    scene.offer_next(["packages"])
    problems += judge_rerun(scene, scene.run("setup"), scene.look())
    left = scene.volume.glob(f"python-deps/py*/.generations/{generation}")
    problems += [f"{path.name} stayed after its worker had gone" for path in left]
    said = f"{generation} outlived {KEPT + 1} newer ones, and went with its worker"
    return Row(name, done.code, said, "old, whole", problems)
