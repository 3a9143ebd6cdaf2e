import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import tomli_w

from tests.wheels import ROOT, environment, make_index, make_wheel, use
from volume_bootstrap.packages.dependencies import resolve
from volume_bootstrap.packages.resolution import compile_lock
from volume_bootstrap.packages.uv_tool import (
    Places,
    _pip_default_index,
    find_uv,
    pip_options,
    places_of,
    uv_environment,
)

PIP_CONF = """\
[global]
extra-index-url =
    https://a/simple
    https://b/simple
index_url = https://global/simple
find-links = /one /two
cert = /global.pem
[install]
index-url = https://install/simple
[download]
index-url = https://download/simple
"""


def pip_config(tmp_path, text: str, **variables: str) -> str:
    """What the real pip prints for a configuration file and variables."""
    (tmp_path / "pip.conf").write_text(text)
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PIP_")}
    return subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"],
        env={**kept, "PIP_CONFIG_FILE": str(tmp_path / "pip.conf"), **variables},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_files_are_read_as_pip_reads_them_for_install(tmp_path):
    options = pip_options(pip_config(tmp_path, PIP_CONF))
    assert options["index-url"] == ["https://install/simple"]
    assert options["extra-index-url"] == ["https://a/simple", "https://b/simple"]
    assert options["find-links"] == ["/one", "/two"]
    assert options["cert"] == ["/global.pem"]


def test_variables_win_over_files_unless_they_are_empty(tmp_path):
    printed = pip_config(
        tmp_path,
        PIP_CONF,
        PIP_INDEX_URL="https://variable/simple",
        PIP_EXTRA_INDEX_URL="https://c/simple\nhttps://d/simple",
        PIP_CERT="",
    )
    options = pip_options(printed)
    assert options["index-url"] == ["https://variable/simple"]
    assert options["extra-index-url"] == ["https://c/simple", "https://d/simple"]
    assert options["cert"] == ["/global.pem"]


def test_the_order_of_the_lines_does_not_matter():
    lines = [":env:.cert='/v'", "global.cert='/g'", "install.cert='/i'", "wheel.cert='/w'"]
    assert pip_options("\n".join(lines)) == {"cert": ["/v"]}
    assert pip_options("\n".join(lines[::-1])) == {"cert": ["/v"]}
    assert pip_options("\n".join(lines[1:])) == {"cert": ["/i"]}


def test_no_configuration_is_no_options(tmp_path):
    options = pip_options(pip_config(tmp_path, "", PIP_CONFIG_FILE=os.devnull))
    assert set(options) == {"config-file"}
    assert places_of(options, {}, "https://default") == Places("https://default")
    assert uv_environment(options, {}) == {"UV_INDEX_STRATEGY": "unsafe-best-match"}


PIP = {
    "index-url": ["https://i"],
    "extra-index-url": ["https://a", "https://b"],
    "find-links": ["/one", "/two"],
    "cert": ["/c.pem"],
    "trusted-host": ["one", "two"],
}


def test_each_option_has_its_place():
    places = places_of(PIP, {}, "https://default")
    assert places == Places("https://i", ("https://a", "https://b"), ("/one", "/two"))
    assert uv_environment(PIP, {}) == {
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "SSL_CERT_FILE": "/c.pem",
        "UV_INSECURE_HOST": "one two",
    }
    assert places_of({**PIP, "no-index": ["1"]}, {}, "https://default") == Places(
        links=("/one", "/two")
    )


def test_the_default_index_is_asked_first_where_there_are_others():
    places = Places("https://i", ("https://a", "named=https://b"))
    assert places.indexes() == [
        {"url": "https://i"},
        {"url": "https://a"},
        {"name": "named", "url": "https://b"},
        {"url": "https://i", "default": True},
    ]


@pytest.mark.parametrize(
    ("variable", "value", "places"),
    [
        ("UV_DEFAULT_INDEX", "https://u", {"default": "https://u"}),
        ("UV_INDEX_URL", "https://u", {"default": "https://u"}),
        ("UV_INDEX", "https://u n=https://v", {"extra": ("https://u", "n=https://v")}),
        ("UV_EXTRA_INDEX_URL", "https://u", {"extra": ("https://u",)}),
        ("UV_FIND_LINKS", "/a b,/c", {"links": ("/a b", "/c")}),
        ("UV_FIND_LINKS", "", {}),
    ],
)
def test_what_is_set_for_uv_wins(variable, value, places):
    ours = places_of(PIP, {}, None)
    assert places_of(PIP, {variable: value}, None) == replace(ours, **places)
    assert "SSL_CERT_FILE" not in uv_environment(PIP, {"SSL_CERT_FILE": "/theirs"})


def test_uv_finds_what_pip_would_find(tmp_path, monkeypatch):
    """Two extra indexes, two folders of links, and the best version of all of them."""
    for index, version in (("a", "1.0"), ("b", "2.0"), ("c", "1.5")):
        make_wheel(tmp_path / index / "shared", "shared", version)
    make_wheel(tmp_path / "c" / "only-c", "only-c", "1.0")
    make_wheel(tmp_path / "links-1", "first-link", "1.0")
    make_wheel(tmp_path / "links-2", "second-link", "1.0")
    a, b, c = (make_index(tmp_path / name) for name in "abc")
    variables = environment(
        tmp_path / "empty",
        PIP_INDEX_URL=a,
        PIP_EXTRA_INDEX_URL=f"{b} {c}",
        PIP_FIND_LINKS=f"{tmp_path / 'links-1'} {tmp_path / 'links-2'}",
    )
    use(monkeypatch, variables)
    uv = find_uv(cache=tmp_path / "cache")
    assert resolve(uv, "shared\nonly_c\nfirst-link\nsecond.link") == {
        "first-link": "1.0",
        "only-c": "1.0",
        "second-link": "1.0",
        "shared": "2.0",
    }
    assert (tmp_path / "cache").is_dir()


def test_of_a_version_that_several_have_the_default_indexs_file_is_taken(tmp_path, monkeypatch):
    for index in "ab":
        make_wheel(tmp_path / index / "shared", "shared", "1.0", code=f"index = {index!r}")
    a, b = (make_index(tmp_path / name) for name in "ab")
    use(
        monkeypatch,
        environment(tmp_path / "empty", PIP_INDEX_URL=a, PIP_EXTRA_INDEX_URL=b),
    )
    (package,) = compile_lock(find_uv(cache=tmp_path / "cache"), "shared")
    assert package["wheels"][0]["url"].startswith(a)


def test_pip_tells_where_it_looks_by_default(tmp_path, monkeypatch):
    assert _pip_default_index().startswith("https://")
    extra = make_index(tmp_path / "extra")
    variables = environment(tmp_path / "empty", PIP_EXTRA_INDEX_URL=extra)
    use(monkeypatch, {k: v for k, v in variables.items() if k != "PIP_INDEX_URL"})
    assert find_uv().places == Places(_pip_default_index(), (extra,))


def test_an_index_that_is_set_for_uv_is_the_one_in_use(tmp_path, monkeypatch):
    make_wheel(tmp_path / "pip" / "shared", "shared", "2.0")
    make_wheel(tmp_path / "uv" / "shared", "shared", "1.0")
    pip, uv = make_index(tmp_path / "pip"), make_index(tmp_path / "uv")
    use(monkeypatch, environment(tmp_path / "empty", PIP_INDEX_URL=pip, UV_INDEX_URL=uv))
    assert resolve(find_uv(cache=tmp_path / "cache"), "shared") == {"shared": "1.0"}


def test_an_interpreter_without_pip_asks_the_one_on_path(tmp_path):
    """As in an environment that uv made."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    (site,) = (tmp_path / "bare" / "lib").glob("python*/site-packages")
    (site / "tomli_w").symlink_to(Path(tomli_w.__file__).parent)
    program = (
        "from volume_bootstrap.packages.uv_tool import _ask_pip; print(_ask_pip('config', 'list'))"
    )

    def ask(path: str) -> str:
        return subprocess.run(
            [tmp_path / "bare" / "bin" / "python", "-c", program],
            cwd=ROOT,
            env={"PATH": path, "PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": "https://i"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    assert ":env:.index-url='https://i'" in ask(str(Path(sys.executable).parent))
    assert ask(str(tmp_path)) == "\n"
