"""A pod that fills a volume by itself: provision, verify, try a job, report, end."""

import contextlib
import logging
import time
from collections.abc import Iterator, Sequence

from volume_bootstrap import maintenance
from volume_bootstrap.errors import ApiError, DamageError, PodError, ProvisionError, VolumeError
from volume_bootstrap.layout import Volume
from volume_bootstrap.lock import writing
from volume_bootstrap.packages import dependencies
from volume_bootstrap.packages.integrity import Damage
from volume_bootstrap.pod.report import ProjectFacts, Report, Step
from volume_bootstrap.pod.runpod_api import CONSOLE, RunPod
from volume_bootstrap.pod.settings import PodSettings
from volume_bootstrap.pod.smoke import try_job
from volume_bootstrap.project import Project
from volume_bootstrap.setup import set_up

logger = logging.getLogger(__name__)

TOLD_DAMAGES = 5
WAITING = "wait until no other provisioner writes to the volume"


def fill(volume: Volume, projects: Sequence[Project], settings: PodSettings) -> Report:
    """Provision all projects, verify them, try a job on each; the report stays on the volume.

    The report is written before anything else and at each step: one that was killed shows it.
    While this waits for another pod, that one goes on to write its own over it, to its end.

    Raises
    ------
    PodError
        The volume is not ready; the last line says what to do. A signal, or a defect, goes on as
        it is, once that was said.
    """
    report = Report(
        volume.root,
        volume.python,
        settings.pod_id,
        settings.volume_id,
        tuple(project.name for project in projects),
        settings.variant,
        doing=WAITING,
    )
    try:
        # What a run before has left must not be taken for this one's, however long it waits.
        report.write(volume)
        with writing(volume), _reported(volume, report):
            _fill(volume, projects, settings, report)
    except (ProvisionError, OSError) as error:
        raise PodError(f"{_sentence(error)}\n{what_to_do(settings.pod_id)}") from error
    except BaseException:
        if settings.pod_id:
            logger.warning("%s", what_to_do(settings.pod_id))
        raise
    return report


def end(settings: PodSettings) -> None:
    """End this pod for good, once the volume is ready.

    Raises
    ------
    PodError
        It is there still, or the environment does not name it.
    """
    if settings.pod_id is None or settings.key is None:
        raise PodError("RUNPOD_POD_ID and RUNPOD_API_KEY are needed to end the pod.")
    try:
        RunPod(settings.key.get_secret_value(), settings.base).end(settings.pod_id)
    except ApiError as error:
        raise PodError(
            f"{error}\nThe volume is ready, but pod {settings.pod_id} still costs money: end it "
            f"at {CONSOLE} or with: runpodctl remove pod {settings.pod_id}"
        ) from error
    logger.info("pod %s is ended; the volume stays", settings.pod_id)


def what_to_do(pod_id: str | None) -> str:
    """Say how to go on after a failure."""
    if pod_id is None:
        return "Mend that and run the same again: it goes on where this ended."
    return (
        f"Pod {pod_id} stays up, and costs money. Mend that and restart the pod, which goes on "
        f"where this ended, or end it at {CONSOLE} or with: runpodctl remove pod {pod_id}"
    )


def _fill(
    volume: Volume, projects: Sequence[Project], settings: PodSettings, report: Report
) -> None:
    for project in projects:
        with _step(volume, report, f"set up {project.name}"):
            plan = dependencies.plan(
                volume, project, variant=settings.variant, mirror=settings.mirror
            )
            done = set_up(volume, plan, force=False)
            report.filled.append(
                ProjectFacts.of(done.generation, done.models, changed=done.changed)
            )
    with _step(volume, report, "verify every file"):
        damages = maintenance.verify(volume, [project.name for project in projects], quick=False)
        if damages:
            raise DamageError(_damaged(volume, damages))
    for project in projects:
        with _step(volume, report, f"try a job of {project.name}"):
            report.tried.append(try_job(volume, project))


@contextlib.contextmanager
def _reported(volume: Volume, report: Report) -> Iterator[None]:
    """Close the report with what the run comes to; a signal leaves it unfinished."""
    try:
        yield
        report.doing = None
        report.close("ready")
        report.write(volume)
    except Exception as error:
        report.close("failed", _sentence(error))
        try:
            report.write(volume)
        except VolumeError as second:
            logger.warning("%s", second)
        raise


@contextlib.contextmanager
def _step(volume: Volume, report: Report, name: str) -> Iterator[None]:
    report.doing = name
    report.write(volume)
    logger.info("%s", name)
    started = time.perf_counter()
    yield
    report.steps.append(Step(name, round(time.perf_counter() - started, 1)))


def _damaged(volume: Volume, damages: Sequence[Damage]) -> str:
    named = "".join(f"\n  {each.path}: {each.problem}" for each in damages[:TOLD_DAMAGES])
    more = len(damages) - TOLD_DAMAGES
    rest = f"\n  and {more} more" if more > 0 else ""
    return (
        f"Damaged files: {len(damages)}.{named}{rest}\nMend models with `setup`, packages with "
        f"`deps install --force` (--volume {volume.root})."
    )


def _sentence(error: Exception) -> str:
    """What a message says of any error, here and in the report."""
    if isinstance(error, ProvisionError):
        return str(error)
    if isinstance(error, OSError):
        return f"{error.filename or 'A file'}: {error.strerror or error}."
    return f"unexpected {type(error).__name__}: {error}"
