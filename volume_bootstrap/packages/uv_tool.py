"""uv, told where packages come from as pip is: it reads neither pip.conf nor PIP_*."""

import ast
import importlib.util
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tomli_w

from volume_bootstrap.errors import ToolError
from volume_bootstrap.runner import run

CACHE_CONTROL = {"api": "max-age=600", "files": "max-age=365000000, immutable"}
"""As the public index says of its answers; mirrors often say nothing, and each page and each file's
metadata would be asked for again in every run."""
DEFAULT_INDEX = re.compile(r"Base URL of the Python Package Index \(default (?P<url>[^\s)]+)\)")
NAMED = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)=(?P<url>.*)$")
OWN_VARIABLES = (
    "UV_DEFAULT_INDEX",
    "UV_INDEX_URL",
    "UV_INDEX",
    "UV_EXTRA_INDEX_URL",
    "UV_FIND_LINKS",
    # Each call brings its settings as those of a project.
    "UV_NO_CONFIG",
)
"""What uv is told in another way here."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where packages come from: the default index, further ones, and pages or folders of links."""

    default: str | None = None
    extra: tuple[str, ...] = ()
    links: tuple[str, ...] = ()

    def indexes(self) -> list[dict[str, Any]]:
        """Return the indexes as uv's settings have them, in the order in which it asks."""
        # Of a version that several indexes have, uv takes the files of the first. It asks the
        # default one last, so that stands first as well: its files are the ones that are whole.
        first = [self.default] if self.default and self.extra else []
        tables = [_index(address) for address in [*first, *self.extra]]
        if self.default:
            tables.append({**_index(self.default), "default": True})
        return tables


@dataclass(frozen=True, slots=True)
class Wheels:
    """Wheels in a folder: their file names by the package, and the SHA-256 of each."""

    folder: Path
    names: Mapping[str, Mapping[str, str]]

    def local(self, package: Mapping[str, Any]) -> dict[str, Any]:
        """Return a lock's entry with files of the folder in place of addresses."""
        wheels = [
            {"path": str(self.folder / name), "hashes": {"sha256": digest}}
            for name, digest in self.names[package["name"]].items()
        ]
        # An entry names one place: what has an archive may have no wheels.
        elsewhere = {"wheels", "sdist", "archive"}
        return {**{k: v for k, v in package.items() if k not in elsewhere}, "wheels": wheels}


def _index(address: str) -> dict[str, Any]:
    named = NAMED.match(address)
    return named.groupdict() if named else {"url": address}


@dataclass(frozen=True, slots=True)
class Uv:
    """The program, where it looks, and what is changed in the environment it runs in.

    `asks_again` is whether indexes are asked although what they said counts as fresh. `target` are
    the options that say for which Python and platform it resolves, where not for this one.
    `wheels` is a folder, of a bundle, that the files of a lock are in: none is asked for elsewhere.
    """

    program: str
    places: Places
    environment: Mapping[str, str | None]
    asks_again: bool = False
    target: tuple[str, ...] = ()
    wheels: Wheels | None = None

    def __call__(
        self, *arguments: str, text: str = "", settings: Mapping[str, Any] | None = None
    ) -> str:
        """Run ``uv pip`` for this interpreter and return what it prints.

        Parameters
        ----------
        text : its standard input.
        settings : what ``[tool.uv]`` has beside the indexes; an `index` stands before those.

        Raises
        ------
        ToolError
            uv fails.
        """
        command, *rest = arguments
        tables = {**(settings or {})}
        # With a word of ours on how long answers are fresh, uv would heed no --refresh.
        control = {} if self.asks_again else {"cache-control": CACHE_CONTROL}
        indexes = [{**index, **control} for index in self.places.indexes()]
        tables["index"] = [*tables.get("index", ()), *indexes]
        tables["no-index"] = self.places == Places(links=self.places.links)
        with tempfile.TemporaryDirectory(prefix="speech-uv-") as folder:
            project = Path(folder, "pyproject.toml")
            project.write_text(tomli_w.dumps({"tool": {"uv": tables}}), encoding="utf-8")
            return run(
                [self.program, "pip", command, "--project", folder, "--python", sys.executable,
                 *rest, *(self.target if command == "compile" else ()),
                 *(["--refresh"] if self.asks_again else [])],
                {
                    **dict.fromkeys(OWN_VARIABLES),
                    "UV_FIND_LINKS": ",".join(self.places.links) or None,
                    **self.environment,
                },
                text=text,
                shows_progress=command == "install",
            )  # fmt: skip

    def prune_cache(self) -> None:
        """Drop what uv's cache holds of no further use.

        Raises
        ------
        ToolError
            uv fails.
        """
        run([self.program, "cache", "prune"], self.environment)

    def forget(self, packages: Sequence[str]) -> None:
        """Drop packages from uv's cache.

        Raises
        ------
        ToolError
            uv fails.
        """
        run([self.program, "cache", "clean", *packages], self.environment)

    def with_cache(self, folder: Path) -> "Uv":
        """Keep the cache in another folder."""
        return replace(self, environment={**self.environment, "UV_CACHE_DIR": str(folder)})

    def with_places(self, places: Places) -> "Uv":
        """Look for packages elsewhere: a default index in place of all else, the rest besides."""
        if places.default is None:
            mine = self.places
            places = Places(
                mine.default, (*mine.extra, *places.extra), (*mine.links, *places.links)
            )
        return replace(self, places=places)


def find_uv(cache: Path | None = None, mirror: str | None = None) -> Uv:
    """Find uv and hand it pip's configuration.

    Parameters
    ----------
    cache : folder of uv's cache; by default the user's own.
    mirror : address of an index, in place of the default one.

    Raises
    ------
    ToolError
        uv is not installed.
    """
    program = find_program()
    with ThreadPoolExecutor() as pool:
        config = pool.submit(_ask_pip, "config", "list")
        default = pool.submit(_pip_default_index)
        pip = pip_options(config.result())
    places = places_of(pip, os.environ, default.result())
    if mirror is not None:
        places = replace(places, default=mirror)
    found_uv = Uv(program, places, uv_environment(pip, os.environ))
    return found_uv if cache is None else found_uv.with_cache(cache)


def find_program() -> str:
    """Find the program itself.

    Raises
    ------
    ToolError
        uv is not installed.
    """
    try:
        import uv

        return uv.find_uv_bin()
    except (ImportError, FileNotFoundError):
        found = shutil.which("uv")
        if found is None:
            raise ToolError(
                f"uv is not installed for {sys.executable} and not on PATH. Install it with: "
                "pip install -r requirements-provision.txt"
            ) from None
        return found


def offline_uv(cache: Path, wheels: Wheels) -> Uv:
    """uv that asks nobody: what it installs comes from a folder.

    Raises
    ------
    ToolError
        uv is not installed.
    """
    found = Uv(find_program(), Places(), {"UV_OFFLINE": "1"}, wheels=wheels)
    return found.with_cache(cache)


def is_offline() -> bool:
    """Whether uv is told to ask nobody."""
    return os.environ.get("UV_OFFLINE", "").lower() in {"1", "true", "t", "yes", "y", "on"}


def pip_options(config: str) -> dict[str, list[str]]:
    """Options of ``pip config list``: each a list of values; variables win over files.

    Parameters
    ----------
    config : lines such as ``global.extra-index-url='https://a https://b'``.
    """
    ranks = {"global": 0, "install": 1, ":env:": 2}
    chosen: dict[str, tuple[int, list[str]]] = {}
    for line in config.splitlines():
        key, _, value = line.partition("=")
        section, _, option = key.rpartition(".")
        rank = ranks.get(section, -1)
        values = str(ast.literal_eval(value)).split()
        # pip ignores an option that is set to nothing.
        if values and rank >= chosen.get(option, (0, []))[0]:
            chosen[option] = rank, values
    return {option: values for option, (_, values) in chosen.items()}


def places_of(
    pip: Mapping[str, Sequence[str]], environment: Mapping[str, str], default: str | None
) -> Places:
    """Where pip looks; what is set for uv already wins.

    Parameters
    ----------
    default : the index that pip asks when nothing is configured.
    """

    def chosen(option: str, *variables: str, separator: str | None = None) -> tuple[str, ...]:
        for variable in variables:
            if value := environment.get(variable):
                return tuple(each for each in value.split(separator) if each)
        return tuple(pip.get(option, ()))

    if pip.get("no-index", ["false"])[0].lower() in {"1", "true", "yes", "on"}:
        return Places(links=chosen("find-links", "UV_FIND_LINKS", separator=","))
    index = chosen("index-url", "UV_DEFAULT_INDEX", "UV_INDEX_URL")
    return Places(
        index[0] if index else default,
        chosen("extra-index-url", "UV_INDEX", "UV_EXTRA_INDEX_URL"),
        chosen("find-links", "UV_FIND_LINKS", separator=","),
    )


def uv_environment(
    pip: Mapping[str, Sequence[str]], environment: Mapping[str, str]
) -> dict[str, str]:
    """Variables that make uv choose and connect as pip does; what is set for uv already stays."""
    wanted = {
        # pip takes the best version of all indexes; uv by default that of the first that has any.
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "SSL_CERT_FILE": "".join(pip.get("cert", ())[:1]),
        "UV_INSECURE_HOST": " ".join(pip.get("trusted-host", ())),
    }
    return {name: value for name, value in wanted.items() if value and not environment.get(name)}


def _pip_default_index() -> str | None:
    """Where pip looks when nothing is configured; its help is the one place that tells."""
    match = DEFAULT_INDEX.search(" ".join(_ask_pip("help", "install").split()))
    return match["url"] if match else None


def _ask_pip(*arguments: str) -> str:
    """Ask this interpreter's pip, or where it has none, that on PATH."""
    wide = {"COLUMNS": "1000"}
    if importlib.util.find_spec("pip") is not None:
        return run([sys.executable, "-m", "pip", *arguments], wide)
    if pip := shutil.which("pip"):
        return run([pip, *arguments], wide)
    return ""
