"""Work in the background, as real processes: terminals that close, kills, stops, full disks."""

import contextlib
import itertools
import json
import os
import pty
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults.namespaces import own_mount, small_disk
from tests.wheels import Checkout, make_checkout, make_wheel, snapshot
from volume_bootstrap import processes
from volume_bootstrap.cli.job_process import LogFile, _reserve
from volume_bootstrap.errors import JobError
from volume_bootstrap.jobs import control, records
from volume_bootstrap.jobs.records import Job, Work
from volume_bootstrap.layout import Volume
from volume_bootstrap.processes import Process, myself, now

# Tells that its import has begun, and goes on when it may.
WAITS = """
import os, pathlib, time
if gate := os.environ.get("GATE"):
    pathlib.Path(gate + ".new").write_text(str(os.getpid()))
    pathlib.Path(gate + ".new").rename(gate)
    while not pathlib.Path(gate + ".open").exists():
        time.sleep(0.02)
"""
WORK = Work("setup", ("--project", "tiny"), "3.11", None)
DEADLINE_S = 120.0
FILL = 'for block in 4096 1; do dd if=/dev/zero bs=$block >> "$0/fill"; done'
"""Down to the last byte."""


def wait_until(is_so: Callable[[], bool]) -> None:
    """Wait for something that will be; far too long is a failure."""
    deadline = time.monotonic() + DEADLINE_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    made = make_checkout(tmp_path / "checkout")
    make_wheel(made.wheels, "greeting", "1.0", code=WAITS)
    return made


@pytest.fixture
def volume(checkout: Checkout) -> Iterator[Volume]:
    """The checkout's; jobs that a failed test leaves are ended."""
    its = Volume(checkout.volume)
    yield its
    for job in records.all_jobs(its):
        if (
            job.process.is_here
            and job.group not in (0, os.getpid())
            and records.state_of(its, job) == "running"
        ):
            os.killpg(job.group, signal.SIGKILL)


@pytest.fixture
def bare(tmp_path: Path) -> Volume:
    """An empty volume, on which records are written by hand."""
    its = Volume(tmp_path / "bare")
    records.folder_of(its).mkdir(parents=True)
    return its


class Gate:
    """Where the import that a set-up tries stands still."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def wait(self) -> int:
        """Wait until it stands there; its process."""
        wait_until(self.path.exists)
        return int(self.path.read_text())

    def open(self) -> None:
        self.path.with_name(f"{self.path.name}.open").touch()


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path / "gate")


def detached(checkout: Checkout, **variables: str) -> subprocess.Popen[str]:
    """``setup --detach``, as somebody types it."""
    return subprocess.Popen(
        checkout.command("--volume", str(checkout.volume), "--detach"),
        cwd=checkout.root,
        env=checkout.environment(**variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def is_alive(pid: int) -> bool:
    return processes.started(pid) is not None


def note(volume: Volume, job_id: str, **changes: object) -> Job:
    """Write a record of a job of this process, or as `changes` have it."""
    job = Job(job_id, WORK, myself(), os.getpid(), "2026-01-01T00:00:00+00:00")
    job = replace(job, **changes)
    records.write(records.record_of(volume, job_id), job)
    records.log_of(volume, job_id).write_text(f"{job_id} said this\n")
    return job


def silence(path: Path) -> None:
    then = time.time() - processes.DEAD_AFTER_S - 5
    os.utime(path, (then, then))


ELSEWHERE = Process("elsewhere", "another boot", 7, "9")


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


def test_of_starts_at_once_one_begins_it(bare):
    found: list[tuple[Job, bool]] = []
    threads = [
        threading.Thread(target=lambda: found.append(control._claim(bare, WORK))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {job.id for job, _ in found} == {"setup-1"}
    assert [path.name for path in records.folder_of(bare).iterdir()] == ["setup-1.json"]


CLAIM = """
import pathlib, sys, time
from tests.test_jobs import WORK
from volume_bootstrap.jobs import control
from volume_bootstrap.layout import Volume
control._claim(Volume(pathlib.Path(sys.argv[1])), WORK)
print("claimed", flush=True)
time.sleep(60)
"""


@pytest.fixture
def starter(bare: Volume) -> Iterator[subprocess.Popen[str]]:
    """A process that has claimed a job, and is slow to begin it."""
    words = [sys.executable, "-c", CLAIM, str(bare.root)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as its:
        assert its.stdout is not None
        assert its.stdout.readline() == "claimed\n"
        yield its
        its.kill()


@pytest.fixture
def family() -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process in a session of its own that ends when it is told to, and one that it leaves."""
    words = ["sh", "-c", "trap 'exit 143' TERM; sleep 600 & echo $!; wait"]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as leader:
        assert leader.stdout is not None
        yield leader, int(leader.stdout.readline())
        with contextlib.suppress(ProcessLookupError):
            os.killpg(leader.pid, signal.SIGKILL)


def process_of(pid: int) -> Process:
    return replace(myself(), pid=pid, started=processes.started(pid))


def test_a_stop_ends_what_the_job_left_behind(bare, family):
    leader, left = family
    job = note(bare, "setup-1", process=process_of(leader.pid), group=leader.pid)
    control.stop(bare, job)
    assert leader.wait(DEADLINE_S) == 143
    wait_until(lambda: not is_alive(left))


def test_a_stop_waits_for_the_beginning_and_spares_the_starter(bare, starter, family):
    leader, left = family
    claimed = records.find(bare, "setup-1")
    assert (claimed.process.pid, claimed.group) == (starter.pid, 0)
    stopping = threading.Thread(target=control.stop, args=(bare, claimed))
    stopping.start()
    note(bare, "setup-1", process=process_of(leader.pid), group=leader.pid)
    stopping.join(DEADLINE_S)
    assert leader.wait(DEADLINE_S) == 143
    wait_until(lambda: not is_alive(left))
    assert starter.poll() is None


def test_a_stop_of_a_job_whose_starter_dies_ends(bare, starter):
    claimed = records.find(bare, "setup-1")
    stopped: list[Job] = []
    stopping = threading.Thread(target=lambda: stopped.append(control.stop(bare, claimed)))
    stopping.start()
    starter.kill()
    stopping.join(DEADLINE_S)
    assert stopped == [claimed]
    assert records.state_of(bare, claimed) == "died"


def test_a_plan_is_no_job_and_the_order_of_projects_is_kept(checkout, volume):
    place = ("--volume", str(checkout.volume))
    refused = checkout.run("setup", "-p", "tiny", "--dry-run", "--detach", *place)
    assert refused.returncode == 1
    assert "error: Give --dry-run or --detach, not both" in refused.stderr
    assert records.all_jobs(volume) == []
    other = checkout.root / "projects" / "atom"
    shutil.copytree(checkout.root / "projects" / "tiny", other)
    begun = checkout.run("setup", *("-p", "tiny", "-p", "atom") * 2, "--detach", *place)
    assert begun.returncode == 0, begun.stderr
    (job,) = records.all_jobs(volume)
    assert job.work.options == ("--project", "tiny", "--project", "atom")
    control.stop(volume, job)


def test_other_work_is_another_job(bare):
    note(bare, "setup-1")
    assert control._claim(bare, WORK)[0].id == "setup-1"
    for number, work in enumerate(
        [
            replace(WORK, options=("--project", "tiny", "--force")),
            replace(WORK, cache="/elsewhere"),
            replace(WORK, python="3.12"),
        ],
        start=2,
    ):
        job, is_new = control._claim(bare, work)
        assert (job.id, is_new) == (f"setup-{number}", True)
    assert control._claim(bare, replace(WORK, name="download"))[0].id == "download-1"


def test_a_job_elsewhere_is_followed_there_and_not_stopped_from_here(bare):
    job = note(bare, "setup-1", process=ELSEWHERE, group=os.getpid())
    assert records.state_of(bare, job) == "running"
    assert control._claim(bare, WORK) == (job, False)
    with pytest.raises(JobError, match=r"runs as process 7 on elsewhere, not here: stop it there"):
        control.stop(bare, job)
    said: list[bytes] = []

    def hear(block: bytes) -> None:
        """The job ends while the first thing that it said is handed on."""
        if not said:
            with records.log_of(bare, "setup-1").open("ab") as log:
                log.write(b"and its last words\n")
            records.write(records.record_of(bare, "setup-1"), replace(job, exit_code=1))
        said.append(block)

    assert records.state_of(bare, control.follow(bare, job, hear)) == "failed"
    assert b"".join(said) == b"setup-1 said this\nand its last words\n"


def test_a_job_elsewhere_that_is_silent_died(bare):
    job = note(bare, "setup-1", process=ELSEWHERE)
    silence(records.record_of(bare, "setup-1"))
    assert records.state_of(bare, job) == "died"
    assert control.stop(bare, job) == job
    assert control._claim(bare, WORK)[0].id == "setup-2"


def test_an_end_that_was_noted_meanwhile_counts(bare):
    """The record was read before the job noted its end, the process looked for afterwards."""
    before = note(bare, "setup-1", process=replace(myself(), started="1"))
    note(bare, "setup-1", process=before.process, exit_code=0)
    assert records.state_of(bare, before) == "done"


def test_another_process_of_the_same_number_is_not_the_job(bare):
    job = note(bare, "setup-1", process=replace(myself(), started="1"))
    assert records.state_of(bare, job) == "died"
    assert control.stop(bare, job) == job  # and this one lives to tell


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", '{"id": 1}', "\0" * 700, "[" * 100_000, b"\xff\xfe"],
)
def test_what_cannot_be_read_is_named_and_in_nobodys_way(bare, caplog, content):
    path = records.record_of(bare, "setup-3")
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    note(bare, "setup-1")
    assert [job.id for job in records.all_jobs(bare)] == ["setup-1"]
    assert f"{path} is damaged" in caplog.text
    with pytest.raises(JobError, match=r"setup-3\.json is damaged"):
        records.find(bare, "setup-3")
    new, _ = control._claim(bare, replace(WORK, cache="/elsewhere"))
    assert new.id == "setup-4"
    assert records.removable(bare) == []  # whose it is, is not known: it may be in work
    silence(path)
    assert records.removable(bare) == [path]


def test_the_last_ones_are_kept(bare):
    for number in range(1, 26):
        began = f"2026-01-01T00:00:{number:02}+00:00"
        note(bare, f"setup-{number}", began=began, exit_code=number % 2)
    note(bare, "setup-26", began="2025-01-01T00:00:00+00:00")
    (records.folder_of(bare) / "draft.0123").touch()
    gone = {path.name for path in records.removable(bare, kept=records.KEPT)}
    assert gone == {"draft.0123"} | {
        f"setup-{number}{suffix}" for number in range(1, 6) for suffix in (".json", ".log")
    }
    left = {path.name for path in records.folder_of(bare).iterdir()}
    assert left - {path.name for path in records.removable(bare)} == {
        "setup-26.json",
        "setup-26.log",
    }


def test_what_others_left_under_names_of_their_own_stays(bare):
    """Such as the file that NFS keeps of a log that is removed while somebody reads it."""
    folder = records.folder_of(bare)
    note(bare, "setup-1", exit_code=0)
    for name in ("setup-1.end", "setup-1.json.partial", "draft.0123"):
        (folder / name).touch()
    for name in (".nfs0001", "notes.txt", "setup-1.old", "setup-01.log", "drafts"):
        (folder / name).touch()
    gone = [path.name for path in records.removable(bare)]
    # The record is the last: until then nobody else gets the number.
    assert gone[-1] == "setup-1.json"
    assert set(gone) == {
        "setup-1.end",
        "setup-1.json",
        "setup-1.json.partial",
        "setup-1.log",
        "draft.0123",
    }


def test_jobs_that_begin_meanwhile_are_not_removed(bare):
    for number in range(1, 101):  # each of them takes a look at the clock
        records.record_of(bare, f"setup-{number}").touch()
    ends = threading.Event()

    def claim() -> None:
        for number in itertools.count(1):
            job = Job(f"download-{number}", WORK, myself(), 0, "2026-01-01T00:00:00+00:00")
            assert control._create(records.record_of(bare, job.id), job)
            records.log_of(bare, job.id).touch()
            if ends.is_set():
                return

    claims = threading.Thread(target=claim, daemon=True)
    claims.start()
    wait_until(records.log_of(bare, "download-1").exists)
    gone = {path.name for _ in range(5) for path in records.removable(bare)}
    ends.set()
    claims.join()
    assert {name for name in gone if not name.startswith("draft.")} == set()


@pytest.mark.parametrize("job_id", ["", "..", "../lock", "setup", "setup-2", "setup-01", "x/y-1"])
def test_a_job_that_is_not_there_is_said(bare, job_id):
    note(bare, "setup-1")
    with pytest.raises(JobError, match=r"has no job .*; it has: setup-1\."):
        records.find(bare, job_id)


DOWNLOAD = Work("download", ("org/name", "--source", "modelscope"), WORK.python, None)
OTHER = {"MODELSCOPE_CACHE": "/other"}


@pytest.mark.parametrize(
    ("work", "cache", "variables", "setting", "place"),
    [
        (WORK, None, {}, "", "--volume {0}"),
        (WORK, None, OTHER, "MODELSCOPE_CACHE='' ", "--volume {0}"),
        (DOWNLOAD, "a volume/hub", OTHER, "", "--cache-dir {1}"),
        (DOWNLOAD, "out", {}, "MODELSCOPE_CACHE={1} ", "--volume {0}"),
    ],
)
def test_the_line_of_a_job_that_died_begins_the_same_again(
    checkout, tmp_path, work, cache, variables, setting, place
):
    """In the same place, from any shell: the line is typed where it was told."""
    volume = Volume(tmp_path / "a volume")
    records.folder_of(volume).mkdir(parents=True)
    folder = str(tmp_path / cache) if cache else None
    work = replace(work, python=volume.python, cache=folder)
    died = note(volume, f"{work.name}-1", work=work, process=replace(myself(), started="1"))
    line = f"{setting}python -m volume_bootstrap {work.name} {' '.join(work.options)} {place}"
    line = line.format(shlex.quote(str(volume.root)), shlex.quote(folder or ""))
    here = ("--volume", str(volume.root))
    variables = {**variables, "MODELSCOPE_ENDPOINT": "http://127.0.0.1:9"}
    assert f"  {line}\n" in checkout.run("jobs", "show", died.id, *here, **variables).stdout
    followed = checkout.run("jobs", "logs", died.id, "--follow", *here, **variables)
    assert followed.stderr.endswith(f"to go on: {line} --detach\n")

    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    typed = subprocess.run(
        ["sh", "-c", followed.stderr.rpartition(" to go on: ")[2]],
        cwd=checkout.root,
        env=checkout.environment(**variables, PATH=path),
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_S,
    )
    assert typed.stdout.startswith(f"job {work.name}-2 has begun"), typed.stderr
    again = records.find(volume, f"{work.name}-2")
    control.stop(volume, again)
    assert again.work == work


def test_a_job_whose_log_is_gone_is_shown(bare, checkout):
    note(bare, "setup-1", exit_code=0, ended="2026-01-01T00:00:01+00:00")
    records.log_of(bare, "setup-1").unlink()
    place = ("--volume", str(bare.root))
    shown = checkout.run("jobs", "show", "setup-1", *place)
    assert shown.returncode == 0, shown.stderr
    assert "job setup-1: done at 2026-01-01T00:00:01+00:00, exit code 0\n" in shown.stdout
    assert f"  log      {records.log_of(bare, 'setup-1')}, which does not exist\n" in shown.stdout
    told = json.loads(checkout.run("jobs", "show", "setup-1", "--json", *place).stdout)
    assert (told["state"], told["stage"]) == ("done", None)


def test_a_log_that_is_gone_is_said(bare):
    job = note(bare, "setup-1", exit_code=0)
    records.log_of(bare, "setup-1").unlink()
    with pytest.raises(JobError, match=r"Job setup-1 has no log"):
        control.follow(bare, job, lambda _: None)


def test_credentials_stay_out_of_what_is_written(checkout, volume):
    """The job itself gets them: its index is asked, and refuses a connection."""
    url = "http://user:secret@127.0.0.1:9/simple?signature=secret"
    place = ("--volume", str(checkout.volume))
    checkout.describe(["absent==1.0"], ["absent"])
    begun = checkout.run("setup", "-p", "tiny", "--mirror", url, "--detach", *place)
    assert begun.returncode == 0, begun.stderr
    followed = checkout.run("jobs", "logs", "setup-1", "--follow", *place)
    assert followed.returncode == 1
    written = [path.read_text() for path in records.folder_of(volume).iterdir()]
    assert "http://127.0.0.1:9/simple" in "".join(written)
    assert "secret" not in "".join([*written, begun.stdout, begun.stderr, followed.stdout])
