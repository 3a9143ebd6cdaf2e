"""The commands beside ``setup``, as users run them, on a project of tiny wheels and one model."""

import json
import os
import pty
import subprocess
from pathlib import Path

import pytest

from tests.wheels import Checkout, make_checkout, make_wheel, snapshot

MODEL = {
    "alias": "words",
    "id": "org/words",
    "task": "asr",
    "engine": "funasr",
    "licence": "MIT",
    "files": [{"path": "words.txt"}],
    "sources": [{"kind": "bundled", "path": "words"}],
}


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    made = make_checkout(tmp_path / "checkout")
    (made.root / "words").mkdir()
    (made.root / "words" / "words.txt").write_text("one two")
    made.describe(["greeting==1.0"], ["greeting"], [MODEL])
    return made


@pytest.fixture
def filled(checkout: Checkout) -> Checkout:
    """Its volume has 1.0 and, active, 2.0."""
    assert checkout.setup().returncode == 0
    make_wheel(checkout.wheels, "greeting", "2.0")
    checkout.describe(["greeting==2.0"], ["greeting"], [MODEL])
    done = checkout.setup()
    assert done.returncode == 0, done.stderr
    return checkout


def run(checkout: Checkout, *words: str) -> str:
    """Standard output of a command that ends well and has nothing to complain of."""
    done = checkout.run(*words, "--volume", str(checkout.volume))
    assert (done.returncode, done.stderr) == (0, ""), (done.stdout, done.stderr)
    return done.stdout


def as_json(checkout: Checkout, *words: str) -> object:
    return json.loads(run(checkout, *words, "--json"))


def greeting(checkout: Checkout) -> str:
    return (checkout.pointer / "greeting" / "__init__.py").read_text().splitlines()[0]


def test_a_plan_is_a_table_of_changes(checkout):
    make_wheel(checkout.wheels, "farewell", "1.0")
    checkout.describe(["greeting==1.0", "farewell"], ["greeting"])
    checkout.setup()
    make_wheel(checkout.wheels, "greeting", "2.0")
    make_wheel(checkout.wheels, "late", "3.0")
    checkout.describe(["greeting==2.0", "late"], ["greeting"])
    before = snapshot(checkout.volume / "python-deps")
    done = checkout.run("deps", "plan", "-p", "tiny", "--volume", str(checkout.volume), "-q")
    assert done.stdout == (
        f"tiny on {checkout.volume}: 1 to add, 1 to change, 1 to remove\n"
        " - farewell 1.0\n ~ greeting 1.0 -> 2.0\n + late 3.0\n"
    )
    (plan,) = json.loads(
        checkout.run(
            "deps", "plan", "-p", "tiny", "--volume", str(checkout.volume), "--json"
        ).stdout
    )
    assert plan["changes"][1] == {
        "sign": "~", "name": "greeting", "before": "1.0", "after": "2.0",
    }  # fmt: skip
    assert snapshot(checkout.volume / "python-deps") == before


def test_packages_and_models_apart(checkout):
    volume = ("--volume", str(checkout.volume))
    early = checkout.run("models", "download", "-p", "tiny", *volume)
    assert early.returncode == 1
    assert "error: Project tiny has no packages" in early.stderr
    assert f"deps install --project tiny --volume {checkout.volume}" in early.stderr

    installed = checkout.run("deps", "install", "-p", "tiny", *volume)
    assert installed.returncode == 0, installed.stderr
    assert installed.stdout.endswith("is active now\n")
    assert not (checkout.volume / ".metadata" / "tiny-py3.11.json").exists()

    downloaded = checkout.run("models", "download", "-p", "tiny", *volume)
    assert downloaded.returncode == 0, downloaded.stderr
    assert downloaded.stdout.startswith("tiny: models are ready\n")
    assert run(checkout, "deps", "install", "-p", "tiny").endswith("is up to date\n")
    assert run(checkout, "models", "download", "-p", "tiny").startswith(
        "tiny: models are up to date\n"
    )
    link = checkout.volume / "models" / "hub" / "org" / "words"
    assert (link / "words.txt").read_text() == "one two"


@pytest.mark.parametrize("words", [("setup",), ("deps", "install"), ("models", "download")])
def test_a_dry_run_changes_nothing(checkout, words):
    done = checkout.run(*words, "-p", "tiny", "--dry-run", "--volume", str(checkout.volume))
    assert done.returncode == 0, done.stderr
    assert not checkout.volume.exists()
    shown = checkout.run(
        *words, "-p", "tiny", "--dry-run", "--json", "--volume", str(checkout.volume)
    )
    assert json.loads(shown.stdout)


def test_generations_are_listed_with_a_star(filled):
    lines = run(filled, "deps", "list").splitlines()
    assert len(lines) == 3
    assert lines[1].startswith("*  tiny")
    listed = as_json(filled, "deps", "list")
    assert [(g["active"], g["packages"]["greeting"]) for g in listed] == [
        (True, "2.0"),
        (False, "1.0"),
    ]


def test_a_rollback_and_back(filled):
    newest = filled.pointer.resolve().name
    assert run(filled, "deps", "rollback", "-p", "tiny", "-q").endswith("is active now\n")
    assert greeting(filled) == "version = '1.0'"
    run(filled, "deps", "rollback", "-p", "tiny", "--to", newest, "-q")
    assert greeting(filled) == "version = '2.0'"
    done = filled.run(
        "deps", "rollback", "-p", "tiny", "--to", "x-9", "--volume", str(filled.volume)
    )
    assert done.returncode == 1
    assert f"no generation x-9 on {filled.volume}; it has: {newest}, " in done.stderr


def replace(path: Path, text: str) -> None:
    """Damage a file without writing into uv's cache, which it is a link to."""
    path.unlink()
    path.write_text(text)


@pytest.mark.parametrize("words", [("verify",), ("deps", "check"), ("verify", "--quick")])
def test_a_damaged_package_is_named(filled, words):
    assert run(filled, *words) == "everything is as it was provisioned\n"
    path = filled.pointer.resolve() / "greeting" / "__init__.py"
    replace(path, "version = 'other'\n")
    done = filled.run(*words, "--volume", str(filled.volume))
    assert done.returncode == 1
    assert str(path) in done.stdout
    assert "error: Damaged files: 1. Mend models with `setup`" in done.stderr


def test_only_a_hash_tells_a_change_of_the_same_size(filled):
    path = filled.pointer.resolve() / "greeting" / "__init__.py"
    replace(path, path.read_text().replace("2.0", "2.1"))
    assert run(filled, "verify", "--quick") == "everything is as it was provisioned\n"
    done = filled.run("verify", "--json", "--volume", str(filled.volume))
    assert done.returncode == 1
    (damage,) = json.loads(done.stdout)
    assert damage["path"] == str(path)
    assert "SHA-256" in damage["problem"]


def test_a_damaged_model_is_named_and_mended(filled):
    path = (filled.volume / "models" / "hub" / "org" / "words" / "words.txt").resolve()
    path.write_text("one too")
    for words in (("models", "verify"), ("models", "verify", "--quick"), ("verify",)):
        done = filled.run(*words, "--volume", str(filled.volume))
        assert done.returncode == 1
        assert done.stdout.splitlines()[1].startswith(f"words  {path}  ")
    assert filled.setup().returncode == 0
    run(filled, "verify")
    assert (filled.volume / "models/hub/org/words/words.txt").read_text() == "one two"


def test_a_missing_file_is_named(filled):
    path = filled.pointer.resolve() / "greeting" / "__init__.py"
    path.unlink()
    done = filled.run("verify", "--quick", "--volume", str(filled.volume))
    assert f"{path}  No such file or directory" in done.stdout


def test_models_are_listed_and_planned(filled):
    lines = run(filled, "models", "list").splitlines()
    assert lines[1].split() == [
        "tiny",
        "words",
        "org/words",
        "asr",
        "7",
        "B",
        *lines[1].split()[6:],
    ]
    (plan,) = as_json(filled, "models", "plan", "-p", "tiny")
    assert plan["models"][0]["action"] == "keep"
    replace(filled.volume / "models/hub/org/words/words.txt", "x")
    (plan,) = as_json(filled, "models", "plan", "-p", "tiny", "-q")
    assert plan["models"][0]["action"] != "keep"


def test_the_status(filled):
    text = run(filled, "status")
    assert text.startswith(f"{filled.volume}: ")
    assert "  writer    none\n" in text
    found = as_json(filled, "status")
    (project,) = found["projects"]
    assert project["active"]["packages"] == {"greeting": "2.0"}
    assert len(project["generations"]) == 2
    assert project["manifest"]["models"][0]["alias"] == "words"


def test_an_empty_volume_has_a_status(checkout):
    checkout.volume.mkdir()
    assert as_json(checkout, "status")["projects"] == []
    assert run(checkout, "verify") == "everything is as it was provisioned\n"


def test_clean_removes_what_nothing_needs(filled):
    generations = filled.pointer.parent / ".generations"
    (generations / "0123456789ab-9.abc.partial").mkdir()
    replaced = (filled.volume / "models/hub/org/words").resolve()
    (filled.root / "words" / "words.txt").write_text("three")
    filled.run("models", "download", "-p", "tiny", "--force", "--volume", str(filled.volume))
    assert (filled.volume / "models/hub/org/words/words.txt").read_text() == "three"
    before = snapshot(filled.volume / "models")
    planned = as_json(filled, "clean", "--keep", "1", "--dry-run")
    assert snapshot(filled.volume / "models") == before
    done = filled.run("clean", "--keep", "1", "--json", "--volume", str(filled.volume))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == planned
    assert {Path(each["path"]).name.partition(".")[2] for each in planned} >= {"abc.partial"}
    assert len(planned) == 3
    assert not replaced.exists()
    assert list(generations.iterdir()) == [filled.pointer.resolve()]
    run(filled, "verify")


def test_models_that_may_serve_other_volumes_stay(filled, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    cache = str(filled.volume / "models")
    done = filled.run("clean", "--volume", str(other), MODELSCOPE_CACHE=cache)
    assert (done.returncode, done.stdout) == (0, "0 removed, 0 B\n")
    assert f"models stay: {cache} may serve other volumes" in done.stderr
    run(filled, "verify")


def test_json_holds_paths_as_they_are(checkout, tmp_path):
    volume = tmp_path / "vol:key:[bold]"
    volume.mkdir()
    done = checkout.run("status", "--json", "--volume", str(volume))
    assert json.loads(done.stdout)["root"] == str(volume)


def test_every_variant_is_looked_at_before_anything_is_done(checkout):
    folder = checkout.root / "projects" / "two"
    folder.mkdir()
    for name in ("project", "dependencies", "models"):
        text = (checkout.root / "projects" / "tiny" / f"{name}.yaml").read_text()
        (folder / f"{name}.yaml").write_text(
            f"variants: [cpu]\n{text}" if name == "dependencies" else text
        )
    done = checkout.run(
        "setup", "-p", "two", "-p", "tiny", "--variant", "cpu", "--volume", str(checkout.volume)
    )
    assert done.returncode == 1
    assert "Project tiny has no variant 'cpu'" in done.stderr
    assert not checkout.volume.exists()


def test_what_is_not_there_is_not_cleaned(checkout):
    done = checkout.run("clean", "--volume", str(checkout.root / "typo"))
    assert done.returncode == 1
    assert "typo does not exist" in done.stderr
    assert not (checkout.root / "typo").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("status", "--volume", ""), "--volume is empty"),
        (("verify", "-p", "gone"), "holds no project 'gone' for Python"),
        (("setup", "-p", "tiny", "--variant", "cuda"), "Project tiny has no variant 'cuda'"),
        (("clean", "--keep", "0"), "Input should be greater than or equal to 1"),
        (("deps",), "Missing command"),
    ],
)
def test_a_mistake_is_a_sentence(filled, words, message):
    volume = () if "--volume" in words or len(words) == 1 else ("--volume", str(filled.volume))
    done = filled.run(*words, *volume)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_volume_that_is_not_there_is_named(checkout):
    done = checkout.run("status", "--volume", str(checkout.root / "nowhere"))
    assert done.returncode == 1
    assert f"error: {checkout.root / 'nowhere'}: No such file or directory" in done.stderr


def test_verbose_tells_stages_and_long_lines_are_whole_without_a_terminal(checkout):
    done = checkout.setup("--volume", str(checkout.volume), "--verbose")
    stages = [line[7:] for line in done.stderr.splitlines() if line.startswith("stage: ")]
    assert list(dict.fromkeys(stages)) == [
        "resolve", "install", "compile", "import-check", "record",
        "verify", "list", "fetch", "switch-models", "switch-deps", "manifest", "publish", "prune",
    ]  # fmt: skip
    assert max(map(len, done.stderr.splitlines())) > 120


def on_a_terminal(checkout: Checkout, **variables: str) -> str:
    """What ``setup`` says where stderr is a terminal."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        checkout.command(),
        cwd=checkout.root,
        env=checkout.environment(TERM="xterm-256color", **variables),
        stdout=subprocess.DEVNULL,
        stderr=slave,
    )
    os.close(slave)
    said = b""
    while True:
        try:
            said += os.read(master, 4096)
        except OSError:  # the other end is closed
            break
    os.close(master)
    assert process.wait(60) == 0, said
    return said.decode()


def test_colours_are_for_terminals_that_want_them(checkout):
    assert "\x1b[" in on_a_terminal(checkout)
    make_wheel(checkout.wheels, "greeting", "2.0")
    checkout.describe(["greeting==2.0"], ["greeting"], [MODEL])
    plain = on_a_terminal(checkout, NO_COLOR="1")
    assert not any(f"\x1b[{colour}" in plain for colour in ("3", "1;3", "9"))
