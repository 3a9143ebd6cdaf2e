"""From settings to a service that answers: what the RunPod handler and local runs share."""

from collections.abc import Collection
from typing import TYPE_CHECKING

from volume_bootstrap.layout import Generation
from worker import fitness, heartbeat, workspace
from worker.activation import activate, choose_project
from worker.errors import StartupError, WorkerError
from worker.settings import Settings

if TYPE_CHECKING:
    from worker.service import Service


def open_volume(settings: Settings) -> tuple[str, Generation]:
    """Activate the volume's packages, and clear up after workers that have died.

    Returns
    -------
    The project that this process serves, and the packages that it runs on.

    Raises
    ------
    StartupError
        The volume does not hold the project, or its packages do not fit this Python or image.
    """
    volume = settings.layout
    project = choose_project(volume, settings.project)
    generation = activate(volume, project)
    heartbeat.start(volume, generation.id)
    workspace.clear()
    return project, generation


def start(settings: Settings, project: str, tasks: Collection[str] | None = None) -> "Service":
    """Choose the device and load models; `open_volume` comes before.

    Parameters
    ----------
    tasks : whose models are loaded; None: those that the project names for it.

    Raises
    ------
    StartupError
        The packages do not import, or the settings or the device do not fit.
    """
    try:
        # Imported only now: it stands on the volume's packages.
        from worker.runpod_app import start_service

        return start_service(settings, project, tasks)
    except ImportError as error:
        raise fitness.not_importable(error, settings, project) from error
    except WorkerError as error:
        raise StartupError(error.reply) from error
