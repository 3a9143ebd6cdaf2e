"""Environment -> Settings, read once at start.

One prefix, ``SPEECH_``; the platform's own names keep theirs. The README's
table is made from `Settings`: every field carries its unit and meaning.
"""

import ipaddress
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError

from volume_bootstrap.layout import MOUNTS, Volume
from worker import places
from worker.errors import StartupError

IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


class Settings(BaseModel):
    """What the worker is told by its environment."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    local_files: ClassVar[bool] = False
    """Whether a job may name any file of this machine: no setting, for no endpoint may allow it."""

    volume: Path = Field(
        alias="SPEECH_VOLUME",
        description="the network volume; by default the first of /runpod-volume, /workspace "
        "that exists",
    )
    project: str | None = Field(
        None,
        alias="SPEECH_PROJECT",
        pattern=r"^[a-z0-9][a-z0-9._-]*$",
        description="the project whose dependencies and models are used; by default the only "
        "one on the volume",
    )
    modelscope_cache: Path | None = Field(
        None,
        alias="MODELSCOPE_CACHE",
        description="folder of the models; by default `<volume>/models`",
    )
    device: str = Field(
        "auto",
        alias="SPEECH_DEVICE",
        pattern=r"^(auto|cpu|cuda(:\d+)?)$",
        description="`auto`, `cpu`, `cuda` or `cuda:N`; `cuda` without a usable GPU is an error",
    )
    precision: Literal["auto", "float32", "bfloat16", "float16", "int8"] = Field(
        "auto",
        alias="SPEECH_PRECISION",
        description="of the speech recognition: `float32`, `bfloat16`, `float16` or `int8`; `auto` "
        "is `float16` on a GPU, `float32` on a CPU",
    )
    threads: int = Field(
        0,
        alias="SPEECH_THREADS",
        ge=0,
        description="CPU threads of the models; 0: as many as the process may use",
    )
    allowed_networks: tuple[IPNetwork, ...] = Field(
        (),
        alias="SPEECH_ALLOWED_NETWORKS",
        description="address ranges (CIDR, separated by commas) that audio may come from, and "
        "the S3 endpoint of a job have, although they are private",
    )
    concurrency: int = Field(
        2,
        alias="SPEECH_CONCURRENCY",
        ge=1,
        le=16,
        description="jobs taken at a time: one computes while the next is fetched and decoded",
    )
    max_audio_mb: int = Field(
        2048,
        alias="SPEECH_MAX_AUDIO_MB",
        ge=1,
        description="largest audio file that a job may name, in MB (10^6 bytes)",
    )
    max_audio_s: float = Field(
        43_200,
        alias="SPEECH_MAX_AUDIO_S",
        gt=0,
        allow_inf_nan=False,
        description="longest audio that a job may name, in seconds",
    )
    fetch_timeout_s: float = Field(
        600,
        alias="SPEECH_FETCH_TIMEOUT_S",
        gt=0,
        allow_inf_nan=False,
        description="time that fetching one audio may take in all, in seconds",
    )
    job_timeout_s: float = Field(
        3600,
        alias="SPEECH_JOB_TIMEOUT_S",
        gt=0,
        allow_inf_nan=False,
        description="time that a job may take in all, in seconds; a worker whose job does not end "
        "even then is replaced",
    )
    grace_s: float = Field(
        25,
        alias="SPEECH_GRACE_S",
        ge=0,
        allow_inf_nan=False,
        description="time that running jobs have to end after SIGTERM, in seconds; what is left "
        "then is delivered again by the platform",
    )
    gpu_memory_fraction: float = Field(
        0.9,
        alias="SPEECH_GPU_MEMORY_FRACTION",
        gt=0,
        le=1,
        description="share of the device's memory that loaded models may take; beyond it the one "
        "that was used longest ago goes",
    )
    idle_unload_s: float = Field(
        0,
        alias="SPEECH_IDLE_UNLOAD_S",
        ge=0,
        allow_inf_nan=False,
        description="time after which a model that no job uses is unloaded, in seconds; 0: never",
    )
    output: Annotated[str, AfterValidator(places.check)] | None = Field(
        None,
        alias="SPEECH_OUTPUT",
        description="`s3://bucket/prefix/` for results that are too large for the platform and "
        "whose job names no `output`; needs the keys of `BUCKET_*` or `AWS_*`",
    )
    bucket_endpoint_url: str | None = Field(
        None,
        alias="BUCKET_ENDPOINT_URL",
        description="S3 endpoint, `https://host` or `https://bucket.s3.region.host`, of the two "
        "keys that follow; the three are used together",
    )
    bucket_access_key_id: str | None = Field(
        None, alias="BUCKET_ACCESS_KEY_ID", description="access key for it"
    )
    bucket_secret_access_key: SecretStr | None = Field(
        None, alias="BUCKET_SECRET_ACCESS_KEY", description="secret key for it"
    )
    aws_access_key_id: str | None = Field(
        None,
        alias="AWS_ACCESS_KEY_ID",
        description="S3 access key, where not all of `BUCKET_*` is set",
    )
    aws_secret_access_key: SecretStr | None = Field(
        None, alias="AWS_SECRET_ACCESS_KEY", description="secret key for it"
    )
    aws_session_token: SecretStr | None = Field(
        None, alias="AWS_SESSION_TOKEN", description="session token of keys that expire"
    )
    aws_endpoint_url: str | None = Field(
        None, alias="AWS_ENDPOINT_URL", description="S3 endpoint; by default that of AWS"
    )
    aws_default_region: str | None = Field(
        None,
        alias="AWS_DEFAULT_REGION",
        description="S3 region, also for `BUCKET_*`; by default what the endpoint's name tells, "
        "else `us-east-1`",
    )
    report_audio_mb: float = Field(
        5,
        alias="SPEECH_REPORT_AUDIO_MB",
        ge=0,
        allow_inf_nan=False,
        description="largest audio that an HTML report holds, in MB (10^6 bytes), compressed to "
        "10.8 an hour and a third larger in the page; the reports of a list share it, unless the "
        "job names `output`. Of a longer recording the page asks for the file; 0: of any",
    )
    log_level: str = Field(
        "INFO",
        alias="SPEECH_LOG_LEVEL",
        pattern=r"^(DEBUG|INFO|WARNING|ERROR)$",
        description="`DEBUG`, `INFO`, `WARNING` or `ERROR`",
    )

    @property
    def layout(self) -> Volume:
        """Where things lie on the volume."""
        return Volume(self.volume, cache=self.modelscope_cache)

    @property
    def num_threads(self) -> int:
        """CPU threads that the models may use."""
        return self.threads or len(os.sched_getaffinity(0))

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read the settings; an empty variable counts as unset.

        Raises
        ------
        StartupError
            A variable has a value that is not allowed, or there is no volume.
        """
        names = {str(field.alias) for field in cls.model_fields.values()}
        values: dict[str, object] = {
            name: value for name, value in environment.items() if name in names and value.strip()
        }
        if "SPEECH_ALLOWED_NETWORKS" in values:
            ranges = str(values["SPEECH_ALLOWED_NETWORKS"]).split(",")
            values["SPEECH_ALLOWED_NETWORKS"] = [r.strip() for r in ranges if r.strip()]
        if "SPEECH_VOLUME" not in values:
            values["SPEECH_VOLUME"] = _platform_volume()
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            name, reason = str(first["loc"][0]), first["msg"].removeprefix("Value error, ")
            message = f"{name}={values.get(name)!r} is not allowed: {reason}."
            raise StartupError(message) from error


class LocalSettings(Settings):
    """What a run on one's own machine is told: its jobs name files as ``file://`` and a path."""

    local_files = True


def _platform_volume() -> Path:
    for path in MOUNTS:
        if path.is_dir():
            return path
    raise StartupError(
        "No volume: SPEECH_VOLUME is not set and neither /runpod-volume nor /workspace exists. "
        "Attach a network volume to the endpoint, or set SPEECH_VOLUME to the folder that "
        "`python -m volume_bootstrap setup` filled."
    )
