"""A pod that fills a volume, started from one's own machine and followed to its end."""

import logging
import shlex
import time
import uuid
from dataclasses import dataclass
from typing import Any

from volume_bootstrap.errors import ApiError, PodError
from volume_bootstrap.pod.runpod_api import CONSOLE, RunPod, costs

logger = logging.getLogger(__name__)

STOCK_IMAGE = "python:3.11-slim-bookworm"
"""What the worker's image stands on. Any other with this Python does, too."""
MOUNT = "/workspace"
"""Where the pod finds the volume."""
FOLLOW_S = 5.0
"""Between two looks at a pod."""

RUN = (
    "python -m volume_bootstrap pod --terminate || "
    "echo 'What stands above ended with an error. This pod costs money until you end it.' >&2; "
    "exec sleep infinity"
)
"""RunPod starts a container that ends anew, whatever its exit code: it stays until the pod ends."""

FETCH = """\
cd "$(mktemp -d)" \\
    && python -c 'import sys, tarfile, urllib.request as u
with u.urlopen(sys.argv[1]) as source, tarfile.open(fileobj=source, mode="r|gz") as whole:
    whole.extractall(filter="data")' {source} \\
    && cd ./*/ && python -m venv .venv && PATH="$PWD/.venv/bin:$PATH" \\
    && pip install --quiet --disable-pip-version-check -c requirements.lock \\
        -r requirements.txt -r requirements-provision.txt \\
    && """
"""Before `RUN`, in an image that has Python alone: this repository, and packages of its own."""


@dataclass(frozen=True, slots=True)
class PodPlan:
    """A pod as RunPod is asked for it.

    volume_id : the network volume.
    image : one with everything inside, where there is no `source`; else one with Python 3.11.
    source : address of this repository as .tar.gz.
    gpus, cpus : what kinds of machine will do, by RunPod's names, the first first; of one sort.
    num_cpus : virtual processors, with `cpus`.
    environment : what the pod is told.
    """

    volume_id: str
    image: str
    source: str | None
    gpus: tuple[str, ...]
    cpus: tuple[str, ...]
    num_cpus: int
    data_centre: str | None
    disk_gb: int
    environment: dict[str, str]

    def request(self) -> dict[str, Any]:
        """The body of the call that creates it; its name is a new one each time."""
        asked: dict[str, Any] = {
            "name": f"speech-provision-{uuid.uuid4().hex[:8]}",
            "imageName": self.image,
            "cloudType": "SECURE",  # the only one that has network volumes
            "networkVolumeId": self.volume_id,
            "volumeMountPath": MOUNT,
            "containerDiskInGb": self.disk_gb,
            "env": {"SPEECH_VOLUME": MOUNT, **self.environment},
        }
        if self.gpus:
            asked |= {"computeType": "GPU", "gpuTypeIds": list(self.gpus), "gpuCount": 1}
        else:
            asked |= {
                "computeType": "CPU", "cpuFlavorIds": list(self.cpus), "vcpuCount": self.num_cpus,
            }  # fmt: skip
        if self.data_centre:
            asked["dataCenterIds"] = [self.data_centre]
        if self.source:
            asked["dockerStartCmd"] = ["sh", "-c", start_command(self.source)]
        return asked


def start_command(source: str) -> str:
    """What a stock image runs, as a shell reads it."""
    return FETCH.format(source=shlex.quote(source)) + RUN


def follow(api: RunPod, pod_id: str, limit_s: float, every_s: float = FOLLOW_S) -> None:
    """Wait until the pod is gone, as it is when the volume is ready.

    It is looked at once at least, and for the last time when `limit_s` is over. A pod that is not
    found before it was seen once is not gone: RunPod may not know it yet.

    Raises
    ------
    PodError
        It was stopped, goes on for longer than `limit_s`, or can no longer be looked at.
    """
    deadline = time.monotonic() + limit_s
    told: str | None = None
    try:
        is_over = False
        while not is_over:
            time.sleep(min(every_s, max(deadline - time.monotonic(), 0)))
            is_over = time.monotonic() >= deadline
            status = api.status(pod_id)
            if status == "TERMINATED" or (status is None and told is not None):
                logger.info(
                    "pod %s: gone; .metadata/pod-report.txt on the volume says whether it was "
                    "ready", pod_id,
                )  # fmt: skip
                return
            if status != told:
                logger.info("pod %s: %s", pod_id, status)
            told = status
            if status == "EXITED":
                raise PodError(
                    f"Pod {pod_id} was stopped before it ended itself; .metadata/pod-report.txt on "
                    f"the volume says how far it came. {costs(pod_id)}"
                )
    except ApiError as error:
        raise PodError(f"Pod {pod_id} cannot be followed: {error}\n{costs(pod_id)}") from error
    except (KeyboardInterrupt, SystemExit):  # Ctrl-C, SIGTERM
        raise PodError(
            f"Pod {pod_id} is not followed any more, and goes on.\n{costs(pod_id)}"
        ) from None
    if told is None:
        raise PodError(
            f"RunPod found no pod {pod_id} in {limit_s / 60:.0f} minutes, although it gave that "
            f"id; look whether it is there.\n{costs(pod_id)}"
        )
    raise PodError(
        f"Pod {pod_id} is there still after {limit_s / 60:.0f} minutes: it needs longer, or it "
        f"failed; its log at {CONSOLE} and .metadata/pod-report.txt on the volume say."
        f"\n{costs(pod_id)}"
    )
