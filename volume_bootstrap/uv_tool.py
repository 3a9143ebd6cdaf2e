"""uv, told where packages come from as pip is: it reads neither pip.conf nor PIP_*."""

import ast
import importlib.util
import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from volume_bootstrap.errors import ToolError
from volume_bootstrap.runner import run

OLDER_NAMES = {"UV_DEFAULT_INDEX": "UV_INDEX_URL", "UV_INDEX": "UV_EXTRA_INDEX_URL"}
"""What uv also reads, but only where the newer variable is not set."""
DEFAULT_INDEX = re.compile(r"Base URL of the Python Package Index \(default (?P<url>[^\s)]+)\)")


@dataclass(frozen=True, slots=True)
class Uv:
    """The program, and what is changed in the environment it runs in."""

    program: str
    environment: Mapping[str, str | None]

    def __call__(self, *arguments: str, text: str = "") -> str:
        """Run ``uv pip`` for this interpreter and return what it prints.

        Raises
        ------
        ToolError
            uv fails.
        """
        command, *rest = arguments
        return run(
            [self.program, "pip", command, "--python", sys.executable, *rest],
            self.environment,
            text=text,
            shows_progress=command == "install",
        )

    def prune_cache(self) -> None:
        """Drop what uv's cache holds of no further use.

        Raises
        ------
        ToolError
            uv fails.
        """
        run([self.program, "cache", "prune"], self.environment)

    def with_cache(self, folder: Path) -> "Uv":
        """Keep the cache in another folder."""
        return replace(self, environment={**self.environment, "UV_CACHE_DIR": str(folder)})

    def with_places(
        self, index_url: str | None, extra_index_urls: Sequence[str], find_links: Sequence[str]
    ) -> "Uv":
        """Look for packages elsewhere.

        Parameters
        ----------
        index_url : in place of everywhere that pip is configured to look.
        extra_index_urls, find_links : besides.
        """
        now = {**os.environ, **self.environment}
        places = dict.fromkeys(("UV_DEFAULT_INDEX", "UV_INDEX", "UV_FIND_LINKS"), "")
        if index_url is None:
            for name in places:
                places[name] = now.get(name) or now.get(OLDER_NAMES.get(name, "")) or ""
        else:
            places["UV_DEFAULT_INDEX"] = index_url
        places["UV_INDEX"] = " ".join([*places["UV_INDEX"].split(), *extra_index_urls])
        links = [link for link in places["UV_FIND_LINKS"].split(",") if link]
        places["UV_FIND_LINKS"] = ",".join([*links, *find_links])
        return replace(
            self,
            environment={
                **self.environment,
                **dict.fromkeys(OLDER_NAMES.values()),
                **{name: value or None for name, value in places.items()},
                "UV_INDEX_STRATEGY": "unsafe-best-match",
            },
        )


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
    try:
        import uv

        program = uv.find_uv_bin()
    except (ImportError, FileNotFoundError):
        found = shutil.which("uv")
        if found is None:
            raise ToolError(
                f"uv is not installed for {sys.executable} and not on PATH. Install it with: "
                "pip install -r requirements-provision.txt"
            ) from None
        program = found
    options = pip_options(_pip_config())
    if mirror is not None:
        options["index-url"] = [mirror]
    elif "extra-index-url" in options:
        options.setdefault("index-url", _pip_default_index())
    environment: dict[str, str | None] = dict(uv_environment(options, os.environ))
    # Each call may bring settings of its own as a project's (resolution.write_uv_settings).
    environment["UV_NO_CONFIG"] = None
    if mirror is not None:
        environment |= {"UV_DEFAULT_INDEX": mirror, "UV_INDEX_URL": None}
    found_uv = Uv(program, environment)
    return found_uv if cache is None else found_uv.with_cache(cache)


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


def uv_environment(
    pip: Mapping[str, Sequence[str]], environment: Mapping[str, str]
) -> dict[str, str]:
    """Variables that make uv look where pip looks; what is set for uv already stays."""
    wanted: dict[str, str] = {}
    if index := pip.get("index-url"):
        wanted["UV_DEFAULT_INDEX"] = index[0]
    if extra := pip.get("extra-index-url"):
        # pip takes the best version of all indexes; uv by default that of the first that has any.
        wanted["UV_INDEX_STRATEGY"] = "unsafe-best-match"
        # And of a version that several have, uv takes the files of the first: the default index,
        # which it asks last, stands there as well, as its files are the ones that are whole.
        wanted["UV_INDEX"] = " ".join([*pip.get("index-url", ())[:1], *extra])
    if links := pip.get("find-links"):
        wanted["UV_FIND_LINKS"] = ",".join(links)  # the one list of uv's that has commas
    if certificate := pip.get("cert"):
        wanted["SSL_CERT_FILE"] = certificate[0]
    if hosts := pip.get("trusted-host"):
        wanted["UV_INSECURE_HOST"] = " ".join(hosts)
    return {
        name: value
        for name, value in wanted.items()
        if not environment.get(name) and not environment.get(OLDER_NAMES.get(name, ""))
    }


def _pip_config() -> str:
    """What pip is configured with."""
    return _ask_pip("config", "list")


def _pip_default_index() -> list[str]:
    """Where pip looks when nothing is configured; its help is the one place that tells."""
    match = DEFAULT_INDEX.search(" ".join(_ask_pip("help", "install").split()))
    return [match["url"]] if match else []


def _ask_pip(*arguments: str) -> str:
    """Ask this interpreter's pip, or where it has none, that on PATH."""
    wide = {"COLUMNS": "1000"}
    if importlib.util.find_spec("pip") is not None:
        return run([sys.executable, "-m", "pip", *arguments], wide)
    if pip := shutil.which("pip"):
        return run([pip, *arguments], wide)
    return ""
