import subprocess
import sys
from pathlib import Path

import pytest

from volume_bootstrap import files

READER = """
import pathlib, sys
path, stop = map(pathlib.Path, sys.argv[1:])
print("reading", flush=True)
rounds = 0
while not stop.exists():
    path.read_bytes()
    rounds += 1
print(rounds)
"""


def folder(path: Path, content: str = "whole") -> Path:
    path.mkdir(parents=True)
    (path / "file").write_text(content)
    return path


def test_a_folder_becomes_a_relative_link_to_where_it_went(tmp_path):
    path, aside = folder(tmp_path / "hub" / "name"), tmp_path / "hub" / ".name" / "old-1"
    files.replace_folder_by_link(path, aside)
    assert path.readlink() == Path(".name/old-1")
    assert not aside.is_symlink()
    assert (path / "file").read_text() == "whole"
    assert sorted(p.name for p in aside.parent.iterdir()) == ["old-1"]


def test_beside_itself_and_elsewhere_are_alike(tmp_path):
    path = folder(tmp_path / "deps" / "demo")
    files.replace_folder_by_link(path, tmp_path / "deps" / "demo.old")
    assert path.readlink() == Path("demo.old")
    other = folder(tmp_path / "a" / "b" / "name")
    files.replace_folder_by_link(other, tmp_path / "c" / "old")
    assert (other / "file").read_text() == "whole"


def test_a_link_that_a_killed_run_left_is_no_obstacle(tmp_path):
    path, aside = folder(tmp_path / "name"), tmp_path / "old"
    aside.symlink_to("old")
    files.replace_folder_by_link(path, aside)
    assert (path / "file").read_text() == "whole"
    assert path.readlink() == Path("old")


def test_what_is_aside_already_is_not_lost(tmp_path):
    path, aside = folder(tmp_path / "name"), folder(tmp_path / "old", "older")
    with pytest.raises(FileExistsError):
        files.replace_folder_by_link(path, aside)
    assert (path / "file").read_text() == "whole"
    assert (aside / "file").read_text() == "older"


def test_a_folder_that_is_missing_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        files.replace_folder_by_link(tmp_path / "name", tmp_path / "old")


def test_where_names_cannot_be_exchanged_it_is_renamed(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_exchange", lambda one, other: False)
    path, aside = folder(tmp_path / "name"), tmp_path / ".name" / "old"
    files.replace_folder_by_link(path, aside)
    assert path.readlink() == Path(".name/old")
    assert (path / "file").read_text() == "whole"


def test_a_reader_never_misses_the_folder(tmp_path):
    """Two hundred times from a folder to a link and back, while another process reads in it."""
    path, stop = folder(tmp_path / "name"), tmp_path / "stop"
    command = [sys.executable, "-c", READER, str(path / "file"), str(stop)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as reader:
        assert reader.stdout.readline() == "reading\n"
        for number in range(200):
            files.replace_folder_by_link(path, tmp_path / f"old-{number}")
            back = folder(tmp_path / f"new-{number}")
            assert files._exchange(path, back)
        stop.touch()
        output, errors = reader.communicate()
    assert reader.returncode == 0, errors
    assert int(output) > 200


def test_flushing_takes_a_folder(tmp_path):
    files.flush(folder(tmp_path / "a"))
    with pytest.raises(FileNotFoundError):
        files.flush(tmp_path / "b")


def test_a_file_behind_a_link_is_linked_itself(tmp_path):
    blob = folder(tmp_path / "blobs") / "file"
    (tmp_path / "link").symlink_to("blobs/file")
    files.link_file(tmp_path / "link", tmp_path / "deep" / "name")
    assert (tmp_path / "deep" / "name").stat().st_ino == blob.stat().st_ino
    assert not (tmp_path / "deep" / "name").is_symlink()
    with pytest.raises(FileExistsError):
        files.link_file(blob, tmp_path / "deep" / "name")


def test_files_links_and_folders_are_removed(tmp_path):
    kept = folder(tmp_path / "kept")
    (tmp_path / "link").symlink_to("kept")
    for path in (tmp_path / "link", folder(tmp_path / "a"), tmp_path / "nothing"):
        files.remove(path)
        assert not path.exists()
    assert (kept / "file").is_file()
