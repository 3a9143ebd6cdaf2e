"""Real releases of modelscope find what the provisioner put on a volume, with no hub to ask."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from volume_bootstrap.models.hub_layouts import make_findable
from volume_bootstrap.packages.uv_tool import find_uv

RELEASES = ("1.22.3", "1.23.0", "1.37.1", "1.38.1", "1.40.2")
HUB = ("modelscope-hub==0.5.1", "filelock==4.2.11")
MODEL, DOTTED = "iic/speech_campplus_sv_zh_en_16k-common_advanced", "Qwen/Qwen2.5-0.5B"
FILES = ("configuration.json", "weights/model.pt")
FIND = """
import sys
sys.path[:0] = sys.argv[1].split(":")
from modelscope.hub.snapshot_download import snapshot_download
for model in sys.argv[2:]:
    print(snapshot_download(model, local_files_only=True))
"""


@pytest.fixture(scope="module", params=RELEASES)
def release(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one release of modelscope, and its hub client where it is apart."""
    folder = tmp_path_factory.mktemp("release")
    pins = (f"modelscope=={request.param}", *HUB)
    find_uv()("install", *pins, "--target", str(folder), "--no-deps")
    return folder


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Two models where the provisioner puts them, one with dots in its name: links to versions."""
    folder = tmp_path / "volume" / "models"
    for model in (MODEL, DOTTED):
        org, _, name = model.partition("/")
        for path in FILES:
            file = folder / "hub" / org / f".{name}" / "0123" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{model}/{path}")
        (folder / "hub" / model).symlink_to(f".{name}/0123")
    return folder


def find(release: Path, models: Path, *wanted: str) -> subprocess.CompletedProcess[str]:
    """Ask a release for models; whatever it tried to reach would refuse it."""
    with socket.socket() as closed:  # bound, never listening
        closed.bind(("127.0.0.1", 0))
        hub = f"127.0.0.1:{closed.getsockname()[1]}"
        return subprocess.run(
            [sys.executable, "-I", "-c", FIND, str(release), *wanted],
            env={
                **os.environ,
                "HOME": str(models.parent / "home"),
                "MODELSCOPE_CACHE": str(models),
                "MODELSCOPE_DOMAIN": hub,
                "MODELSCOPE_ENDPOINT": f"http://{hub}",
                "http_proxy": f"http://{hub}",
                "https_proxy": f"http://{hub}",
            },
            capture_output=True,
            text=True,
            check=False,
        )


def test_each_release_finds_the_models_and_leaves_them_there(release: Path, models: Path) -> None:
    for model in (MODEL, DOTTED):
        make_findable(models, model, FILES)
    result = find(release, models, MODEL, DOTTED)
    assert result.returncode == 0, result.stderr
    found = [Path(line) for line in result.stdout.splitlines()[-2:]]
    for model, folder in zip((MODEL, DOTTED), found, strict=True):
        home = models / "hub" / model
        assert home.is_symlink()
        assert folder.samefile(home)
        assert [(home / path).read_text() for path in FILES] == [f"{model}/{p}" for p in FILES]


def test_it_goes_on_when_the_volume_is_mounted_elsewhere(release: Path, models: Path) -> None:
    make_findable(models, MODEL, FILES)
    moved = models.parent.rename(models.parent.with_name("elsewhere")) / "models"
    result = find(release, moved, MODEL)
    assert result.returncode == 0, result.stderr
    assert Path(result.stdout.splitlines()[-1]).samefile(moved / "hub" / MODEL)


def test_a_second_time_changes_nothing(models: Path) -> None:
    make_findable(models, DOTTED, FILES)
    before = {path: path.lstat() for path in models.rglob("*")}
    make_findable(models, DOTTED, reversed(FILES))
    assert {path: path.lstat() for path in models.rglob("*")} == before


def test_a_download_of_an_older_tool_stays(models: Path) -> None:
    own = models / "models" / MODEL / "configuration.json"
    own.parent.mkdir(parents=True)
    own.write_text("mine")
    make_findable(models, MODEL, FILES)
    assert own.read_text() == "mine"
    assert not own.parent.is_symlink()


def test_a_link_that_points_elsewhere_is_set_right(models: Path) -> None:
    link = models / "models" / MODEL
    link.parent.mkdir(parents=True)
    link.symlink_to("../../gone")
    make_findable(models, MODEL, FILES)
    assert link.samefile(models / "hub" / MODEL)


def test_folders_on_the_way_may_be_links(models: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "deep" / "er" / "elsewhere"
    elsewhere.mkdir(parents=True)
    (models / "models").symlink_to(elsewhere)
    make_findable(models, MODEL, FILES)
    found = models / "models" / MODEL
    assert found.is_symlink()
    assert (found / FILES[1]).read_text() == f"{MODEL}/{FILES[1]}"
