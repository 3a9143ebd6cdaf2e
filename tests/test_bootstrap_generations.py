import json
import os
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest

from tests.wheels import ROOT
from volume_bootstrap.errors import DependencyError
from volume_bootstrap.files import point
from volume_bootstrap.layout import (
    WORKER_DEAD_AFTER_S,
    Generation,
    Volume,
    dump,
    read_generation,
)
from volume_bootstrap.packages import generations

WORKER = """
import pathlib, sys
from volume_bootstrap.layout import Volume
from worker import heartbeat
path = heartbeat.start(Volume(pathlib.Path(sys.argv[1])), sys.argv[2])
print(path, flush=True)
sys.stdin.read()
"""
READER = """
import pathlib, sys
folder = pathlib.Path(sys.argv[1])
print("ready", flush=True)
count = 0
while not (folder.parent / "stop").exists():
    assert (folder / "greeting" / "__init__.py").read_text() == "old"
    count += 1
print(count)
"""


@pytest.fixture
def volume(tmp_path: Path) -> Volume:
    return Volume(tmp_path / "volume")


def make(volume: Volume, number: int, project: str = "tiny") -> Generation:
    """A generation as `dependencies` leaves one."""
    generation = Generation(
        id=f"0123456789ab-{number}",
        project=project,
        variant=None,
        python=volume.python,
        abi=sysconfig.get_config_var("SOABI"),
        inputs=str(number),
        packages={},
        image_packages={},
        imports=(),
        built="2026-11-21T08:00:00+00:00",
        num_files=1,
        num_bytes=1,
    )
    folder = volume.generations / generation.id
    folder.mkdir(parents=True)
    (folder / "generation.json").write_text(dump(generation))
    point(volume.pointer(project), f".generations/{generation.id}")
    return generation


def rollback(volume: Volume, wanted: str | None = None) -> str:
    return generations.rollback(volume, "tiny", wanted, {}).inputs


def numbers(volume: Volume) -> set[int]:
    return {generations.number_of(path.name) for path in volume.generations.iterdir()}


def test_generations_are_listed_newest_first(volume):
    for number in (2, 10, 9):
        make(volume, number)
    make(volume, 11, "other")
    assert [g.inputs for g in generations.of_project(volume, "tiny")] == ["10", "9", "2"]
    assert generations.active(volume, "tiny").inputs == "9"
    assert generations.next_number(volume) == 12


def test_a_damaged_generation_counts_as_none(volume):
    make(volume, 1)
    make(volume, 2)
    (volume.generations / "0123456789ab-1" / "generation.json").write_text("{")
    assert [g.inputs for g in generations.of_project(volume, "tiny")] == ["2"]


def test_a_rollback_goes_one_back(volume):
    for number in (1, 2, 3):
        make(volume, number)
    assert rollback(volume) == "2"
    assert rollback(volume) == "1"
    with pytest.raises(DependencyError, match="has no generation to go back to"):
        rollback(volume)
    assert rollback(volume, "0123456789ab-3") == "3"
    with pytest.raises(DependencyError, match=r"no generation 7.*it has: 0123456789ab-3, "):
        rollback(volume, "7")


def test_a_rollback_goes_to_what_was_active_before(volume):
    one, two = make(volume, 1), make(volume, 2)
    generations.switch(volume, one)
    assert rollback(volume) == "2"
    assert generations.active(volume, "tiny") == two


def test_a_rollback_passes_over_what_no_worker_can_start_on(volume):
    for number in (1, 2, 3):
        make(volume, number)
    record = volume.generations / "0123456789ab-2" / "generation.json"
    record.write_text(
        record.read_text().replace('"image_packages": {}', '"image_packages": {"a": "1"}')
    )
    with pytest.raises(
        DependencyError, match=r"No worker can start on generation .*-2: it needs a 1 of"
    ):
        rollback(volume, "0123456789ab-2")
    assert rollback(volume) == "1"
    other = volume.generations / "0123456789ab-3" / "generation.json"
    other.write_text(other.read_text().replace("cpython", "pypy"))
    with pytest.raises(DependencyError, match="it is built for pypy"):
        rollback(volume, "0123456789ab-3")


def test_a_rollback_works_while_the_active_one_is_damaged(volume):
    make(volume, 1)
    make(volume, 2)
    (volume.pointer("tiny") / "generation.json").write_text("{")
    assert rollback(volume) == "1"


def test_old_generations_go_but_not_the_active_one(volume):
    for number in (1, 2, 3, 4):
        make(volume, number)
    make(volume, 5, "other")
    point(volume.pointer("tiny"), ".generations/0123456789ab-1")
    assert generations.prune(volume, "tiny") == ["0123456789ab-3", "0123456789ab-2"]
    assert numbers(volume) == {1, 4, 5}


def test_what_served_a_moment_ago_stays(volume):
    """After a roll-back from a bad one, the next good one must not cost the last good one."""
    two, bad = make(volume, 2), make(volume, 3)
    rollback(volume)
    four = make(volume, 4)
    generations.switch(volume, two)
    generations.switch(volume, four)
    assert generations.prune(volume, "tiny") == [bad.id]
    assert rollback(volume) == "2"


def test_a_generation_that_cannot_be_read_may_go_unless_it_is_pointed_to(volume):
    for number in (1, 2):
        make(volume, number)
        (volume.generations / f"0123456789ab-{number}" / "generation.json").write_text("{}")
    assert generations.unreadable(volume) == [volume.generations / "0123456789ab-1"]


def start_worker(volume: Volume, generation: str) -> tuple[subprocess.Popen, Path]:
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(volume.root), generation],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    return worker, Path(worker.stdout.readline().strip())


def test_a_generation_stays_while_a_worker_uses_it(volume):
    for number in (1, 2, 3, 4):
        make(volume, number)
    worker, path = start_worker(volume, "0123456789ab-1")
    assert generations.workers(volume) == ["0123456789ab-1"]
    assert generations.prune(volume, "tiny") == ["0123456789ab-2"]
    worker.communicate("")
    assert not path.exists()  # it ended in peace
    assert generations.workers(volume) == []
    assert generations.prune(volume, "tiny") == ["0123456789ab-1"]
    assert numbers(volume) == {3, 4}


def test_a_worker_that_was_killed_is_gone_by_its_silence(volume):
    worker, path = start_worker(volume, "0123456789ab-1")
    worker.kill()
    worker.communicate()
    assert generations.workers(volume) == ["0123456789ab-1"]
    then = time.time() - WORKER_DEAD_AFTER_S - 5
    os.utime(path, (then, then))
    assert generations.workers(volume) == []
    assert generations.gone_workers(volume) == [path]


def test_a_damaged_heartbeat_is_no_worker(volume, caplog):
    volume.workers.mkdir(parents=True)
    (volume.workers / "x.json").write_text("{")
    assert generations.workers(volume) == []
    assert "x.json is damaged" in caplog.text


def test_a_folder_of_an_older_tool_becomes_a_generation(volume):
    """While others read in it, under the name that they know."""
    pointer = volume.pointer("tiny")
    (pointer / "greeting").mkdir(parents=True)
    (pointer / "greeting" / "__init__.py").write_text("old")
    (pointer / "gone-1.0.dist-info").mkdir()  # as pip leaves it when it replaces a package
    info = pointer / "Greet.Ing-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: Greet.Ing\nVersion: 1.0\n")
    reader = subprocess.Popen(
        [sys.executable, "-c", READER, str(pointer)], stdout=subprocess.PIPE, text=True
    )
    reader.stdout.readline()

    generations.adopt(volume, "tiny")

    (pointer.parent / "stop").touch()
    count, _ = reader.communicate()
    assert reader.returncode == 0
    assert int(count) > 0
    assert pointer.readlink() == Path(".generations/adopted-1")
    adopted = read_generation(pointer / "generation.json")
    assert adopted.packages == {"greet-ing": "1.0"}
    generations.adopt(volume, "tiny")  # nothing more to do
    assert generations.next_number(volume) == 2
    assert json.loads((pointer / "generation.json").read_text())["id"] == "adopted-1"

    pointer.unlink()  # as a kill leaves it where names cannot be exchanged
    generations.adopt(volume, "tiny")
    assert (pointer / "greeting" / "__init__.py").read_text() == "old"
