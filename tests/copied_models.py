"""Small models that were copied by hand, volumes that hold them, and what a bucket serves of them.

``python -m tests.copied_models VOLUME BUCKET ENDPOINT`` pushes all of a volume's, in the smallest
parts that S3 takes: for tests that kill it.
"""

import contextlib
import hashlib
import random
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from volume_bootstrap import console
from volume_bootstrap.bucket.store import Place
from volume_bootstrap.errors import ProvisionError
from volume_bootstrap.layout import Manifest, Volume, manifest_of
from volume_bootstrap.lock import writing
from volume_bootstrap.models.importing import import_model
from volume_bootstrap.models.push import Pushed, push
from volume_bootstrap.project import Project
from volume_bootstrap.project_files import (
    BundledSource,
    DependenciesFile,
    FileEntry,
    ModelEntry,
    ProjectFile,
)
from worker.model_store import ModelStore

PART_BYTES = 5 * 2**20
WEIGHTS = random.Random("weights").randbytes(2 * PART_BYTES + 1000)
"""Three parts."""
CONTENTS = {"model.pt": WEIGHTS, "config.yaml": b"a: 1", "sub/am.mvn": b"<Nnet>", "empty": b""}
PROJECT = "tiny"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def entry(
    contents: Mapping[str, bytes] = CONTENTS, alias: str = "one", **changes: Any
) -> ModelEntry:
    values = {
        "alias": alias,
        "id": f"org/{alias}",
        "task": "asr",
        "engine": "funasr",
        "licence": "MIT",
        "files": [FileEntry(path=p, sha256=sha256(c)) for p, c in contents.items()],
        "sources": [BundledSource(kind="bundled", path="nothing")],
    }
    return ModelEntry(**{**values, **changes})


def project(*entries: ModelEntry, defaults: dict[str, Any] | None = None) -> Project:
    settings = ProjectFile(python=["3.11", "3.12"], defaults=defaults or {})
    return Project(PROJECT, settings, DependenciesFile(), entries)


def copy_by_hand(folder: Path, contents: Mapping[str, bytes] = CONTENTS) -> Path:
    for path, content in contents.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


def take(
    volume: Volume,
    folder: Path,
    contents: Mapping[str, bytes] = CONTENTS,
    alias: str = "one",
    **options: Any,
) -> Manifest:
    """Import a model with these contents; what the volume's manifest tells then."""
    own = entry(contents, alias)
    import_model(volume, project(own, **options), own, copy_by_hand(folder, contents))
    return manifest_of(volume, PROJECT)


def push_all(volume: Volume, bucket: str, endpoint: str, **options: Any) -> Pushed:
    manifest = manifest_of(volume, PROJECT)
    aliases = [record.alias for record in manifest.models]
    options = {"part_bytes": PART_BYTES, **options}
    return push(volume, manifest, aliases, Place(bucket, endpoint), **options)


def served(client: Any, bucket: str, folder: Path, prefix: str = "") -> dict[str, bytes]:
    """What a worker gets of a bucket that is mounted as a volume: each model's weights, verified.

    Raises
    ------
    ModelNotProvisionedError
        The worker finds no manifest, or a model that is not as it tells.
    """
    volume = Volume(folder)

    def fetch(path: Path) -> None:
        key = prefix + str(path.relative_to(folder))
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(client.exceptions.NoSuchKey):
            path.write_bytes(client.get_object(Bucket=bucket, Key=key)["Body"].read())

    fetch(volume.manifest(PROJECT))
    store = ModelStore(volume, PROJECT)
    records = store.manifest().models
    for record in records:
        for file in record.files:
            fetch(volume.models / record.folder / file.path)
    return {r.alias: (store.verified(r) / "model.pt").read_bytes() for r in records}


def main() -> None:
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    console.set_up_logging(verbose=True, quiet=False)
    root, bucket, endpoint = sys.argv[1:]
    volume = Volume(Path(root))
    try:
        with writing(volume):
            push_all(volume, bucket, endpoint)
    except ProvisionError as error:
        sys.exit(console.fail(str(error), 1))


if __name__ == "__main__":
    main()
