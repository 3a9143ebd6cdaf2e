"""Where the tests' torch comes from, on machines that reach PyTorch's index and on others."""

from pathlib import Path

import pytest

from tests.torch_index import VARIABLE, address
from tests.wheels import environment, make_wheel, use
from volume_bootstrap.packages.dependencies import resolve
from volume_bootstrap.packages.uv_tool import Places, find_uv


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only place that packages come from."""
    folder = tmp_path / "wheels"
    make_wheel(folder, "filelock", "3.0")
    found = {"PIP_FIND_LINKS": str(folder), "UV_CACHE_DIR": str(tmp_path / "cache"), VARIABLE: ""}
    use(monkeypatch, environment(tmp_path / "empty", **found))
    return folder


def test_an_index_that_is_named_is_taken(wheels, tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, "https://mirror.example/whl/cpu")
    assert address(tmp_path / "index") == "https://mirror.example/whl/cpu"


def test_where_pip_gives_a_build_with_cuda_it_is_pytorchs(wheels, tmp_path):
    make_wheel(wheels, "torch", "2.13.0", requires=["nvidia-cublas"])
    make_wheel(wheels, "nvidia-cublas", "13.1")
    assert address(tmp_path / "index") == "https://download.pytorch.org/whl/cpu"
    assert not (tmp_path / "index").exists()


def test_where_pip_gives_one_without_it_becomes_an_index(wheels, tmp_path):
    make_wheel(wheels, "torch", "2.13.0+cpu", requires=["filelock"])
    index = tmp_path / "my index"
    (index / "torch").mkdir(parents=True)
    (index / "torch" / "left-by-a-kill.whl").write_bytes(b"")
    found = address(index)
    beside = find_uv().with_places(Places(found, (), ()))
    assert resolve(beside, "torch==2.13.0", "--no-deps") == {"torch": "2.13.0+cpu"}
    # The second time there is nothing to ask.
    for wheel in wheels.iterdir():
        wheel.unlink()
    assert address(index) == found
