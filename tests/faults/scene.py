"""A project whose packages and models have a new version for every trial, and its volume."""

import contextlib
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.serving import PROJECT
from tests.faults.verdict import KINDS
from tests.hub_server import HubServer
from tests.index_server import Index, serve
from tests.wheels import ROOT, Checkout, make_checkout, make_wheel

NUM_MODULES = 150
BULK_BYTES = 1_000_000
MODEL = "tests/voice"
MODEL_FILES = {"model.bin": 3_000_000, "extra.bin": 1_500_000}
TIMEOUT_S = 120.0
SMALL_BYTES = 1_000_000
SLOW_WHEELS_BYTES_PER_S = 4_000_000
SLOW_MODELS_STEP_BYTES = 100_000
"""What a hub that is slow sends at a time: 5 MB/s for each file."""
STAGE = re.compile(r"stage: (\S+)")


@dataclass(frozen=True, slots=True)
class How:
    """How the provisioner is started: words before it, its Python, its variables."""

    prefix: Sequence[str] = ()
    python: str = sys.executable
    variables: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Finished:
    """A run that ended by itself: exit code, standard output and error."""

    code: int
    output: str
    log: str

    @property
    def last_line(self) -> str:
        """The error with all that belongs to it, or what a run that did not fail printed first."""
        lines = [line.rstrip() for line in self.log.splitlines() if line.strip()]
        for number, line in enumerate(lines):
            if line.startswith("error:"):
                return " ".join(part.strip() for part in lines[number:])
        return next(iter(self.output.splitlines() or lines[-1:]), "")


@dataclass
class Scene:
    """One project on one volume, with an index and a hub of its own.

    `wanted` are the versions of packages and models that the next run shall bring; `told` are
    left-over files that a verdict has named already.
    """

    checkout: Checkout
    index: Index
    hub: HubServer
    source: str = "modelscope"
    wanted: dict[str, str] = field(default_factory=dict)
    last: int = 0
    told: set[str] = field(default_factory=set)

    @property
    def volume(self) -> Path:
        return self.checkout.volume

    @property
    def hub_folder(self) -> Path:
        return self.checkout.root / "hub"

    @property
    def temporary(self) -> Path:
        return self.checkout.root / "tmp"

    def slow_down(self) -> None:
        """Let index and hub take their time: a kill is to find the run at work."""
        self.index.misbehave(bytes_per_s=SLOW_WHEELS_BYTES_PER_S)
        self.hub.fault("model.bin", "slow", bytes=SLOW_MODELS_STEP_BYTES)

    def offer_next(self, kinds: Sequence[str] = KINDS) -> None:
        """Put the next version on the index and the hub, and ask for it."""
        self.last += 1
        self.wanted |= dict.fromkeys(kinds, f"{self.last}.0")
        if "packages" in kinds:
            self._offer_packages(self.wanted["packages"])
        packages = [f"{name}=={self.wanted['packages']}" for name in ("greeting", "bulky")]
        self._describe(packages, [self._offer_model(self.wanted["models"])])

    def _describe(self, packages: list[str], models: list[dict[str, Any]]) -> None:
        self.checkout.describe(packages, ["greeting", "bulky"], models)

    def _offer_packages(self, version: str) -> None:
        wheels = self.checkout.root / "served"
        make_wheel(wheels, "greeting", version, requires=[f"partner=={version}"])
        make_wheel(wheels, "partner", version)
        modules = {f"bulky/part{i}.py": _module(i, version) for i in range(NUM_MODULES)}
        bulk = random.Random(version).randbytes(BULK_BYTES)
        make_wheel(wheels, "bulky", version, members={**modules, "bulky/data.bin": bulk})

    @contextlib.contextmanager
    def from_source(self, kind: str) -> Iterator[None]:
        """Let the models that are offered in the block come from a hub of another kind."""
        usual, self.source = self.source, kind
        try:
            yield
        finally:
            self.source = usual

    def _offer_model(self, version: str) -> dict[str, Any]:
        folder = self.hub_folder / MODEL
        folder.mkdir(parents=True, exist_ok=True)
        contents = {"config.json": json.dumps({"version": version}).encode()}
        for path, size in MODEL_FILES.items():
            contents[path] = random.Random(f"{path} {version}").randbytes(size)
        for path, content in contents.items():
            (folder / path).write_bytes(content)
        return {
            "alias": "voice",
            "id": MODEL,
            "revision": "v1.0.0",
            "task": "asr",
            "engine": "funasr",
            "licence": "Apache-2.0",
            "files": [
                {"path": path, "sha256": hashlib.sha256(content).hexdigest()}
                for path, content in contents.items()
            ],
            "sources": [{"kind": self.source}],
        }

    def command(self, verb: str, how: How, *options: str) -> list[str]:
        place = ["--project", PROJECT, "--volume", str(self.volume)]
        tool = [how.python, "-m", "volume_bootstrap", *verb.split(), *place, *options]
        return [*how.prefix, *tool]

    def environment(self, **variables: str) -> dict[str, str]:
        self.temporary.mkdir(exist_ok=True)
        return self.checkout.environment(
            **{
                "PIP_FIND_LINKS": "",
                "PIP_INDEX_URL": self.index.url,
                "UV_OFFLINE": "false",
                "UV_HTTP_RETRIES": "1",
                "MODELSCOPE_ENDPOINT": self.hub.url(),
                "HF_ENDPOINT": self.hub.url(),
                "TMPDIR": str(self.temporary),
                "COLUMNS": "400",
                **variables,
            }
        )

    def start(self, verb: str, how: How | None = None, *options: str) -> subprocess.Popen[str]:
        """Start the provisioner with the log of every step, in a process group of its own."""
        how = how or How()
        return subprocess.Popen(
            self.command(verb, how, *options, "-v"),
            cwd=self.checkout.root,
            env=self.environment(**how.variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, verb: str, how: How | None = None, *options: str) -> Finished:
        """Run the provisioner to its end, or until it has taken far too long."""
        with self.start(verb, how, *options) as process:
            return finish(process)

    def look(self, how: How | None = None) -> dict[str, Any]:
        """Start a worker, as far as packages and models go; see tests.faults.serving."""
        how = how or How()
        program = [sys.executable, "-m", "tests.faults.serving", str(self.volume)]
        done = subprocess.run(
            [*how.prefix, *program],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
            timeout=TIMEOUT_S,
        )
        return dict(json.loads(done.stdout))

    def temporary_files(self) -> list[str]:
        """Large things that runs have left off the volume, among the temporary files.

        A killed process leaves some: small ones are for the system to clear away.
        """
        paths = [path for path in self.temporary.rglob("*") if path.is_file()]
        return [path.name for path in paths if path.stat().st_size > SMALL_BYTES]


def finish(process: subprocess.Popen[str]) -> Finished:
    """Wait for a provisioner; one that hangs is killed, which its exit code tells."""
    try:
        output, log = process.communicate(timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, log = process.communicate()
    return Finished(process.returncode, output, log)


def _module(number: int, version: str) -> bytes:
    lines = [f'"""Module {number} of {version}."""\n']
    lines += [
        f"def f{i}(a, b={i}):\n    return [a * {number} + b, {version!r}]\n" for i in range(40)
    ]
    return "\n".join(lines).encode()


@contextlib.contextmanager
def scene(folder: Path) -> Iterator[Scene]:
    """Make a scene in `folder`, gone when the block ends."""
    checkout = make_checkout(folder / "checkout")
    served, hub_folder = checkout.root / "served", checkout.root / "hub"
    served.mkdir()
    hub_folder.mkdir()
    with serve(served) as index, HubServer(hub_folder) as hub:
        yield Scene(checkout, index, hub)
    shutil.rmtree(checkout.root)
