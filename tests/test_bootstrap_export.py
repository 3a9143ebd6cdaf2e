"""The real export is run when the tests' own volume is provisioned; here is what it refuses."""

from pathlib import Path

import pytest

from tests.wheels import environment, make_wheel, use
from volume_bootstrap.errors import DependencyError, ModelError
from volume_bootstrap.layout import Volume
from volume_bootstrap.onnx_export.exporter import Exporter, recipe, resolve_torch
from volume_bootstrap.packages.uv_tool import find_uv


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only place that packages come from."""
    folder = tmp_path / "wheels"
    make_wheel(folder, "onnx", "1.23.2")
    use(monkeypatch, environment(tmp_path / "empty", PIP_FIND_LINKS=str(folder)))
    return folder


def test_torch_with_cuda_is_refused(wheels, tmp_path):
    make_wheel(wheels, "torch", "2.13.0", requires=["nvidia-cublas", "filelock"])
    make_wheel(wheels, "nvidia-cublas", "13.1")
    make_wheel(wheels, "filelock", "3.0")
    with pytest.raises(DependencyError, match=r"build with CUDA.*nvidia-cublas.*Put a CPU build"):
        resolve_torch(find_uv(cache=tmp_path / "cache"))


def test_torch_without_cuda_is_taken(wheels, tmp_path):
    make_wheel(wheels, "torch", "2.13.0", requires=["filelock"])
    make_wheel(wheels, "filelock", "3.0")
    pins, options = resolve_torch(find_uv(cache=tmp_path / "cache"))
    assert pins == {"filelock": "3.0", "onnx": "1.23.2", "torch": "2.13.0"}
    assert options == ()


def test_no_torch_at_all_is_an_error(wheels, tmp_path, monkeypatch):
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    with (
        Exporter(Volume(tmp_path), tmp_path) as exporter,
        pytest.raises(DependencyError, match=r"torch==2\.13\.0 cannot be installed"),
    ):
        exporter.export("campplus", tmp_path, tmp_path / "model.onnx")


def test_an_export_that_fails_names_the_weights(wheels, tmp_path, monkeypatch):
    """The tools install, but this torch only tells where it was looked for."""
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    path = "import sys; raise ImportError(sys.path)\n"
    make_wheel(wheels, "torch", "2.13.0", code=path)
    make_wheel(wheels, "funasr", "1.4.16")
    with (
        Exporter(Volume(tmp_path), tmp_path / "a generation: 1") as exporter,
        pytest.raises(
            ModelError,
            match=r"(?s)weights cannot be exported as campplus.*ImportError: .*/a generation: 1'",
        ),
    ):
        exporter.export("campplus", tmp_path / "weights", tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()


def test_only_what_a_network_reads_makes_another_recipe():
    files = {"model.pt": "1", "am.mvn": "2", "config.yaml": "3", "README.md": "4"}
    assert recipe("fsmn_vad", files) == recipe("fsmn_vad", {**files, "README.md": "5"})
    for path in ("model.pt", "am.mvn", "config.yaml"):
        assert recipe("fsmn_vad", files) != recipe("fsmn_vad", {**files, path: "5"})
    assert recipe("campplus", {"any.bin": "1"}) != recipe("campplus", {"any.bin": "2"})


def test_what_a_killed_export_left_is_gone_with_the_next(wheels, tmp_path, monkeypatch):
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    volume = Volume(tmp_path)
    left = Exporter(volume, tmp_path)._tools
    left.mkdir()
    (left / "torch").touch()
    with Exporter(volume, tmp_path) as exporter, pytest.raises(DependencyError):
        exporter.export("campplus", tmp_path, tmp_path / "model.onnx")
    assert not left.exists()
    assert Exporter(Volume(tmp_path / "other"), tmp_path)._tools != left
