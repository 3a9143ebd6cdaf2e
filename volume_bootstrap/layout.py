"""Where things lie on a volume, and how its manifests read. Standard library only.

The worker imports this module of the provisioner; nothing here imports another.
Every path inside a volume is relative, because the same volume is mounted at
/workspace in a pod and at /runpod-volume in a serverless worker.
"""

import json
import logging
import sys
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_origin

logger = logging.getLogger(__name__)

GENERATION_FORMAT = 2
"""Of generation.json. Raised when it changes in a way that an older worker would misread: `setup`
then builds the packages of every volume anew."""
MODELS_FORMAT = 3
"""Of manifests and of the records beside models. Raised likewise: `setup` then records, and
exports, the models of every volume anew, and fetches no file that models.yaml has the SHA-256 of.
"""

MOUNTS = (Path("/runpod-volume"), Path("/workspace"))
"""Where RunPod mounts a network volume: in serverless workers, in pods."""

WORKER_BEAT_S = 30.0
WORKER_DEAD_AFTER_S = 300.0
"""Silence after which a worker is taken for gone: many beats, for slow network volumes."""


class LayoutError(Exception):
    """A manifest or record on the volume is missing or cannot be read."""


def running_python() -> str:
    """Version of this interpreter as the volume names it, such as ``3.11``."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


@dataclass(frozen=True, slots=True)
class Volume:
    """Paths of a volume for one version of Python; `cache` is MODELSCOPE_CACHE, where set."""

    root: Path
    python: str = field(default_factory=running_python)
    cache: Path | None = None

    @property
    def dependencies(self) -> Path:
        """Folder that holds a pointer per project, and the generations."""
        return self.root / "python-deps" / f"py{self.python}"

    @property
    def generations(self) -> Path:
        return self.dependencies / ".generations"

    def pointer(self, project: str) -> Path:
        """Symbolic link to the project's active generation."""
        return self.dependencies / project

    def previous(self, project: str) -> Path:
        """Symbolic link to the generation that was active before, where there was one."""
        return self.dependencies / f".{project}.previous"

    @property
    def models(self) -> Path:
        return self.cache or self.root / "models"

    @property
    def uv_cache(self) -> Path:
        """uv's cache: generations are hard links into it."""
        return self.root / ".cache" / "uv"

    @property
    def metadata(self) -> Path:
        return self.root / ".metadata"

    @property
    def workers(self) -> Path:
        """Folder with a file for each worker that runs: its name is touched while it lives."""
        return self.metadata / "workers"

    @property
    def results(self) -> Path:
        """Folder of results that the platform did not take."""
        return self.root / "results"

    def manifest(self, project: str) -> Path:
        return self.metadata / f"{project}-py{self.python}.json"

    def manifest_copy(self, project: str) -> Path:
        """A second copy, which serves where the manifest was damaged."""
        return self.metadata / "copies" / self.manifest(project).name

    def projects(self) -> list[str]:
        """Names of the projects that have a manifest for this Python, sorted."""
        suffix = f"-py{self.python}.json"
        if not self.metadata.is_dir():
            return []
        return sorted(p.name.removesuffix(suffix) for p in self.metadata.glob(f"*{suffix}"))


@dataclass(frozen=True, slots=True)
class Generation:
    """What one folder of dependencies holds: its ``generation.json``.

    `packages` are installed in it, from the files that ``pylock.toml`` beside
    it names with their SHA-256. `image_packages` were left out because the
    image holds them; the generation was resolved against exactly these
    versions. `inputs` is a digest of all that the resolution was asked for.
    `built` is the time in UTC, as ISO 8601.
    """

    id: str
    project: str
    variant: str | None
    python: str
    abi: str
    inputs: str
    packages: dict[str, str]
    image_packages: dict[str, str]
    imports: tuple[str, ...]
    built: str
    num_files: int
    num_bytes: int


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One file of a model: path relative to its folder, size in bytes, SHA-256.

    `mtime_ns` is when it was last written, as it was when the SHA-256 was read: while size and time
    are the same, so is the file, unless somebody meant to deceive.
    """

    path: str
    size: int
    sha256: str
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """One model on the volume.

    `engine` is what reads it, where there are several for its task. `folder` is
    relative to the folder of models. `runtime` is the file that was
    exported for the worker to load; a model without one is loaded from its
    folder. `parity` is the largest absolute difference between it and the
    original network, as measured when it was exported, and `export` a digest of
    what it was exported from and with.
    """

    alias: str
    id: str
    revision: str | None
    task: str
    engine: str | None
    licence: str
    source: str
    folder: str
    files: tuple[ModelFile, ...]
    runtime: str | None
    parity: float | None
    export: str | None

    @property
    def reference(self) -> str:
        """How results name the model: its id, with the revision where it is known."""
        return f"{self.id}@{self.revision}" if self.revision else self.id


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is installed for one project: ``.metadata/<project>-py<version>.json``.

    `defaults` maps a task to its options, as in project.yaml.
    """

    project: str
    python: str
    defaults: dict[str, dict[str, Any]]
    models: tuple[ModelRecord, ...]

    def model(self, alias: str) -> ModelRecord | None:
        return next((m for m in self.models if m.alias == alias), None)


def dump(record: Generation | Manifest | ModelRecord) -> str:
    """The record as it stands on the volume."""
    number = GENERATION_FORMAT if isinstance(record, Generation) else MODELS_FORMAT
    return json.dumps({"format": number, **asdict(record)}, indent=2) + "\n"


def read_generation(path: Path) -> Generation:
    """Read a ``generation.json``.

    Raises
    ------
    LayoutError
        The file is missing, damaged, or of another format.
    """
    generation: Generation = _typed(Generation, _read(path, GENERATION_FORMAT), path)
    return generation


def read_manifest(path: Path) -> Manifest:
    """Read a project's manifest.

    Raises
    ------
    LayoutError
        The file is missing, damaged, or of another format.
    """
    manifest: Manifest = _typed(Manifest, _read(path, MODELS_FORMAT), path)
    for model in manifest.models:
        if model.runtime not in {None, *(f.path for f in model.files)}:
            raise LayoutError(f"{path} is damaged: {model.alias} lists no {model.runtime}.")
    return manifest


def manifest_of(volume: Volume, project: str) -> Manifest:
    """Read a project's manifest, or where that is damaged, its copy.

    Raises
    ------
    LayoutError
        The manifest is missing or damaged, and so is the copy.
    """
    try:
        return read_manifest(volume.manifest(project))
    except LayoutError as error:
        try:
            manifest = read_manifest(volume.manifest_copy(project))
        except LayoutError:
            raise error from None
        logger.warning("%s Its copy serves.", error)
        return manifest


def read_model(path: Path) -> ModelRecord:
    """Read the record that lies beside a version of a model.

    Raises
    ------
    LayoutError
        The file is missing, damaged, or of another format.
    """
    record: ModelRecord = _typed(ModelRecord, _read(path, MODELS_FORMAT), path)
    return record


def _read(path: Path, number: int) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise LayoutError(f"{path} does not exist.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise LayoutError(f"{path} cannot be read: {error}.") from error
    if not isinstance(record, dict) or record.pop("format", None) != number:
        raise LayoutError(f"{path} is not of format {number}.")
    return record


def _typed(kind: Any, value: Any, path: Path, place: str = "record") -> Any:  # noqa: ANN401
    """Make of a JSON value what a record's annotation `kind` says; `place` is where it stands."""
    if kind is Any or type(value) is kind:
        return value
    origin, inner = get_origin(kind), get_args(kind)
    if NoneType in inner:
        return None if value is None else _typed(inner[0], value, path, place)
    if isinstance(kind, type) and is_dataclass(kind) and type(value) is dict:
        kinds = {f.name: f.type for f in fields(kind)}
        if odd := ", ".join(sorted(kinds.keys() ^ value.keys())):
            raise LayoutError(f"{path} is damaged: in {place}, missing or not known: {odd}.")
        return kind(**{n: _typed(k, value[n], path, f"{place}.{n}") for n, k in kinds.items()})
    if origin is tuple and type(value) is list:
        return tuple(_typed(inner[0], v, path, f"{place}[{i}]") for i, v in enumerate(value))
    if origin is dict and type(value) is dict:
        return {k: _typed(inner[1], v, path, f"{place}.{k}") for k, v in value.items()}
    if kind is float and type(value) is int:  # JSON makes no difference between 1 and 1.0
        return value
    raise LayoutError(f"{path} is damaged: {place} is {value!r:.60}, no {kind.__name__}.")
