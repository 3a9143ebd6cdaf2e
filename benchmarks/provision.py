"""The provisioner beside pip and curl: in one run, round by round, on the same disk.

``python -m benchmarks.provision`` prints the section alone; `make bench` ends with it.
"""

import argparse
import json
import os
import re
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from benchmarks.measure import spread
from benchmarks.provision_sides import ROOT, Provisioner, copy_provisioner, curl, fetch, timed
from benchmarks.provision_table import render
from tests.hub_server import HubServer
from tests.index_server import serve

PROJECT = "speaker-diarization"
VARIANT = "cpu"
TORCH_INDEX = "TORCH_CPU_INDEX"
"""Variable that takes the place of the address of torch's own index, in the project's group."""
CHANGED = ("threadpoolctl", ("3.6.0", "3.7.0", "3.8.0"))
"""A small package and three versions: two are kept, so that a third always has to be built."""
NUM_FILES, FILE_BYTES = 10, 50_000_000

Result = dict[str, Any]


def measure(python: str, rounds: int) -> Result:
    """Measure packages and models, each side in turn.

    Parameters
    ----------
    python : interpreter that has the provisioner's requirements, and pip.
    """
    # The provisioner runs in a folder of its own; a link to an interpreter stays one.
    python = str(Path(python).absolute())
    with tempfile.TemporaryDirectory(prefix="speech-provision-") as folder:
        return {
            "rounds": rounds,
            "packages": _packages(python, rounds, Path(folder)),
            "models": _models(python, rounds, Path(folder)),
        }


def _packages(python: str, rounds: int, folder: Path) -> Result:
    """No change and one package changed, beside ``pip install --target`` of the same lock."""
    checkout = folder / "packages"
    copy_provisioner(checkout)
    shutil.copytree(ROOT / "projects" / PROJECT, checkout / "projects" / PROJECT)
    text = (checkout / "projects" / PROJECT / "dependencies.yaml").read_text(encoding="utf-8")
    wheels = folder / "wheels"
    (torch,) = re.findall(r"torch==[0-9.]+", text)
    pip = [python, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    timed([*pip, "download", "--no-deps", "--dest", str(wheels), torch], folder)
    names = ("no change", "one switched", "one changed", "pip")
    seconds: dict[str, list[float]] = {name: [] for name in names}
    with serve(wheels) as index:
        tool = Provisioner(python, checkout, PROJECT, {TORCH_INDEX: index.url})
        for version in CHANGED[1]:
            _pin(checkout, text, version)
            tool.run("deps", "install", "--variant", VARIANT)
        lock = _pip_requirements(tool)
        target = folder / "target"
        install = [*pip, "install", "--no-deps", "--require-hashes", "--target", str(target)]
        install += ["--extra-index-url", index.url, "-r", str(lock)]
        # One more round, the first, warms pip's cache as well.
        for number in _rounds("packages", rounds + 1):
            shutil.rmtree(target, ignore_errors=True)
            _pin(checkout, text, CHANGED[1][number % len(CHANGED[1])])
            took: dict[str, float] = {}
            for side in ("pip", "tool") if number % 2 else ("tool", "pip"):
                # Each flushes its own writes, if any: pip leaves two gigabytes to whoever is next.
                os.sync()
                if side == "pip":
                    took["pip"] = timed(install, folder)[0]
                else:
                    stages = tool.stages("deps", "install")
                    # What comes after the switch removes the oldest generation.
                    took["one switched"] = stages["prune"]
                    took["one changed"] = stages["end"]
                    took["no change"] = tool.run("deps", "install")[0]
            for name in seconds if number else ():
                seconds[name].append(took[name])
        generation = json.loads((tool.pointer / "generation.json").read_bytes())
    pairs = zip(seconds["pip"], seconds["one changed"], strict=True)
    return {
        "num_packages": len(generation["packages"]),
        "num_files": generation["num_files"],
        "size_mb": round(generation["num_bytes"] / 1e6),
        "changed": CHANGED[0],
        "seconds": {name: spread(values) for name, values in seconds.items()},
        "pip_by_changed": spread(a / b for a, b in pairs),
    }


def _pin(checkout: Path, text: str, version: str) -> None:
    """Add another pin to the project's packages."""
    content = yaml.safe_load(text)
    pin = {"name": "benchmark", "packages": [f"{CHANGED[0]}=={version}"]}
    content["groups"].append(pin)
    path = checkout / "projects" / PROJECT / "dependencies.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")


def _pip_requirements(tool: Provisioner) -> Path:
    """Write the lock of the active generation as pip reads it: versions with their hashes."""
    installed = json.loads((tool.pointer / "generation.json").read_bytes())["packages"]
    lock = tomllib.loads((tool.pointer / "pylock.toml").read_text(encoding="utf-8"))
    lines = []
    for package in lock["packages"]:
        if package["name"] in installed:
            files = [*package.get("wheels", []), *filter(None, [package.get("sdist")])]
            hashes = " ".join(f"--hash=sha256:{file['hashes']['sha256']}" for file in files)
            lines.append(f"{package['name']}=={package['version']} {hashes}\n")
    path = tool.root / "pip.txt"
    path.write_text("".join(lines), encoding="utf-8")
    return path


def _models(python: str, rounds: int, folder: Path) -> Result:
    """Ten files from a hub on loopback, beside curl with as many transfers at once."""
    checkout = folder / "models"
    copy_provisioner(checkout)
    source = folder / "hub" / "bench" / "large"
    source.mkdir(parents=True)
    names = [f"part{number}.bin" for number in range(NUM_FILES)]
    for name in names:
        (source / name).write_bytes(os.urandom(FILE_BYTES))
    seconds: dict[str, list[float]] = {"fetch": [], "curl": []}
    with HubServer(folder / "hub") as hub:
        tool = Provisioner(python, checkout, "bench", {"MODELSCOPE_ENDPOINT": hub.url()})
        _describe_model(checkout)
        tool.run("deps", "install")
        urls = [
            hub.url(f"/api/v1/models/bench/large/repo?Revision=master&FilePath={n}") for n in names
        ]
        # One more round, the first, warms the hub's memory of files and their SHA-256.
        for number in _rounds("models", rounds + 1):
            took: dict[str, float] = {}
            for side in ("curl", "fetch") if number % 2 else ("fetch", "curl"):
                os.sync()
                took[side] = curl(urls, folder) if side == "curl" else fetch(tool)
            for side in seconds if number else ():
                seconds[side].append(took[side])
    pairs = zip(seconds["curl"], seconds["fetch"], strict=True)
    return {
        "num_files": NUM_FILES,
        "file_mb": round(FILE_BYTES / 1e6),
        "seconds": {name: spread(values) for name, values in seconds.items()},
        "speed_by_curl": spread(theirs / ours for theirs, ours in pairs),
    }


def _describe_model(checkout: Path) -> None:
    """Write a project with one model, and the least of packages."""
    name, versions = CHANGED
    model = {
        "alias": "large",
        "id": "bench/large",
        "task": "asr",
        "licence": "none",
        "sources": [{"kind": "modelscope"}],
    }
    group = {"name": "base", "packages": [f"{name}=={versions[-1]}"]}
    contents = {
        "project": {"python": [f"{sys.version_info.major}.{sys.version_info.minor}"]},
        "dependencies": {"groups": [group], "imports": [name]},
        "models": {"models": [model]},
    }
    folder = checkout / "projects" / "bench"
    folder.mkdir(parents=True)
    for file, content in contents.items():
        (folder / f"{file}.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")


def _rounds(what: str, count: int) -> Iterator[int]:
    for number in range(count):
        print(f"{what}: round {number + 1} of {count}", file=sys.stderr, flush=True)
        yield number


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.provision", description=__doc__)
    parser.add_argument("--python", default=sys.executable, help="runs the provisioner, and pip")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    print(render(measure(arguments.python, arguments.rounds)))


if __name__ == "__main__":
    main()
