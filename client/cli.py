"""``python -m client``: stdout is data, stderr is progress."""

import json
import logging
import signal
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException

from client import journal, sources, terminal
from client.batch import Batch
from client.errors import ClientError, GoneError, UsageError
from client.journal import Entry, Journal
from client.request import Request, parse_formats, parse_options
from client.session import Client, Job
from client.sources import Recording
from client.work import Outcome, Plan

FAILED = ClientError.exit_code
USAGE = UsageError.exit_code
INTERRUPTED = 130
"""What shells make of Ctrl-C."""
LEARN_S = 10.0
"""After Ctrl-C, jobs that are being sent have so long to learn their ids."""

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Send recordings to the speech worker, on RunPod or on this machine.",
)

Paths = Annotated[
    list[str], typer.Argument(metavar="PATH", help="Files, folders, https:// and s3:// addresses.")
]
Endpoint = Annotated[
    str | None, typer.Option(help="Id of a RunPod endpoint; needs RUNPOD_API_KEY.")
]
Url = Annotated[
    str | None, typer.Option(help="Instead: handler.py --rp_serve_api, as http://localhost:8000.")
]
Out = Annotated[Path, typer.Option(help="Folder of the results.")]
Timeout = Annotated[
    float | None, typer.Option(min=0, help="Seconds to wait for each job at most; it goes on.")
]


@app.command()
def submit(
    paths: Paths,
    endpoint: Endpoint = None,
    url: Url = None,
    task: Annotated[str, typer.Option(help="transcript, asr or diarization.")] = "transcript",
    formats: Annotated[str, typer.Option(help="json,txt,srt,vtt,rttm,textgrid,html.")] = "json",
    out: Out = Path("out"),
    language: Annotated[str | None, typer.Option(help="Such as en; found out by default.")] = None,
    num_speakers: Annotated[int | None, typer.Option(help="Where their number is known.")] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="Any other field of a job; the value is JSON."),
    ] = None,
    s3: Annotated[str | None, typer.Option(help="s3://bucket/prefix/ for files over 7 MB.")] = None,
    send_keys: Annotated[
        bool, typer.Option("--send-keys", help="Let jobs carry your S3 keys.")
    ] = False,
    recursive: Annotated[bool, typer.Option("--recursive", help="Search subfolders, too.")] = False,
    parallel: Annotated[int, typer.Option(min=1, max=64, help="Jobs on their way at once.")] = 4,
    timeout: Timeout = None,
    resubmit: Annotated[
        bool, typer.Option("--resubmit", help="Send again what may be there already (unclear).")
    ] = False,
    cancel_on_interrupt: Annotated[
        bool, typer.Option("--cancel-on-interrupt", help="Let Ctrl-C cancel the jobs, too.")
    ] = False,
) -> None:
    """Send recordings and write what they hold; run the same again to go on after anything."""
    if cancel_on_interrupt and url is not None:
        raise UsageError(
            "--cancel-on-interrupt goes with --endpoint: a local server cannot cancel a job."
        )
    fields = parse_options(option or [])
    for name, value in (("language", language), ("num_speakers", num_speakers)):
        if value is not None and name in fields:
            raise UsageError(f"{name} is given twice, by its own option and by --option.")
        if value is not None:
            fields[name] = value
    plan = Plan(
        Request(task, parse_formats(formats), fields), out, parallel, timeout, resubmit=resubmit
    )
    recordings = sources.discover(paths, recursive=recursive)
    stop = threading.Event()
    with (
        Client(endpoint=endpoint, url=url, s3=s3, send_keys=send_keys, stop=stop) as client,
        Journal(out) as opened,
    ):
        outcomes, code = _run(
            client, opened, plan, recordings, stop, is_cancelling=cancel_on_interrupt
        )
    sys.exit(code or (FAILED if any(o.state not in ("done", "kept") for o in outcomes) else 0))


def _run(
    client: Client,
    opened: Journal,
    plan: Plan,
    recordings: Sequence[Recording],
    stop: threading.Event,
    *,
    is_cancelling: bool,
) -> tuple[list[Outcome], int]:
    """Work on all, show what became of them; the outcomes, and an exit code that goes before."""
    outcomes: list[Outcome] = []
    started, code = time.monotonic(), 0
    jobs, num_unclear = "go on without the client", 0
    with terminal.Display(recordings) as display:
        batch = Batch(client, opened, plan, display, stop)
        try:
            for outcome in batch.run(recordings):
                outcomes.append(outcome)  # noqa: PERF402 - those so far count when it breaks
        except ClientError as error:  # of the platform or the disk: no other file would pass
            code = terminal.fail(str(error), error.exit_code)
        except KeyboardInterrupt:
            code = INTERRUPTED
            with suppress(KeyboardInterrupt):  # a second one waits for nothing
                num_unclear = batch.end(LEARN_S)
                if is_cancelling:
                    jobs = "may not all be cancelled"  # where a second one comes
                    jobs = _cancel(client, _open_jobs_of(client, opened, plan, recordings))
    order = {recording.name: number for number, recording in enumerate(recordings)}
    outcomes.sort(key=lambda outcome: order[outcome.recording.name])
    terminal.show(outcomes, sources.printable(str(plan.folder)), time.monotonic() - started)
    if code == INTERRUPTED:
        if num_unclear:
            jobs += f"; whether {num_unclear} more are there is not known"
        terminal.fail(
            f"interrupted; jobs that were sent {jobs}. Run the same again to go on.", code
        )
    return outcomes, code


def _open_jobs_of(
    client: Client, opened: Journal, plan: Plan, recordings: Sequence[Recording]
) -> list[Entry]:
    """What the platform may still work on of this command, and of no other on the same folder."""
    ours = {
        (each.name, plan.request.fingerprint(each.identity, client.target)) for each in recordings
    }
    return [e for e in opened.open_jobs(client.target) if (e.name, e.work) in ours]


@app.command()
def status(out: Out = Path("out")) -> None:
    """Show what the journal of a folder knows of its recordings."""
    latest = {(entry.name, entry.work): entry for entry in journal.read(out)}
    if not latest:
        raise UsageError(
            f"{sources.printable(str(out))} has no journal; name its folder with --out."
        )
    for entry in latest.values():
        job = f"  {entry.job}" if entry.job else ""
        said = f"  {entry.message}" if entry.message else ""
        terminal.print_lines(f"{entry.state:<10}  {entry.name}{job}{said}")


@app.command()
def cancel(
    endpoint: Annotated[str, typer.Option(help="Id of the RunPod endpoint.")],
    out: Out = Path("out"),
) -> None:
    """Cancel the jobs of a folder that have not ended; a client that waits for them sees it."""
    with Client(endpoint=endpoint) as client:
        _cancel(client, journal.open_jobs(journal.read(out), client.target))


def _cancel(client: Client, entries: Sequence[Entry]) -> str:
    """Cancel jobs and print what becomes of each; what became of all, after "jobs that …"."""
    num_left = 0
    for entry in entries:
        name = entry.name
        try:
            client.cancel(Job(str(entry.job)))
        except GoneError:
            terminal.print_lines(f"had ended: {name}")
        except ClientError as error:
            num_left += 1
            terminal.print_lines(f"not cancelled: {name}: {error}")
        else:
            terminal.print_lines(f"cancelled: {name}")
    if not entries:
        terminal.print_lines("no job is open")
    if not num_left:
        return "are cancelled or had ended"
    return f"are cancelled, but for {num_left} of {len(entries)}, which may go on"


@app.command()
def health(endpoint: Endpoint = None, url: Url = None, timeout: Timeout = None) -> None:
    """Ask a worker how it is; RunPod starts one where there is none."""
    with Client(endpoint=endpoint, url=url) as client:
        answer = client.health(timeout=timeout)
    terminal.print_lines(*json.dumps(answer, indent=2).splitlines())


def main() -> None:
    """Run the command line; every error becomes a text and an exit code here."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        code = app(standalone_mode=False)
        sys.exit(code)
    except TyperException as error:
        sys.exit(terminal.fail(f"{error.format_message()} Try --help.", USAGE))
    except ClientError as error:
        sys.exit(terminal.fail(str(error), error.exit_code))
    except KeyboardInterrupt:
        sys.exit(terminal.fail("interrupted.", INTERRUPTED))
    except Exception as error:
        logging.getLogger(__name__).exception("unexpected")
        message = f"unexpected {type(error).__name__}: {error}. Please report it."
        sys.exit(terminal.fail(message, FAILED))
