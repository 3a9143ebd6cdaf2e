"""A volume filled from a bundle: without a network, killed, twice at once, while workers run."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.bundles import Tiny, applied, changed, tiny
from tests.faults import namespaces
from tests.wheels import ROOT, Checkout, make_checkout, make_wheel, snapshot
from volume_bootstrap import maintenance
from volume_bootstrap.bundle.archive import extraction_folder
from volume_bootstrap.errors import BundleError, DependencyError
from volume_bootstrap.layout import Volume, manifest_of
from volume_bootstrap.packages import generations
from volume_bootstrap.packages.dependencies import plan
from volume_bootstrap.setup import set_up
from worker.activation import activate
from worker.heartbeat import start as beat

ALONE = ("unshare", "--user", "--map-root-user", "--net")
"""What follows has no network, not even loopback."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tiny]:
    with tiny(tmp_path_factory.mktemp("made")) as found:
        found.set_up()
        yield found


@pytest.fixture(scope="module")
def first(made: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of greeting 1.0."""
    found = tmp_path_factory.mktemp("first") / "tiny.tar"
    made.bundle(found)
    return found


@pytest.fixture(scope="module")
def second(made: Tiny, first: Path) -> Path:
    """A bundle of greeting 2.0, which is bulky, and a package that it needs."""
    members = {f"greeting/part{i}.py": b"x = 1\n" for i in range(200)}
    make_wheel(made.checkout.wheels, "greeting", "2.0", requires=["partner"], members=members)
    make_wheel(made.checkout.wheels, "partner", "1.0")
    made.ask("greeting==2.0")
    made.set_up()
    made.bundle(first.with_name("second.tar"))
    return first.with_name("second.tar")


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout that knows no project, and no place that packages come from."""
    checkout = make_checkout(tmp_path_factory.mktemp("bare") / "checkout")
    shutil.rmtree(checkout.root / "projects")
    shutil.rmtree(checkout.wheels)
    shutil.copy(ROOT / "requirements.lock", checkout.root)
    return checkout


def start(bare: Checkout, bundle: Path, volume: Volume, *prefix: str) -> subprocess.Popen[str]:
    tool = [sys.executable, "-m", "volume_bootstrap", "bundle", "apply", str(bundle), "-v"]
    return subprocess.Popen(
        [*(prefix or ALONE), *tool, "--volume", str(volume.root)],
        cwd=bare.root,
        env={**os.environ, "PIP_CONFIG_FILE": os.devnull, "COLUMNS": "400"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run(bare: Checkout, bundle: Path, volume: Volume, *prefix: str) -> str:
    """Apply a bundle without a network; return what it prints."""
    with start(bare, bundle, volume, *prefix) as process:
        output, log = process.communicate(timeout=60)
    assert process.returncode == 0, log
    return output


def greeting(volume: Volume) -> str:
    text = (volume.pointer("tiny") / "greeting" / "__init__.py").read_text()
    return text.split("'")[1]


def whole(volume: Volume) -> bool:
    """Whether everything is as recorded, and nothing is left over."""
    left = [p for p in volume.root.rglob("*.partial*") if "uv" not in p.parts]
    no_damage = not maintenance.verify(volume, ["tiny"], quick=False)
    return no_damage and not left and not extraction_folder(volume).exists()


def test_a_volume_is_filled_without_a_network(made, first, bare, tmp_path):
    volume = Volume(tmp_path / "a volume: ü")
    assert "set up in" in run(bare, first, volume)
    ours, theirs = activate(volume, "tiny"), activate(made.volume, "tiny")
    built = {"id": "", "built": "", "num_bytes": 0}  # bytecode has the folder's name in it
    assert replace(ours, **built) == replace(theirs, **built)
    (record,) = manifest_of(volume, "tiny").models
    (original,) = manifest_of(made.volume, "tiny").models
    digests = [[(f.path, f.sha256) for f in each.files] for each in (record, original)]
    assert digests[0] == digests[1]
    assert (volume.root / "samples" / "sample.wav").is_file()
    assert whole(volume)
    assert plan(volume, made.project).resolved is None, "a set-up with a network would do more"

    before = snapshot(volume.root)
    assert "nothing to do" in run(bare, first, volume)
    assert snapshot(volume.root) == before


def test_what_is_damaged_is_mended(second, tmp_path):
    volume = Volume(tmp_path / "volume")
    applied(second, volume)
    (record,) = manifest_of(volume, "tiny").models
    weights = volume.models / record.folder / "am.mvn"
    weights.write_bytes(b"damaged")
    (volume.root / "samples" / "sample.wav").write_bytes(b"damaged")
    shutil.rmtree(next(volume.pointer("tiny").glob("partner-*")))
    assert applied(second, volume).changed
    assert whole(volume)
    assert not applied(second, volume).changed


def test_a_damaged_package_is_mended_by_force(second, tmp_path):
    volume = Volume(tmp_path / "volume")
    applied(second, volume)
    # It is a link to uv's cache: that is damaged, too.
    (volume.pointer("tiny") / "greeting" / "part7.py").write_text("x = 2\n")
    assert not applied(second, volume).changed
    assert not whole(volume)
    assert applied(second, volume, force=True).changed
    assert whole(volume)


def test_a_newer_bundle_is_an_update_and_there_is_a_way_back(first, second, tmp_path):
    volume = Volume(tmp_path / "volume")
    for path in (first, second):
        applied(path, volume)
    assert greeting(volume) == "2.0"
    generations.rollback(volume, "tiny", None, {})
    assert greeting(volume) == "1.0"
    applied(second, volume)
    assert greeting(volume) == "2.0"
    assert len(generations.of_project(volume, "tiny")) == 2  # nothing was built twice


def test_other_versions_of_the_same_requirements_are_built(made, second, tmp_path):
    """What is not pinned is another day's: the bundle decides, not what the project asks for."""
    volume = Volume(tmp_path / "volume")
    applied(second, volume)
    make_wheel(made.checkout.wheels, "partner", "1.1")
    set_up(made.volume, plan(made.volume, made.project, force=True), force=True)
    made.bundle(tmp_path / "newer.tar")
    assert applied(tmp_path / "newer.tar", volume).generation.packages["partner"] == "1.1"
    assert (volume.pointer("tiny") / "partner").is_dir()
    assert applied(second, volume).generation.packages["partner"] == "1.0"


STAGES = ["extract-models", "install", "switch-deps"]  # make faults: 30 at random


@pytest.mark.parametrize("stage", STAGES)
def test_a_kill_leaves_what_served_and_a_second_run_finishes(first, second, bare, tmp_path, stage):
    volume = Volume(tmp_path / "volume")
    if stage != "extract-models":  # a model that is there is not unpacked
        applied(first, volume)
    with start(bare, second, volume) as process:
        for line in process.stderr:
            if line == f"stage: {stage}\n":
                os.killpg(process.pid, signal.SIGKILL)
                break
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    if stage != "extract-models":
        assert greeting(volume) == "1.0"
    kept = {path.name for path in extraction_folder(volume).glob("*.whl")}
    wheels = {"greeting-2.0-py3-none-any.whl", "partner-1.0-py3-none-any.whl"}
    # All that is installed was unpacked before; of other stages the kill may come late.
    assert kept == wheels if stage == "install" else kept <= wheels
    run(bare, second, volume)
    assert greeting(volume) == "2.0"
    assert whole(volume)


def test_two_at_once_are_both_content(second, bare, tmp_path):
    volume = Volume(tmp_path / "volume")
    both = [start(bare, second, volume) for _ in range(2)]
    said = []
    for process in both:
        with process:
            output, log = process.communicate(timeout=60)
        assert process.returncode == 0, log
        said.append(output)
    assert sorted("nothing to do" in output for output in said) == [False, True]
    assert whole(volume)


def test_a_worker_keeps_the_generation_that_it_runs_on(first, second, tmp_path):
    volume = Volume(tmp_path / "volume")
    applied(first, volume)
    old = generations.active(volume, "tiny")
    beat(volume, old.id)
    for path in (second, first, second):
        applied(path, volume, force=True)
    assert greeting(volume) == "2.0"
    folder = volume.generations / old.id
    assert (folder / "greeting" / "__init__.py").is_file()


def test_what_a_run_left_for_good_is_cleaned(first, tmp_path):
    volume = Volume(tmp_path / "volume")
    applied(first, volume)
    left = extraction_folder(volume) / "old-1.0-py3-none-any.whl.partial"
    left.parent.mkdir()
    left.write_bytes(b"old")
    assert maintenance.removable(volume, 2) == [left.parent]
    make_wheel(left.parent, "older", "1.0")
    applied(first, volume, force=True)
    assert not left.parent.exists()


def test_a_disk_that_is_too_small_is_told_before_anything_is_written(first, bare, tmp_path):
    with (
        namespaces.small_disk(tmp_path, 8) as prefix,
        start(bare, first, Volume(tmp_path / "volume"), *prefix) as process,
    ):
        _, log = process.communicate(timeout=60)
        left = subprocess.run([*prefix, "ls", str(tmp_path)], capture_output=True, check=True)
    assert (process.returncode, left.stdout) == (1, b"")
    assert f"{tmp_path} has 8.4 MB free, " in log
    assert "nothing was written" in log


HOLDS = """
import sys
from pathlib import Path
from volume_bootstrap.layout import Volume
from volume_bootstrap.lock import writing
with writing(Volume(Path(sys.argv[1]))):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_disk_that_others_fill_meanwhile_is_told(first, bare, tmp_path):
    """It had room when that was looked at; then the run waited for another writer."""
    volume = Volume(tmp_path / "volume")
    with namespaces.small_disk(tmp_path, 64) as prefix:
        holds = [*prefix, sys.executable, "-c", HOLDS, str(volume.root)]
        with subprocess.Popen(
            holds, cwd=bare.root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as holder:
            assert holder.stdout.readline() == "held\n"
            with start(bare, first, volume, *prefix) as process:
                for line in process.stderr:
                    if "waiting for" in line:
                        break
                fill = [*prefix, "dd", "if=/dev/zero", f"of={tmp_path / 'filler'}", "bs=64k"]
                subprocess.run(fill, capture_output=True, check=False)
                holder.communicate()
                _, log = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "error: There is no room left" in log
    assert "Traceback" not in log


def test_a_volume_that_is_read_only_is_told(first, bare, tmp_path):
    volume = Volume(tmp_path / "volume")
    volume.root.mkdir()
    with (
        namespaces.read_only(volume.root) as prefix,
        start(bare, first, volume, *prefix) as process,
    ):
        _, log = process.communicate(timeout=60)
    assert process.returncode == 1
    assert f"{volume.root} cannot be written to: it is read-only." in log
    assert list(volume.root.iterdir()) == []


def test_a_file_in_the_place_of_the_volume_is_refused(first, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BundleError, match="is no folder; name the folder that is the volume"):
        applied(first, Volume(tmp_path / "file" / "volume"))


def test_a_model_that_is_damaged_meanwhile_is_not_fetched(made, tmp_path):
    """The check of the imports runs the packages' own code: this one damages what was placed."""
    volume = Volume(tmp_path / "volume")
    code = (
        "import pathlib\n"
        f"for path in pathlib.Path({str(volume.models)!r}).rglob('am.mvn'):\n"
        "    path.write_bytes(b'damaged')\n"
    )
    make_wheel(made.checkout.wheels, "vandal", "1.0", code=code)
    made.ask("vandal==1.0", imports=("vandal",))
    made.set_up()
    made.bundle(tmp_path / "vandal.tar")
    with pytest.raises(BundleError, match=r"\(vad: .* is damaged\); the volume serves what"):
        applied(tmp_path / "vandal.tar", volume)
    assert not volume.pointer("tiny").exists()
    assert not volume.manifest("tiny").exists()


def test_an_import_that_fails_leaves_what_served(made, first, second, tmp_path):
    volume = Volume(tmp_path / "volume")
    applied(first, volume)

    def ask(manifest: dict[str, Any]) -> None:
        manifest["dependencies"]["imports"].append("nothing_like_it")

    bad = changed(second, tmp_path / "bad.tar", ask)
    with pytest.raises(DependencyError, match="nothing_like_it"):
        applied(bad, volume)
    assert greeting(volume) == "1.0"
    applied(second, volume)
    assert whole(volume)
