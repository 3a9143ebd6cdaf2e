"""``python -m worker run``: transcribe files of this machine, without RunPod.

On the code and the volume of the serverless worker, with its settings (SPEECH_VOLUME, …).
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from worker import startup
from worker.errors import InvalidInputError, StartupError
from worker.local import LocalJob, Reply, answers, jobs_of, write
from worker.settings import LocalSettings
from worker.summary import describe
from worker.telemetry import set_up_logging

CLEAR = "\r\x1b[K"
"""Takes back the line on a terminal."""
FAILED, MISUSED, INTERRUPTED = 1, 2, 130
"""Exit codes, beside 0."""
TASKS_OF = {"transcript": ("diarization", "asr")}
"""Whose models a task needs, where it is not its own alone."""


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m worker", description="Speech worker without RunPod."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser(
        "run",
        help="work on recordings and write the results as files",
        description="Work on recordings and write the results as files. The models and packages "
        "come from a volume, as the worker's: see SPEECH_VOLUME and SPEECH_PROJECT in README.md.",
        epilog="Exit codes: 0 all done, 1 some failed, 2 nothing was begun, 130 interrupted.",
    )
    run.add_argument(
        "sources", nargs="+", metavar="FILE", help="a file, or an address that a job may name"
    )
    run.add_argument("--task", default="transcript", help="transcript (default), asr, diarization")
    run.add_argument(
        "--formats", default="json", help="separated by commas, such as srt,rttm (default: json)"
    )
    run.add_argument("--out", type=Path, default=Path("out"), help="folder (default: out)")
    run.add_argument("--language", help="such as en (default: found out)")
    run.add_argument("--num-speakers", type=int, metavar="N", help="where it is known")
    run.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="any other field of a job, its value in JSON or as text, such as "
        "max_speakers=4 or 'hotwords=[\"Ann\"]'; docs/job-api.md has them",
    )
    return parser.parse_args()


def fields_of(options: argparse.Namespace) -> dict[str, Any]:
    """What the command line says of each job.

    Raises
    ------
    InvalidInputError
        An option has no name or no value.
    """
    formats = [name.strip().lower() for name in options.formats.split(",")]
    fields: dict[str, Any] = {"task": options.task, "formats": formats}
    for name in ("language", "num_speakers"):
        if getattr(options, name) is not None:
            fields[name] = getattr(options, name)
    for option in options.option:
        name, equals, value = option.partition("=")
        if not (name and equals):
            raise InvalidInputError(f"--option {option}: write FIELD=VALUE.")
        if name in ("task", "audio", "formats", "output", *fields):
            raise InvalidInputError(
                f"--option {name}: not here; the command line has its own words for it (--help)."
            )
        try:
            fields[name] = json.loads(value)
        except ValueError:
            fields[name] = value
    return fields


def tell(name: str, stage: str, share: float) -> None:
    """Show progress where somebody watches."""
    if sys.stderr.isatty():
        sys.stderr.write(f"{CLEAR}{name}: {stage} {share:.0%}")


def main() -> int:
    """Run the command; returns the exit code."""
    options = parse()
    # Its lines of JSON are for those who run many workers.
    os.environ.setdefault("SPEECH_LOG_LEVEL", "ERROR")
    try:
        fields = fields_of(options)
        jobs = jobs_of(options.sources, fields)
        options.out.mkdir(parents=True, exist_ok=True)
        settings = LocalSettings.from_environment(os.environ)
        set_up_logging(settings.log_level)
        project, _ = startup.open_volume(settings)
        check(jobs)
        service = startup.start(settings, project, TASKS_OF.get(options.task, (options.task,)))
    except (InvalidInputError, OSError) as error:
        print(error, file=sys.stderr)
        return MISUSED
    except StartupError as error:
        print(f"The worker cannot start. {error}", file=sys.stderr)
        return MISUSED

    is_whole = True
    with closing(answers(service, jobs, settings.concurrency, tell)) as replies:
        for job, reply in replies:
            if sys.stderr.isatty():
                sys.stderr.write(CLEAR)
            is_whole &= show(job.name, reply, fields["formats"], options.out)
    return 0 if is_whole else FAILED


def check(jobs: Sequence[LocalJob]) -> None:
    """Refuse what the worker would, before models are loaded.

    Raises
    ------
    InvalidInputError
        A field is unknown, or has a value that is not allowed.
    """
    from worker import parsing  # stands on the volume's packages

    for job in jobs:
        parsing.parse(job.fields)


def show(name: str, reply: Reply, formats: Sequence[str], folder: Path) -> bool:
    """Write and print the result of one recording; tell whether there is one."""
    if "error" in reply:
        print(f"{name}: {reply['error']}\n", file=sys.stderr)
        return False
    print(f"{name}\n\n{describe(reply)}\n")
    try:
        paths = write(reply, formats, folder, name)
    except OSError as error:
        print(f"{name}: its files cannot be written: {error}\n", file=sys.stderr)
        return False
    print(f"Written: {', '.join(map(str, paths))}\n", flush=True)
    return True


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
