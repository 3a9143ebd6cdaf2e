"""``python -m volume_bootstrap jobs``, and what ``--detach`` does."""

import logging
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer

from volume_bootstrap import console, maintenance
from volume_bootstrap.cli.options import AsJson, Quiet, Verbose, VolumeOption, begin
from volume_bootstrap.errors import JobError
from volume_bootstrap.jobs import control, records
from volume_bootstrap.jobs.records import Job, State, Work
from volume_bootstrap.layout import Volume
from volume_bootstrap.runner import CREDENTIALS, QUERY

logger = logging.getLogger(__name__)

INTERRUPTED = 130
"""What typer makes of Ctrl-C."""

app = typer.Typer(help="Look at work in the background, follow it, stop it.")

Detach = Annotated[
    bool,
    typer.Option(
        "--detach", help="Run it as a job that outlives this terminal; follow one that runs."
    ),
]
JobId = Annotated[str, typer.Argument(metavar="ID", help="As `jobs list` names it.")]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="Go on until the job has ended.")]


def given(option: str, value: object) -> list[str]:
    """An option as words of a command line; nothing where it has no value."""
    return [] if value is None else [option, str(value)]


def detach(
    volume: Volume, name: str, options: Sequence[str], further: Sequence[str], *, as_json: bool
) -> None:
    """Begin a job and say how to look at it; follow the one that does this work already.

    Parameters
    ----------
    name : the command, such as ``setup``.
    options : what decides what it does.
    further : the rest: volume, how much is told.

    Raises
    ------
    JobError
        It cannot be begun, or the one that was followed died.
    """
    plain = tuple(QUERY.sub(r"\g<address>", CREDENTIALS.sub("", word)) for word in options)
    work = Work(name, plain, volume.python, str(volume.cache) if volume.cache else None)
    job, is_new = control.start(volume, work, [name, *options, *further])
    if not is_new:
        logger.warning(
            "job %s does this already, as %s: here is what it says", job.id, job.process.name
        )
        job = _follow(volume, job, sys.stderr.buffer)
    if as_json:
        console.print_json(_as_json(volume, job))
    elif is_new:
        console.print_lines(
            f"job {job.id} has begun, as {job.process.name}",
            f"  log     {records.log_of(volume, job.id)}",
            f"  show    {_command(volume, 'show', job.id)}",
            f"  follow  {_command(volume, 'logs', job.id)} --follow",
            f"  stop    {_command(volume, 'stop', job.id)}",
        )
    if not is_new:
        _end_as(volume, job)


@app.command("list")
def list_(
    volume: VolumeOption = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """List jobs, the newest last."""
    target = _begin(volume, verbose=verbose, quiet=quiet)
    found = records.all_jobs(target)
    if as_json:
        console.print_json([_as_json(target, job) for job in found])
        return
    rows = [
        (job.id, records.state_of(target, job), job.began, job.ended or "", _line(target, job.work))
        for job in found
    ]
    console.print_table(("job", "state", "began", "ended", "command"), rows)


@app.command()
def show(
    job_id: JobId,
    volume: VolumeOption = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Show a job: what became of it, its stage and since when, its last lines."""
    target = _begin(volume, verbose=verbose, quiet=quiet)
    job = records.find(target, job_id)
    if as_json:
        console.print_json(_as_json(target, job))
        return
    path, log = records.log_of(target, job_id), _said(target, job_id)
    name, since = records.last_stage(log or "") or ("none yet", job.began)
    console.print_lines(
        f"job {job.id}: {_state_line(records.state_of(target, job), job)}",
        f"  command  {_line(target, job.work)}",
        f"  process  {job.process.name}",
        f"  began    {job.began}",
        f"  stage    {name}, since {since}",
        f"  log      {path}{', which does not exist' if log is None else ''}",
        *(f"  | {line}" for line in (log or "").splitlines()[-control.SHOWN_LINES :]),
    )


@app.command()
def logs(
    job_id: JobId,
    follow: Follow = False,
    volume: VolumeOption = None,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Print what a job said; with --follow to its end, whose exit code this then has."""
    target = _begin(volume, verbose=verbose, quiet=quiet)
    job = records.find(target, job_id)
    if follow:
        _end_as(target, _follow(target, job, sys.stdout.buffer))
        return
    console.print_lines(*control.read_log(target, job_id).splitlines())


@app.command()
def stop(
    job_id: JobId,
    volume: VolumeOption = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """End a job that runs on this machine; the volume serves what it served before."""
    target = _begin(volume, verbose=verbose, quiet=quiet)
    job = control.stop(target, records.find(target, job_id))
    state = records.state_of(target, job)
    if state == "running":
        raise JobError(f"Job {job.id}, {job.process.name}, still runs: not even SIGKILL ended it.")
    if as_json:
        console.print_json(_as_json(target, job))
        return
    console.print_lines(f"job {job.id}: {_state_line(state, job)}")


def _begin(volume: str | None, *, verbose: bool, quiet: bool) -> Volume:
    target = begin(volume, verbose=verbose, quiet=quiet)
    maintenance.must_exist(target)
    return target


def _follow(volume: Volume, job: Job, stream: BinaryIO) -> Job:
    def write(block: bytes) -> None:
        stream.write(block)
        stream.flush()

    try:
        return control.follow(volume, job, write)
    except KeyboardInterrupt:
        command = _command(volume, "logs", job.id)
        logger.warning("job %s goes on; follow it again with: %s --follow", job.id, command)
        sys.exit(INTERRUPTED)


def _end_as(volume: Volume, job: Job) -> None:
    """End with a job's exit code.

    Raises
    ------
    JobError
        It died, and has none.
    """
    if records.state_of(volume, job) == "died":
        raise JobError(
            f"Job {job.id} died without a word, as after kill -9 or a restart of its machine. Run "
            f"the same again to go on: {_line(volume, job.work)} --detach"
        )
    if job.exit_code:
        logger.warning("job %s: %s", job.id, _state_line(records.state_of(volume, job), job))
        raise typer.Exit(job.exit_code)


def _state_line(state: State, job: Job) -> str:
    if job.ended is None:
        return state
    return f"{state} at {job.ended}, exit code {job.exit_code}"


def _line(volume: Volume, work: Work) -> str:
    """Tell the command line that does this work in its own place, whatever the shell is set to."""
    words = ["python", "-m", "volume_bootstrap", work.name, *work.options]
    if work.name == "download" and work.cache and Path(work.cache).is_relative_to(volume.root):
        return shlex.join([*words, "--cache-dir", work.cache])
    setting = f"MODELSCOPE_CACHE={shlex.quote(work.cache or '')} "
    line = shlex.join([*words, "--volume", str(volume.root)])
    return setting + line if work.cache or volume.cache else line


def _command(volume: Volume, verb: str, job_id: str) -> str:
    words = ["jobs", verb, job_id, "--volume", str(volume.root)]
    return f"python -m volume_bootstrap {shlex.join(words)}"


def _said(volume: Volume, job_id: str) -> str | None:
    """What a job has said; none where there is no log, as of one that has only its number yet."""
    try:
        return control.read_log(volume, job_id)
    except JobError:
        return None


def _as_json(volume: Volume, job: Job) -> dict[str, Any]:
    stage = records.last_stage(_said(volume, job.id) or "")
    return {
        **asdict(job),
        "state": records.state_of(volume, job),
        "stage": stage[0] if stage else None,
        "stage_since": stage[1] if stage else None,
        "log": records.log_of(volume, job.id),
    }
