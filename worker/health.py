"""What ``{"task": "health"}`` answers: no model is touched, and nothing waits for the device."""

import platform
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from worker import __version__
from worker.activation import activated
from worker.device import Device, resident_bytes
from worker.errors import InvalidInputError, ModelNotProvisionedError
from worker.model_cache import ModelCache
from worker.model_store import ModelStore
from worker.naming import quote
from worker.parsing import MAX_MISTAKES, check_num_fields
from worker.settings import Settings
from worker.telemetry import Tally


def is_asked_for(job_input: object) -> bool:
    """Whether a job asks how the worker is.

    Raises
    ------
    InvalidInputError
        It does, and says more.
    """
    if not isinstance(job_input, dict) or job_input.get("task") != "health":
        return False
    check_num_fields("input", job_input)
    if more := sorted(str(name) for name in job_input.keys() - {"task"}):
        named = [quote(name)[1:-1] for name in more[:MAX_MISTAKES]]
        if len(more) > MAX_MISTAKES:
            named.append(f"and {len(more) - MAX_MISTAKES} more")
        raise InvalidInputError(
            f"{', '.join(named)}: of no use to task 'health'; leave it out. Allowed: task."
        )
    return True


def describe(
    settings: Settings, store: ModelStore, device: Device, cache: ModelCache, tally: Tally
) -> dict[str, Any]:
    """Tell how the worker is: plain values, sizes in bytes, times in seconds."""
    return {
        "task": "health",
        "version": __version__,
        "python": platform.python_version(),
        "project": store.project,
        "generation": activated(settings.layout),
        "device": {"name": device.name, "precision": device.precision, "threads": device.threads},
        "memory": {
            "total_bytes": device.total_bytes(),
            "free_bytes": device.free_bytes(),
            "resident_bytes": resident_bytes(),
        },
        "loaded": [
            {
                "alias": model.alias,
                "bytes": model.num_bytes,
                "leases": model.leases,
                "idle_s": round(model.idle_s, 3),
            }
            for model in cache.describe()
        ],
        "disk": {
            "volume_free_bytes": _free_bytes(settings.volume),
            "temporary_free_bytes": _free_bytes(Path(tempfile.gettempdir())),
        },
        "models": _models(store),
        **tally.describe(),
    }


def _models(store: ModelStore) -> list[dict[str, Any]] | Mapping[str, str]:
    """The models of the volume's manifest, or what is wrong with that."""
    try:
        models = store.manifest().models
    except ModelNotProvisionedError as error:
        return {"error": error.reply}
    return [
        {
            "alias": model.alias,
            "model": model.reference,
            "task": model.task,
            "bytes": sum(file.size for file in model.files),
        }
        for model in models
    ]


def _free_bytes(folder: Path) -> int | None:
    """Room on the disk of a folder; none where that cannot be told: the volume may be gone."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None
