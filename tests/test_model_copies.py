"""``models import``, ``export`` and ``push`` as users run them."""

import json
import shutil
from pathlib import Path

import pytest

from tests import s3_server
from tests.wheels import Checkout, make_checkout

MODEL = {
    "alias": "words",
    "id": "org/words",
    "task": "asr",
    "engine": "funasr",
    "licence": "MIT",
    "files": [{"path": "words.txt"}],
    "sources": [{"kind": "bundled", "path": "words"}],
}
KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "very-secret"}


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """Two projects have a model of the same alias; on the volume is none."""
    made = make_checkout(tmp_path / "checkout")
    (made.root / "words").mkdir()
    (made.root / "words" / "words.txt").write_text("one two")
    made.describe(["greeting==1.0"], ["greeting"], [MODEL])
    projects = made.root / "projects"
    shutil.copytree(projects / "tiny", projects / "other")
    return made


def run(checkout: Checkout, *words: str, volume: str = "volume", **variables: str):
    place = ("--volume", str(checkout.root / volume))
    done = checkout.run("models", *words, *place, **variables)
    assert "very-secret" not in done.stdout + done.stderr
    return done


def bring(checkout: Checkout, *words: str, **options: str):
    return run(checkout, "import", "words", "--as", "words", *words, **options)


@pytest.fixture
def imported(checkout: Checkout) -> Checkout:
    done = bring(checkout, "-p", "tiny")
    assert done.returncode == 0, done.stderr
    return checkout


def test_an_alias_of_several_projects_needs_one(checkout):
    done = bring(checkout)
    assert done.returncode == 1
    assert done.stderr == (
        "error: Several projects have words: other, tiny. Name one with --project.\n"
    )
    assert not checkout.volume.exists()
    assert bring(checkout, "-p", "tiny").stdout == (
        "tiny: words is ready\n  model     words  org/words  7 B\n"
    )
    # What the volume has been filled for is meant.
    assert bring(checkout).stdout.startswith("tiny: words is up to date\n")
    assert json.loads(bring(checkout, "--json").stdout)["model"]["alias"] == "words"


def test_what_the_defaults_name_besides_is_told(checkout):
    other = {**MODEL, "alias": "other", "id": "org/other"}
    checkout.describe(["greeting==1.0"], ["greeting"], [MODEL, other])
    path = checkout.root / "projects" / "tiny" / "project.yaml"
    defaults = {"asr": {"models": {"asr": "words", "vad": "other"}}}
    path.write_text(json.dumps({"python": ["3.11"], "defaults": defaults}))
    done = bring(checkout, "-p", "tiny")
    assert done.stdout.endswith("  workers start when these are there, too: other\n"), done.stderr
    assert json.loads(bring(checkout, "-p", "tiny", "--json").stdout)["lacking"] == ["other"]


def test_an_alias_of_no_project_is_said(checkout):
    done = run(checkout, "import", "words", "--as", "nothing", "-p", "tiny")
    assert done.stderr == "error: No models.yaml of tiny has 'nothing'; there are: words.\n"
    done = run(checkout, "import", "nowhere", "--as", "words", "-p", "tiny")
    assert f"error: {checkout.root / 'nowhere'} is no folder" in done.stderr


def test_what_is_exported_is_imported_elsewhere(imported):
    done = run(imported, "export", "words", "--to", "out")
    assert (done.returncode, done.stdout) == (0, "out/words: exported\n")
    assert run(imported, "export", "words", "--to", "out/").stdout == (
        "out/words: it is there already\n"
    )
    for place in ("", "S3://bucket", "https://bucket"):
        done = run(imported, "export", "words", "--to", place)
        assert done.stderr == f"error: --to is {place!r}; give a folder, or s3://BUCKET/PREFIX.\n"
    done = run(imported, "import", "out/words", "--as", "words", "-p", "other", volume="second")
    assert done.stdout.startswith("other: words is ready\n")
    names = imported.root / "second" / "models" / "hub" / "org" / "words"
    assert (names / "words.txt").read_text() == "one two"


@pytest.mark.parametrize("command", ["export", "push"])
def test_a_model_that_is_not_there_is_said(imported, command):
    done = run(imported, command, "words", "other", "--to", "s3://bucket", **KEYS)
    assert done.returncode == 1
    assert done.stderr.endswith("tells of words, other; it has: tiny: words.\n")
    done = run(imported, command, "words", "--to", "s3://bucket", "-p", "other", **KEYS)
    assert "holds no project 'other'" in done.stderr
    assert bring(imported, "-p", "other").returncode == 0
    done = run(imported, command, "words", "--to", "s3://bucket", **KEYS)
    assert "Several projects have words: other, tiny. Name one with --project." in done.stderr


def test_a_push_says_what_is_left_to_be_done(imported):
    with s3_server.moto() as url:
        place = ("--to", "s3://bucket/a", "--endpoint-url", url.replace("//", "//u:very-secret@"))
        done = run(imported, "push", "words", *place, **KEYS)
        again = run(imported, "push", "words", *place, "--json", **KEYS)
        assert run(imported, "export", "words", *place, **KEYS).returncode == 0
        done_already = run(imported, "export", "words", *place, "--json", **KEYS)
        refused = run(imported, "push", "words", "--to", "s3://nobody", "--endpoint-url", url)
    assert done.returncode == 0, done.stderr
    first, *lines = done.stdout.splitlines()
    assert first == (
        f"tiny on s3://bucket/a/ at {url}: 1 file, 7 B sent; its manifest names them now"
    )
    assert (
        lines[1] == "  packages were not pushed: a pod with the volume installs them with `setup`"
    )
    assert lines[-1].endswith(
        "On a pod: python -m volume_bootstrap models download --project tiny --volume /workspace"
    )
    told = json.loads(again.stdout)
    assert (told["num_sent"], told["switched"], told["lacking"]) == (0, False, [])
    assert json.loads(done_already.stdout)[0]["changed"] is False
    assert refused.returncode == 1


def test_a_push_needs_a_volume(checkout):
    done = run(checkout, "push", "words", "--to", "s3://bucket", **KEYS)
    assert done.returncode == 1
    assert "does not exist; name a volume that was set up." in done.stderr
    assert not checkout.volume.exists()
