"""A volume whose model has a new version for every trial, pushed to a bucket that is slow."""

import contextlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests import s3_server
from tests.copied_models import PART_BYTES, served, take
from tests.faults.scene import Finished, finish
from tests.wheels import ROOT
from volume_bootstrap.layout import Volume
from worker.errors import ModelNotProvisionedError

ANSWER_AFTER_S = 0.05
SLOW_REQUESTS = 100_000
"""More than all trials make."""


class PushScene:
    """As a scene, for tests.faults.kills: every command pushes, and a worker looks at the bucket.

    No packages are pushed; they stand still for the verdicts.
    """

    def __init__(self, folder: Path, proxy: s3_server.Proxy, client: Any) -> None:
        self.volume = Volume(folder / "volume")
        self._folder = folder
        self._proxy = proxy
        self._client = client
        self.wanted = {"packages": "none"}
        self.told: set[str] = set()
        self._last = 0

    def slow_down(self) -> None:
        """Let the endpoint take its time: a kill is to find the run at work."""

        def slowly(handler: Any) -> None:
            time.sleep(ANSWER_AFTER_S)
            handler.forward(handler.received)

        self._proxy.fault(slowly, times=SLOW_REQUESTS)

    def offer_next(self, kinds: Sequence[str] = ()) -> None:
        """Import the next version of the model."""
        self._last += 1
        version = f"{self._last}.0"
        self.wanted["models"] = version
        weights = random.Random(version).randbytes(2 * PART_BYTES)
        contents = {"model.pt": weights + version.encode(), "extra.bin": weights[:1_000_000]}
        shutil.rmtree(self._folder / "copied", ignore_errors=True)
        take(self.volume, self._folder / "copied", contents)

    def start(self, verb: str, how: None = None, *options: str) -> subprocess.Popen[str]:
        """Start a push with the log of every step, in a process group of its own."""
        place = [str(self.volume.root), "s3://bucket/pod", self._proxy.url]
        keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
        return subprocess.Popen(
            [sys.executable, "-m", "tests.copied_models", *place],
            cwd=ROOT,
            env={**os.environ, **keys},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, verb: str, how: None = None, *options: str) -> Finished:
        """Push to the end."""
        with self.start(verb, how, *options) as process:
            return finish(process)

    def look(self, how: None = None) -> dict[str, Any]:
        """What a worker finds in the bucket, and the uploads that nobody finished."""
        begun = self._client.list_multipart_uploads(Bucket="bucket").get("Uploads", [])
        left = [str(path) for path in self.volume.metadata.glob("uploads/*")]
        seen = {"packages": {"none": "none"}, "leftovers": [*(u["Key"] for u in begun), *left]}
        with tempfile.TemporaryDirectory(dir=self._folder) as folder:
            try:
                found = served(self._client, "bucket", Path(folder), "pod/")
            except ModelNotProvisionedError as error:
                return {**seen, "error": str(error)}
        versions = {alias: weights[2 * PART_BYTES :].decode() for alias, weights in found.items()}
        return {**seen, "models": versions}

    def temporary_files(self) -> list[str]:
        """Large things that runs have left off the volume: a push makes none."""
        return []


@contextlib.contextmanager
def push_scene(folder: Path) -> Iterator[PushScene]:
    """Make such a scene in `folder`, gone when the block ends."""
    own = folder / "push"
    own.mkdir()
    with s3_server.moto() as url, s3_server.Proxy(url) as proxy:
        yield PushScene(own, proxy, s3_server.client_of(url))
    shutil.rmtree(own)
