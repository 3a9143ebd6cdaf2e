"""``python -m volume_bootstrap pod``: a pod that fills a volume with nothing typed into it."""

import logging
import os
import re
import sys
from typing import Annotated

import typer

from volume_bootstrap import console
from volume_bootstrap.cli.options import (
    AsJson,
    Mirror,
    Projects,
    Quiet,
    VariantOption,
    Verbose,
    begin,
    read_projects,
)
from volume_bootstrap.errors import PodError
from volume_bootstrap.hangup import outliving_the_terminal
from volume_bootstrap.pod import creation, filling
from volume_bootstrap.pod.creation import PodPlan
from volume_bootstrap.pod.runpod_api import REST, RunPod, costs, is_key, uncertain
from volume_bootstrap.pod.settings import SAFE_BASE, UNREPEATED, PodSettings
from volume_bootstrap.pod.smoke import check_image

logger = logging.getLogger(__name__)

SET = {
    "SPEECH_VOLUME", "SPEECH_PROJECTS", "SPEECH_VARIANT", "SPEECH_MIRROR", "RUNPOD_POD_ID",
    "RUNPOD_VOLUME_ID",
}  # fmt: skip
"""Variables of the pod that `create`, or RunPod, sets: given as well, one of the two would win."""

app = typer.Typer(help="Fill the volume of a pod by itself; or create such a pod.")

Machines = Annotated[
    list[str] | None,
    typer.Option("--gpu", help='Kind of GPU, such as "NVIDIA L4"; repeatable, the first first.'),
]
Flavours = Annotated[
    list[str] | None,
    typer.Option("--cpu", help="Or of CPU, such as cpu3c; repeatable, the first first."),
]


@app.callback(invoke_without_command=True)
def run(
    context: typer.Context,
    terminate: Annotated[
        bool, typer.Option("--terminate", help="End this pod when the volume is ready.")
    ] = False,
    as_json: AsJson = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """In a pod: fill, verify and try the volume, as SPEECH_PROJECTS and the rest say."""
    if context.invoked_subcommand:
        if terminate or as_json or verbose or quiet:
            raise PodError("Options of `pod` come after `create`, those that it has (--help).")
        return
    with outliving_the_terminal():
        settings = PodSettings.from_environment(os.environ, terminate=terminate)
        # The settings have it: no program that is started from here on sees it.
        os.environ.pop("RUNPOD_API_KEY", None)
        volume = begin(str(settings.volume), verbose=verbose, quiet=quiet)
        check_image()
        projects = read_projects(list(settings.projects), settings.variant)
        report = filling.fill(volume, projects, settings)
        try:
            if as_json:
                console.print_json(report.as_json())
            else:
                console.print_lines(report.as_text().rstrip("\n"))
        finally:  # whether anybody reads it or not
            if terminate:
                filling.end(settings)


@app.command()
def create(
    project: Projects,
    volume_id: Annotated[str, typer.Option("--volume-id", help="Of the network volume.")],
    gpu: Machines = None,
    cpu: Flavours = None,
    vcpus: Annotated[int, typer.Option(min=1, help="With --cpu.")] = 4,
    image: Annotated[
        str | None,
        typer.Option(help="Image of the target `provision`; with --source one of Python 3.11."),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(help="Address of this repository as .tar.gz, for an image without it."),
    ] = None,
    variant: VariantOption = None,
    mirror: Mirror = None,
    env: Annotated[
        list[str] | None,
        typer.Option(help="NAME=VALUE, more for the pod, such as HF_TOKEN; repeatable."),
    ] = None,
    data_centre: Annotated[
        str | None, typer.Option(help="Where the volume is, such as EU-RO-1.")
    ] = None,
    disk: Annotated[int, typer.Option(min=5, help="Of the container, in GB.")] = 20,
    wait: Annotated[
        int | None, typer.Option(min=1, help="Follow it to its end, for so many minutes at most.")
    ] = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """From your own machine: start such a pod, which ends itself. Needs RUNPOD_API_KEY."""
    console.set_up_logging(verbose=verbose, quiet=quiet)
    names = [each.name for each in read_projects(project, variant)]
    if source is not None and not re.fullmatch(r"https?://\S+", source):
        # Not repeated: it may hold a password.
        raise PodError("--source is no address; it begins with https://, without spaces.")
    if not re.fullmatch("[A-Za-z0-9_-]+", volume_id):
        raise PodError(
            f"--volume-id {volume_id!r} is no id: letters, digits, _ and - alone. RunPod's console "
            "shows it under Storage."
        )
    asked = {"SPEECH_PROJECTS": ",".join(names), "SPEECH_VARIANT": variant, "SPEECH_MIRROR": mirror}
    plan = PodPlan(
        volume_id=volume_id,
        image=_image(image, source),
        source=source,
        gpus=tuple(gpu or ()),
        cpus=tuple(cpu or ()),
        num_cpus=vcpus,
        data_centre=data_centre,
        disk_gb=disk,
        environment={name: value for name, value in asked.items() if value} | _variables(env or []),
    )
    if bool(plan.gpus) == bool(plan.cpus):
        raise PodError("Name machines of one sort: --gpu, as for the variant cuda, or --cpu.")
    api = _api()
    request = plan.request()
    PodSettings.check_sent(request["env"])
    try:
        pod_id = api.create(request)
        # Where nobody hears of a pod, nobody ends it: at once, first where --quiet leaves it and
        # a stdout that fails does not matter.
        logger.warning("pod %s is created. %s", pod_id, costs(pod_id))
    except (KeyboardInterrupt, SystemExit):  # Ctrl-C, SIGTERM
        raise PodError(f"Interrupted. {uncertain(request['name'])}") from None
    if as_json:
        console.print_json({"pod": pod_id, "volume": volume_id, "projects": names})
    else:
        console.print_lines(f"pod {pod_id} fills volume {volume_id}: {', '.join(names)}")
    sys.stdout.flush()
    if wait is not None:
        creation.follow(api, pod_id, wait * 60.0)


def _image(image: str | None, source: str | None) -> str:
    if source is None and image is None:
        raise PodError(
            "Name --image, built from the target `provision` of Dockerfile.serverless, or "
            "--source, the address of this repository as .tar.gz, for a stock image."
        )
    return image or creation.STOCK_IMAGE


def _variables(given: list[str]) -> dict[str, str]:
    variables = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not equals or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            # Not repeated: it may be a secret.
            raise PodError("--env: write NAME=VALUE, the name in letters, digits and underscores.")
        if name in SET:
            raise PodError(
                f"--env {name}: this command or RunPod sets it; use --project, --variant, "
                "--mirror or --volume-id."
            )
        variables[name] = value
    return variables


def _api() -> RunPod:
    key, base = os.environ.get("RUNPOD_API_KEY", "").strip(), os.environ.get("RUNPOD_REST_URL")
    if not key or not is_key(key):
        raise PodError(
            "RUNPOD_API_KEY is not set, or holds characters that no key has; make a key "
            "that may write pods in RunPod's console, under Settings, API Keys."
        )
    if base and not re.fullmatch(SAFE_BASE, base):
        raise PodError(f"RUNPOD_REST_URL is not allowed: {UNREPEATED['RUNPOD_REST_URL']}.")
    return RunPod(key, base or REST)
