"""Work in the background, as real processes: terminals that close, kills, full disks."""

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from tests.faults.namespaces import own_mount, small_disk
from tests.jobs import DEADLINE_S, FILL, WAITS, WORK, detached, is_alive, note, wait_until
from tests.wheels import Checkout, make_wheel, snapshot
from volume_bootstrap.cli.job_process import LogFile, _reserve
from volume_bootstrap.jobs import control, records
from volume_bootstrap.processes import now


def test_a_job_outlives_its_terminal_and_a_second_start_follows_it(checkout, volume, gate):
    """The terminal is a real one: the kernel hangs it up when its other end closes."""
    command = [*checkout.command("--volume", str(checkout.volume), "--detach")]
    child, terminal = pty.fork()
    if child == 0:  # pragma: no cover - the shell of the terminal
        os.chdir(checkout.root)
        line = ["sh", "-c", '"$@"; echo at the prompt; sleep 60', "sh", *command]
        os.execvpe("sh", line, checkout.environment(GATE=str(gate.path)))
    shown = b""
    while b"at the prompt" not in shown:
        shown += os.read(terminal, 4096)
    assert b"job setup-1 has begun" in shown
    os.close(terminal)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGHUP
    gate.wait()
    (job,) = records.all_jobs(volume)
    assert os.getsid(job.group) == job.group != child
    assert records.state_of(volume, job) == "running"

    shown = checkout.run("jobs", "show", "setup-1", "--volume", str(checkout.volume)).stdout
    assert shown.startswith("job setup-1: running\n")
    assert "\n  stage    import-check, since 20" in shown

    leaves, stays = detached(checkout), detached(checkout, COLUMNS="400")
    for each in (leaves, stays):
        assert each.stderr is not None
        assert "job setup-1 does this already" in each.stderr.readline()
        assert "stage: " in each.stderr.readline()
    leaves.send_signal(signal.SIGINT)
    _, log = leaves.communicate(timeout=DEADLINE_S)
    assert leaves.returncode == 130
    assert "job setup-1 goes on; follow it again with: python -m volume_bootstrap jobs" in log
    assert records.state_of(volume, job) == "running"
    gate.open()
    output, log = stays.communicate(timeout=DEADLINE_S)
    assert (stays.returncode, output) == (0, "")
    assert "set up in" in log
    assert [records.state_of(volume, each) for each in records.all_jobs(volume)] == ["done"]
    assert (checkout.pointer / "greeting").is_dir()


def test_a_killed_job_died_and_one_that_is_stopped_leaves_the_volume(checkout, volume, gate):
    assert checkout.setup().returncode == 0
    active, before = checkout.pointer.readlink(), snapshot(checkout.pointer.resolve())
    make_wheel(checkout.wheels, "greeting", "2.0", code=WAITS)
    checkout.describe(["greeting==2.0"], ["greeting"])
    place = ("--volume", str(checkout.volume))

    started = detached(checkout, GATE=str(gate.path))
    started.communicate(timeout=DEADLINE_S)
    orphan = gate.wait()
    job = records.find(volume, "setup-1")
    os.kill(job.group, signal.SIGKILL)
    wait_until(lambda: records.state_of(volume, job) == "died")
    os.kill(orphan, signal.SIGKILL)
    followed = checkout.run("jobs", "logs", "setup-1", "--follow", *place)
    assert followed.returncode == 1
    assert "stage: import-check" in followed.stdout
    assert "error: Job setup-1 died without a word" in followed.stderr
    told = "python -m volume_bootstrap setup --project tiny --volume"
    assert f"{told} {checkout.volume} --detach" in followed.stderr

    gate.path.unlink()
    started = detached(checkout, GATE=str(gate.path), FORCE_COLOR="1")
    output, _ = started.communicate(timeout=DEADLINE_S)
    assert "job setup-2 has begun" in output
    importing = gate.wait()
    stopped = checkout.run("jobs", "stop", "setup-2", *place)
    assert stopped.returncode == 0, stopped.stderr
    assert stopped.stdout.startswith("job setup-2: stopped at 20")
    log = control.read_log(volume, "setup-2")
    assert "\x1b" not in log
    assert (records.last_stage(log) or ("",))[0] == "import-check"
    assert not is_alive(importing)
    assert not is_alive(records.find(volume, "setup-2").group)
    assert checkout.pointer.readlink() == active
    assert snapshot(checkout.pointer.resolve()) == before

    done = checkout.setup()
    assert done.returncode == 0, done.stderr
    assert checkout.pointer.readlink() != active


def test_a_job_that_fails_tells_so_on_a_volume_without_any_room(checkout, volume, gate):
    """Neither its log nor its record finds a block that is free."""
    checkout.volume.mkdir()
    place = ("--volume", str(checkout.volume))
    with small_disk(checkout.volume, 20) as prefix:

        def run(*words: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [*prefix, *words],
                cwd=checkout.root,
                env=checkout.environment(GATE=str(gate.path)),
                capture_output=True,
                text=True,
                check=False,
                timeout=DEADLINE_S,
            )

        begun = run(*checkout.command(*place, "--detach"))
        assert begun.returncode == 0, begun.stderr
        gate.wait()
        run("sh", "-c", FILL, str(checkout.volume))
        gate.open()
        tool = [sys.executable, "-m", "volume_bootstrap", "jobs"]
        followed = run(*tool, "logs", "setup-1", "--follow", *place)
        assert followed.returncode == 1, followed.stderr
        assert "job setup-1: failed at 20" in followed.stderr
        (told,) = json.loads(run(*tool, "list", "--json", *place).stdout)
        assert (told["state"], told["exit_code"]) == ("failed", 1)
        run("sh", "-c", FILL, str(checkout.volume))
        refused = run(*checkout.command(*place, "--detach"))
        assert refused.returncode == 1
        assert "error: No job can be begun in" in refused.stderr
        assert "without --detach" in refused.stderr


@pytest.fixture
def mounted(checkout: Checkout) -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """Run commands where a device was mounted over a file of jobs, which nobody can remove."""
    folder = checkout.volume / ".metadata" / "jobs"
    folder.mkdir(parents=True)
    with own_mount(checkout.volume) as prefix:

        def run(name: str, device: str) -> subprocess.CompletedProcess[str]:
            (folder / name).touch()
            mount = ["mount", "--bind", device, str(folder / name)]
            subprocess.run([*prefix, *mount], check=True, timeout=DEADLINE_S)
            return subprocess.run(
                [*prefix, *checkout.command("--volume", str(checkout.volume), "--detach")],
                cwd=checkout.root,
                env=checkout.environment(),
                capture_output=True,
                text=True,
                check=False,
                timeout=DEADLINE_S,
            )

        yield run


def test_what_cannot_be_removed_is_in_no_jobs_way(volume, mounted):
    begun = mounted("draft.0123", "/dev/null")
    assert begun.returncode == 0, begun.stderr
    assert begun.stdout.startswith("job setup-1 has begun")
    kept = records.folder_of(volume) / "draft.0123"
    assert f"{kept} stays: it cannot be removed: Device or resource busy" in begun.stderr


def test_a_job_without_room_for_its_end_does_not_begin(volume, mounted):
    refused = mounted("setup-1.end", "/dev/full")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "error: Job setup-1 ended before it began. It said:" in refused.stderr
    assert "setup-1.json cannot be written: No space left on device" in refused.stderr
    assert [records.state_of(volume, job) for job in records.all_jobs(volume)] == ["died"]


def test_the_room_for_the_end_is_counted_in_bytes(bare):
    job = note(bare, "setup-1", work=replace(WORK, cache="/模型" * 100))
    draft = _reserve(records.record_of(bare, job.id), job)
    ended = replace(job, ended=now(), exit_code=records.TERMINATED)
    assert draft.stat().st_size >= len(records.dump(ended).encode())


def test_lines_without_room_are_counted(tmp_path):
    """/dev/full takes none; then the same descriptor is a file."""
    descriptor = os.open("/dev/full", os.O_WRONLY)
    log = LogFile(descriptor)
    print("one\ntwo\nthr", end="", file=log)
    with (tmp_path / "log").open("wb") as file:
        os.dup2(file.fileno(), descriptor)
    print("ee\nfour", end="", file=log)
    log.end()
    os.close(descriptor)
    lines = [line.partition(" ")[2] for line in (tmp_path / "log").read_text().splitlines()]
    assert lines == ["2 lines are missing: the volume was full", "three", "four"]
