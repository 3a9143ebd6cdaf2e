"""Environment -> PodSettings: what a pod that fills a volume is told, read once."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
)

from volume_bootstrap.errors import PodError, ProjectError
from volume_bootstrap.layout import MOUNTS, running_python
from volume_bootstrap.pod.runpod_api import REST, is_key
from volume_bootstrap.project import known_projects, read_project

SAFE_BASE = r"^(https://[^@?#\s]+|http://(127\.0\.0\.1|localhost)(:\d+)?(/[^@?#\s]*)?)$"
"""The key goes there: to nobody in clear text, but to a test on this machine. Messages repeat it,
so it holds no user and no query."""

UNREPEATED = {
    "RUNPOD_API_KEY": "",
    "RUNPOD_REST_URL": "it begins with https://, for the key goes there, and has no user, no query",
    "SPEECH_MIRROR": "it begins with https:// or http://, and has no spaces",
}
"""Variables that may hold a secret, and what is said of them where they are wrong."""

SECRET = re.compile(r"\{\{\s*RUNPOD_SECRET_")
"""In what a pod is sent: RunPod puts a value in its place."""


def _names(text: object) -> object:
    return [each.strip() for each in str(text).split(",") if each.strip()]


def _key(key: SecretStr) -> SecretStr:
    if not is_key(key.get_secret_value()):
        raise ValueError("holds characters that no key has")
    return key


class PodSettings(BaseModel):
    """What the pod is told by its environment."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    projects: Annotated[tuple[str, ...], BeforeValidator(_names)] = Field(
        alias="SPEECH_PROJECTS", min_length=1
    )
    """Separated by commas, in the order in which they are set up."""
    variant: str | None = Field(None, alias="SPEECH_VARIANT")
    """``cuda`` or ``cpu``; by default the one on the volume, else the project's first."""
    volume: Annotated[Path, AfterValidator(Path.absolute)] = Field(alias="SPEECH_VOLUME")
    """By default the first of /runpod-volume, /workspace that exists."""
    mirror: str | None = Field(None, alias="SPEECH_MIRROR", pattern=r"^https?://\S+$")
    """Address of a package index in place of the default one."""
    pod_id: str | None = Field(None, alias="RUNPOD_POD_ID", pattern=r"^[A-Za-z0-9_-]+$")
    """Set by RunPod."""
    volume_id: str | None = Field(None, alias="RUNPOD_VOLUME_ID")
    """Of the network volume; set by RunPod where one is attached."""
    key: Annotated[SecretStr, AfterValidator(_key)] | None = Field(None, alias="RUNPOD_API_KEY")
    """Set by RunPod; it is for this pod alone."""
    base: str = Field(REST, alias="RUNPOD_REST_URL", pattern=SAFE_BASE)
    """RunPod's REST API."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], *, terminate: bool) -> Self:
        """Read the settings; an empty variable counts as unset.

        Parameters
        ----------
        terminate : whether the pod is to be ended: needs its id, a key, and a network volume.

        Raises
        ------
        PodError
            Variables are missing or wrong; all of them are named.
        """
        values = cls._given(environment)
        if "SPEECH_VOLUME" not in values and (mounted := [m for m in MOUNTS if m.is_dir()]):
            values["SPEECH_VOLUME"] = str(mounted[0])
        settings, mistakes = cls._read(values)
        mistakes += _folder_mistakes(values)
        if terminate:
            mistakes += _termination_mistakes(values)
            mistakes += _cache_mistakes(values, environment.get("MODELSCOPE_CACHE"))
        if settings is None or mistakes:
            raise PodError(
                f"The environment of this pod is not right, and nothing was done:{_lines(mistakes)}"
                "\nSet these variables of the pod and start it again; docs/provisioning.md has "
                "them."
            )
        return settings

    @classmethod
    def check_sent(cls, environment: Mapping[str, str]) -> None:
        """Refuse what a pod that is to end itself would refuse, before it costs money.

        What only the pod can tell is left to it: its folders, what RunPod sets, and the secrets
        that RunPod puts in the place of their names.

        Parameters
        ----------
        environment : all that the pod is sent.

        Raises
        ------
        PodError
            Variables are wrong; all of them are named.
        """
        known = {name: value for name, value in environment.items() if not SECRET.search(value)}
        values = cls._given(known)
        mistakes = cls._read(values)[1] + _cache_mistakes(values, known.get("MODELSCOPE_CACHE"))
        if mistakes:
            raise PodError(
                f"The pod would refuse its environment, and none was created:{_lines(mistakes)}\n"
                "Correct --project, --variant, --mirror or --env; docs/provisioning.md has the "
                "variables."
            )

    @classmethod
    def _given(cls, environment: Mapping[str, str]) -> dict[str, str]:
        names = {str(each.alias) for each in cls.model_fields.values()}
        return {
            name: value.strip() for name, value in environment.items()
            if name in names and value.strip()
        }  # fmt: skip

    @classmethod
    def _read(cls, values: Mapping[str, str]) -> tuple[Self | None, list[str]]:
        """The settings, and what is wrong with them that needs no look at the pod."""
        mistakes = _project_mistakes(values)
        try:
            return cls.model_validate(values), mistakes
        except ValidationError as error:
            found = error.errors(include_url=False)
            mistakes += [_mistake(str(each["loc"][0]), each["msg"], values) for each in found]
            return None, mistakes


def _project_mistakes(values: Mapping[str, str]) -> list[str]:
    """What is wrong with the projects that are named, or with the variant for one of them."""
    mistakes = []
    names = str(values.get("SPEECH_PROJECTS", "")).split(",")
    for name in filter(None, map(str.strip, names)):
        try:
            project = read_project(name, running_python())
            project.choose_variant(values.get("SPEECH_VARIANT"))
        except ProjectError as error:
            mistakes.append(f"SPEECH_PROJECTS, SPEECH_VARIANT: {error}")
            continue
        if not project.settings.samples:
            mistakes.append(f"SPEECH_PROJECTS: {name} has no `samples`; one is tried at the end.")
    return mistakes


def _folder_mistakes(values: Mapping[str, str]) -> list[str]:
    named = values.get("SPEECH_VOLUME")
    if named is None or Path(named).is_dir():
        return []
    reason = "is no folder; mount the volume there, or name the folder that it is"
    return [_mistake("SPEECH_VOLUME", reason, values)]


def _termination_mistakes(values: Mapping[str, str]) -> list[str]:
    """What is missing for the pod to be ended, with nothing lost."""
    mistakes = [
        f"{name} is not set, which --terminate needs. RunPod sets it in its pods{where}; elsewhere "
        "leave --terminate out."
        for name, where in (
            ("RUNPOD_POD_ID", ""),
            ("RUNPOD_API_KEY", ""),
            ("RUNPOD_VOLUME_ID", " that have a network volume"),
        )
        if name not in values
    ]
    if "SPEECH_VOLUME" not in values:  # which is told already
        return mistakes
    volume = Path(values["SPEECH_VOLUME"])
    # A pod that has a network volume may yet be told to fill another folder.
    if volume.is_dir() and volume.stat().st_dev == Path("/").stat().st_dev:
        mistakes.append(
            f"{volume} is on the pod's own disk and would go with it: attach a network volume and "
            "set SPEECH_VOLUME to where it is mounted, or leave --terminate out."
        )
    return mistakes


def _cache_mistakes(values: Mapping[str, str], cache: str | None) -> list[str]:
    """Whether models would go with a pod that is ended."""
    if not cache or "SPEECH_VOLUME" not in values:
        return []
    volume = Path(values["SPEECH_VOLUME"])
    # Resolved: neither ".." nor a link leads elsewhere.
    if Path(cache).resolve().is_relative_to(volume.resolve()):
        return []
    told = (
        f"MODELSCOPE_CACHE={cache!r} is not on the volume {volume}: the pod would take the models "
        "with it. Unset it, or name a folder on the volume."
    )
    return [told]


def _lines(mistakes: list[str]) -> str:
    return "".join(f"\n  {mistake}" for mistake in mistakes)


def _mistake(name: str, reason: str, values: Mapping[str, str]) -> str:
    reason = reason.removeprefix("Value error, ")
    if name == "SPEECH_VOLUME" and name not in values:
        return f"{name} is not set, and neither {MOUNTS[0]} nor {MOUNTS[1]} is there."
    if name == "SPEECH_PROJECTS":
        known = ", ".join(known_projects())
        return f"{name} names no project; give one or more of these, separated by commas: {known}."
    if name in UNREPEATED:
        return f"{name} is not allowed: {UNREPEATED[name] or reason}."
    return f"{name}={values[name]!r} is not allowed: {reason}."
