"""The worker's entrypoint: ``python handler.py`` runs RunPod's loop.

Without a platform it runs ``test_input.json`` once; with ``--rp_serve_api`` it
serves the SDK's local API.
"""

import ctypes
import importlib
import logging
import os
import platform
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn

from worker import fitness, startup
from worker.errors import StartupError
from worker.settings import Settings
from worker.telemetry import set_up_logging

logger = logging.getLogger("worker")

M_ARENA_MAX = -8
"""Of glibc's malloc.h."""

SDK_SETTINGS = {
    # At its default level, DEBUG, the SDK writes every result into the log.
    "RUNPOD_LOG_LEVEL": "INFO",
    # Its own checks call public addresses and want torch.
    "RUNPOD_SKIP_AUTO_SYSTEM_CHECKS": "true",
    "RUNPOD_SKIP_GPU_CHECK": "true",
}


def prepare() -> dict[str, Any]:
    """Activate the volume's dependencies, load the models, and make the SDK's configuration.

    Raises
    ------
    StartupError
        The settings, the volume, its packages or the device do not fit.
    """
    share_heaps()
    for name, value in SDK_SETTINGS.items():
        os.environ.setdefault(name, value)
    settings = Settings.from_environment(os.environ)
    set_up_logging(settings.log_level)
    project, generation = startup.open_volume(settings)

    with ThreadPoolExecutor(1) as importer:
        sdk = importer.submit(import_sdk)
        service = startup.start(settings, project)
        sdk.result()
    fitness.Fitness(settings, project, generation, service.rehearse).register()

    from worker.runpod_app import make_config

    return make_config(service, settings)


def share_heaps() -> None:
    """Let all threads allocate from two heaps.

    The C library gives each its own, and what they free stays there in pieces: it took 560 MB
    where this takes 505, after some hundred short jobs on a CPU, and went up and down by 20 MB.
    """
    ctypes.CDLL(None).mallopt(M_ARENA_MAX, 2)


def import_sdk() -> None:
    """Import RunPod's SDK without the second that it would wait.

    Its debugger asks py-cpuinfo for the processor's name at import, and that starts another Python
    which also measures the clock, for a second. The kernel tells the name at once.
    """
    cpuinfo = importlib.import_module("cpuinfo")
    vars(cpuinfo)["get_cpu_info"] = lambda: {"brand_raw": _processor()}
    importlib.import_module("runpod.serverless")


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def main() -> None:
    """Start the worker."""
    try:
        config = prepare()
    except StartupError as error:
        give_up(error)
    except Exception as error:  # the platform is told, whatever it is
        logger.exception("the worker cannot start")
        give_up(
            StartupError(
                "The worker failed while it started; its log has the traceback. Try another GPU "
                f"type or image; if it stays, report it. {type(error).__name__}: {error}"
            )
        )

    from worker import scaler

    scaler.start(config)


def give_up(error: StartupError) -> NoReturn:
    """Tell the platform, where there is one, and whoever reads the log why this ends."""
    if fitness.has_platform():
        import_sdk()
        fitness.report(error)
    sys.exit(f"The worker cannot start. {error}")


# The SDK's ping process begins by importing this file again.
if __name__ == "__main__":
    main()
