"""``python -m worker.report result.json audio -o report.html``: a result as one web page.

Reading audio needs av and numpy: those of this Python where it has them, else those of a volume,
as for the worker (SPEECH_VOLUME, SPEECH_PROJECT).
"""

import argparse
import importlib.util
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from worker import keep
from worker.activation import activate, choose_project
from worker.control import JobControl
from worker.errors import InvalidInputError, StartupError, WorkerError
from worker.settings import Settings

if TYPE_CHECKING:
    from worker.report.speech import Sound

AUDIO_MB = 100.0
"""Nine hours. What a worker embeds is bounded by what an answer may have; here nothing is."""
NO_LIMIT_S = 1e9
MAX_OFF_S = 1.0
"""Between the length of the audio and that of the result: more, and it is another recording."""


def main() -> None:
    """Make a report, or say what is wrong."""
    options = _parser().parse_args()
    try:
        target = _target(options)
        _make(options.result, options.audio, target, options.index, options.audio_mb)
    except (WorkerError, StartupError) as error:
        sys.exit(f"No report was made. {error}")
    sys.stdout.write(f"{target}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m worker.report",
        description="Make one web page of a result: player, speakers, transcript, exports.",
    )
    parser.add_argument("result", type=Path, help="JSON answer of a job")
    parser.add_argument("audio", type=Path, nargs="?", help="the recording; else the page asks")
    parser.add_argument("-o", "--output", type=Path, help="page to write; by default <result>.html")
    parser.add_argument("--index", type=int, help="which recording of a list, from 0")
    parser.add_argument(
        "--audio-mb",
        type=float,
        default=AUDIO_MB,
        help="largest audio that the page holds, in MB, compressed to 10.8 an hour; 0: none "
        "(default: %(default)g)",
    )
    return parser


def _target(options: argparse.Namespace) -> Path:
    """Where the page goes: nothing that it is made of may be there."""
    if not options.result.name:
        raise InvalidInputError(f"{options.result} is a folder. Name the JSON answer of a job.")
    target: Path = options.output or options.result.with_suffix(".html")
    for source in filter(None, (options.result, options.audio)):
        if target.resolve() == source.resolve():
            raise InvalidInputError(
                f"{target} would be overwritten by the page that is made of it. Name another file "
                "with -o."
            )
    return target


def _make(
    result_path: Path, audio: Path | None, target: Path, index: int | None, mb: float
) -> None:
    _provide_packages()
    # Imported only now: they stand on numpy.
    from worker.report import page, reading

    result, checked = reading.read(result_path, index)
    document = reading.document_of(checked, (audio or result_path).stem)
    sound = _sound(audio, document.duration, mb) if audio else None
    try:
        text = page.render(result, document, sound).encode()
    except ValueError as error:
        raise InvalidInputError(
            f"{result_path} holds what is no text or number: {error}"
        ) from error
    _write(target, text)


def _provide_packages() -> None:
    """Let av and numpy be imported.

    Raises
    ------
    StartupError
        Neither this Python nor a volume has them.
    """
    missing = [name for name in ("av", "numpy") if importlib.util.find_spec(name) is None]
    if not missing:
        return
    try:
        settings = Settings.from_environment(os.environ)
        volume = settings.layout
        activate(volume, choose_project(volume, settings.project))
    except StartupError as error:
        raise StartupError(
            f"This Python has no {' and no '.join(missing)}, and no volume has it: {error}"
        ) from error


def _sound(path: Path, duration: float, max_mb: float) -> "Sound":
    """Read the recording that a result of `duration` seconds is of."""
    from worker import audio
    from worker.report import speech

    control = JobControl()
    with tempfile.TemporaryDirectory(prefix="speech-report-") as folder:
        try:
            decoded = audio.decode(
                path, Path(folder) / "samples.f32", control, max_seconds=NO_LIMIT_S
            )
        except OSError as error:
            raise InvalidInputError(f"{path} cannot be read: {error.strerror}.") from error
        except WorkerError as error:
            raise InvalidInputError(f"{path}: {error}") from error
        with decoded.waveform as waveform:
            if abs(decoded.duration - duration) > MAX_OFF_S:
                raise InvalidInputError(
                    f"{path} lasts {decoded.duration:.1f} s, the result's recording "
                    f"{duration:.1f} s: it is another one, or the job asked for a stretch of it "
                    "(`offset`, `duration`). Give that recording, or that stretch of it."
                )
            return speech.prepare(waveform, max_mb, control)


def _write(target: Path, text: bytes) -> None:
    try:
        keep.write(target, text)
    except OSError as error:
        raise InvalidInputError(f"{target} cannot be written: {error.strerror}.") from error


if __name__ == "__main__":
    main()
