"""What the documents say is what there is: links, paths, commands, jobs, variables.

Addresses outside are only looked at, not called: tests run without a network.
"""

import json
import re
import tomllib
from urllib.parse import urlsplit

import pytest
import yaml
from jsonschema import Draft202012Validator

from tests.manual import (
    DOCUMENTS,
    ROOT,
    anchors,
    blocks,
    bodies,
    check,
    commands,
    links,
    parsed,
    quoted,
)
from volume_bootstrap.pod.settings import PodSettings
from worker import health
from worker.parsing import parse, parse_s3_config
from worker.settings import Settings

SCHEMA = Draft202012Validator(json.loads((ROOT / "docs" / "job.schema.json").read_text()))
OWN = [
    path
    for pattern in ("*", "*/*.py", "*/*/*.py", "*/*/*/*.py", "projects/*/*")
    for path in ROOT.glob(pattern)
    if path.is_file() and not {".venv", ".venv-bench", "volume"} & set(path.parts)
]
"""Files of this repository that may name a variable."""
FOLDERS = {"worker", "volume_bootstrap", "client", "projects", "scripts", "tests", "benchmarks"}
FOLDERS |= {"docs", ".ci", ".runpod", ".github"}
READERS_OWN = "projects/my-project"
"""What the reader of docs/add-a-project.md makes."""
OF_REPLIES = {"turns", "segments", "models", "timings", "results", "files", "error"}
"""Fields by which a reply is told from a job, which has an `audio` as well."""
ELSEWHERE = {"CHANGELOG.md", "comparison.md"}
"""Documents whose paths and variables are those of other releases, or of other projects."""

per_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)


def test_anchors_are_those_of_github(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# A `b_c`: [d](e), f!\n## X\n```\n# no\n```\n## X\n### Wer? Ö-1 2.0\n")
    assert anchors(page) == {"a-b_c-d-f", "x", "x-1", "wer-ö-1-20"}


@per_document
def test_links_lead_somewhere(document):
    for target in links(document):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        found = document.parent / path if path else document
        assert found.exists(), target
        if anchor:
            assert anchor in anchors(found), target


@per_document
def test_addresses_outside_are_addresses(document):
    for target in links(document):
        if "://" in target:
            parts = urlsplit(target)
            assert parts.scheme == "https", target
            assert re.fullmatch(r"([a-z0-9-]+\.)+[a-z]{2,}", parts.netloc), target


@per_document
def test_paths_that_are_quoted_exist(document):
    """Below a folder of the repository, or a module or document by its name alone."""
    if document.name in ELSEWHERE:
        return
    # What a benchmark needs from outside, make asks for.
    outside = (ROOT / "Makefile").read_text()
    for text in quoted(document):
        if not re.fullmatch(r"[\w.*/-]+", text) or text.startswith(READERS_OWN):
            continue
        if text.split("/")[0] in FOLDERS and "/" in text:
            assert list(ROOT.glob(text.rstrip("/"))), text
        elif text.endswith((".py", ".md")):
            known = [path for path in (*OWN, *DOCUMENTS) if path.match(text)]
            of_the_plan = f"`{text}` of the plan" in document.read_text()
            assert known or text in outside or of_the_plan, text


@per_document
def test_commands_can_be_given(document):
    for words in commands(document):
        check(words)


@per_document
def test_jobs_are_jobs(document):
    for body in bodies(document):
        told = parsed(body)
        if not isinstance(told, dict):
            continue
        if "input" in told:
            SCHEMA.validate(told)
            if not health.is_asked_for(told["input"]):
                parse(told["input"])
            if "s3Config" in told:
                parse_s3_config(told["s3Config"])
        elif "audio" in told and not told.keys() & OF_REPLIES:
            SCHEMA.validate({"input": told})
            parse(told)


def test_there_are_jobs_and_commands():
    told = [parsed(body) for document in DOCUMENTS for body in bodies(document)]
    assert sum("input" in each for each in told if isinstance(each, dict)) >= 4
    assert sum(words[0].endswith("python") for d in DOCUMENTS for words in commands(d)) >= 20


def test_the_test_input_is_a_job():
    call = json.loads((ROOT / "test_input.json").read_text())
    SCHEMA.validate(call)
    parse(call["input"])


@per_document
def test_variables_are_read(document):
    """Those of the worker and of a pod; of others, that something here names them."""
    if document.name in ELSEWHERE:
        return
    text = document.read_text()
    fields = [*Settings.model_fields.values(), *PodSettings.model_fields.values()]
    own = {str(field.alias) for field in fields}
    for name in set(re.findall(r"\b(?:SPEECH|BUCKET)_[A-Z0-9_]+[A-Z0-9]\b", text)):
        assert name in own, name
    rest = set(re.findall(r"\b(?:AWS|HF|MODELSCOPE|BENCH|TORCH)_[A-Z0-9_]+[A-Z0-9]\b", text))
    if rest:
        code = "\n".join(path.read_text() for path in OWN if path.suffix != ".md")
        assert not {name for name in rest if name not in code}


@per_document
def test_options_that_are_quoted_exist(document):
    if document.name in ELSEWHERE:
        return
    code = "".join(path.read_text() for path in OWN if path.suffix in {".py", ""})
    for text in quoted(document):
        option = text.split()[0].split("=")[0]
        if re.fullmatch(r"--[a-z][a-z_-]*", option):
            parameter = option[2:].replace("-", "_")  # of which typer makes an option
            assert re.search(rf"({option}(?![\w-])|\b{parameter}: )", code), option


@per_document
def test_shown_json_and_yaml_can_be_read(document):
    for body in bodies(document):
        parsed(body)
    for text in blocks(document, "yaml"):
        yaml.safe_load(text)


def test_the_changelog_has_the_version():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text()


@per_document
def test_no_placeholder_is_left(document):
    lines = document.read_text().splitlines()
    assert not [line for line in lines if re.fullmatch(r"[A-Z_]{4,}", line)]
