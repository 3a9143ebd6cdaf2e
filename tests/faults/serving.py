"""What a worker that starts now gets from a volume: ``python -m tests.faults.serving VOLUME``.

Prints one line of JSON: the generation that is activated as a worker activates it, the version
of each package as imported from it, each model's version once the SHA-256 of all its files was
right; or the error that the worker would tell; and what was left over. With ``--until FILE`` it
goes on starting, each time in a process of its own, until the file is there. With ``--hold`` it is
one worker that lives on, as its heartbeat tells: it imports some of it only after a line of input.
"""

import argparse
import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from volume_bootstrap.files import sha256_of
from volume_bootstrap.layout import LayoutError, Volume, manifest_of
from worker import heartbeat
from worker.activation import activate
from worker.errors import StartupError

PROJECT = "tiny"
PACKAGES = ("greeting", "partner", "bulky")


def observe(volume: Volume) -> dict[str, Any]:
    """Start as a worker does, as far as packages and models go."""
    seen: dict[str, Any] = {}
    try:
        generation = activate(volume, PROJECT)
        seen["generation"] = generation.id
        seen["packages"] = {name: importlib.import_module(name).version for name in PACKAGES}
        seen["models"] = _models(volume)
    except (StartupError, LayoutError, ImportError, OSError) as error:
        seen["error"] = f"{type(error).__name__}: {error}"
    return seen


def _models(volume: Volume) -> dict[str, str]:
    versions = {}
    for record in manifest_of(volume, PROJECT).models:
        for file in record.files:
            path = volume.models / record.folder / file.path
            if (found := sha256_of(path)) != file.sha256:
                raise OSError(f"{path} has the SHA-256 {found}, the manifest says {file.sha256}")
        config = volume.models / record.folder / "config.json"
        versions[record.alias] = json.loads(config.read_bytes())["version"]
    return versions


def hold(volume: Volume) -> None:
    """Start, import one package, and the others once a line came in."""
    generation = activate(volume, PROJECT)
    heartbeat.start(volume, generation.id)
    first, *later = PACKAGES
    versions = {first: importlib.import_module(first).version}
    print(json.dumps({"generation": generation.id}), flush=True)  # noqa: T201
    sys.stdin.readline()
    versions |= {name: importlib.import_module(name).version for name in later}
    importlib.import_module("bulky.part7")
    print(json.dumps({"packages": versions}))  # noqa: T201


def _leftovers(volume: Volume) -> list[str]:
    """What no finished run leaves on a volume; uv minds its own cache.

    Not the drafts of locks: a holder removes them when they are a minute old, since those who wait
    for it have one, too.
    """
    partial = [path for path in volume.root.rglob("*.partial*") if ".cache" not in path.parts]
    metadata = [
        path
        for path in volume.metadata.iterdir()
        if path.is_file() and path.suffix != ".json" and not path.name.startswith("lock.")
    ]
    return [str(path.relative_to(volume.root)) for path in [*partial, *metadata]]


def _start_in_a_process(volume: Volume) -> None:
    child = os.fork()
    if child == 0:
        # One write is one line, whoever else writes.
        os.write(1, (json.dumps(observe(volume)) + "\n").encode())
        os._exit(0)
    os.waitpid(child, 0)


def main() -> None:
    parser = argparse.ArgumentParser(description="Start as a worker does, and tell what came.")
    parser.add_argument("volume", type=Path)
    parser.add_argument("--until", type=Path, metavar="FILE", help="go on until it is there")
    parser.add_argument("--hold", action="store_true", help="be one worker that lives on")
    arguments = parser.parse_args()
    volume = Volume(arguments.volume)
    if arguments.hold:
        hold(volume)
        return
    if arguments.until is None:
        print(json.dumps({**observe(volume), "leftovers": _leftovers(volume)}))  # noqa: T201
        return
    while not arguments.until.exists():
        _start_in_a_process(volume)


if __name__ == "__main__":
    main()
