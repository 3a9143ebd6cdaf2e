"""Tests run on the volume that `make test` provisions: its packages, its models."""

import logging
import signal
import tempfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

from tests.fake_models import Loader
from tests.media_server import MediaServer
from tests.platform import Platform
from tests.volumes import VOLUME, copy_volume
from volume_bootstrap.layout import Volume
from worker.activation import activate
from worker.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "tests" / "data"

# A shell that starts the tests in the background has them ignore Ctrl-C, and all that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# What the demo has, and torch and FunASR besides.
activate(VOLUME, "demo-funasr")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Escape what is no text in the captured output: execnet carries nothing else."""
    report = yield
    report.sections = [
        (name, content.encode("utf-8", "backslashreplace").decode())
        for name, content in report.sections
    ]
    return report


@pytest.fixture(scope="session")
def data() -> Path:
    """Folder of the audio that the tests carry."""
    return DATA


@pytest.fixture(scope="session")
def volume() -> Volume:
    """The demo volume; not to be changed."""
    return VOLUME


@pytest.fixture
def own_volume(tmp_path: Path) -> Volume:
    """A copy of the volume that a test may damage, with the demo alone on it."""
    return copy_volume(tmp_path / "volume")


@pytest.fixture(scope="session")
def platform_process() -> Iterator[Platform]:
    """RunPod's platform on loopback, as a process of its own."""
    with Platform() as platform:
        yield platform


@pytest.fixture
def platform(platform_process: Platform) -> Platform:
    """The platform as if just started, on the same port."""
    platform_process.reset()
    return platform_process


@pytest.fixture(scope="session")
def make_settings() -> Callable[..., Settings]:
    """Settings for a volume, loopback allowed; keywords are more variables."""

    def make(volume: Volume = VOLUME, **variables: str) -> Settings:
        return Settings.from_environment(
            {
                "SPEECH_VOLUME": str(volume.root),
                "SPEECH_DEVICE": "cpu",
                "SPEECH_ALLOWED_NETWORKS": "127.0.0.1/32",
                **variables,
            }
        )

    return make


@pytest.fixture(scope="session")
def service(make_settings: Callable[..., Settings]) -> "Service":  # noqa: F821
    """The real service on the demo volume, its models loaded."""
    from worker.runpod_app import start_service

    return start_service(make_settings(), "demo")


@pytest.fixture
def temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Jobs get a temporary folder of their own; `service_jobs.ask` looks whether it is empty."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Iterator[MediaServer]:
    """The audio that the tests carry, over HTTP."""
    folder = tmp_path_factory.mktemp("served")
    for path in (data / "sample.wav", data / "jfk.flac", *(data / "digits").glob("*.flac")):
        (folder / path.name).symlink_to(path)
    with MediaServer(folder) as running:
        yield running


@pytest.fixture
def load() -> Loader:
    """How a test has its models loaded."""
    return Loader()


@pytest.fixture(autouse=True)
def log_levels() -> Iterator[None]:
    """Give the levels of our logs back, which a program that runs within a test sets."""
    ours = [logging.getLogger(name) for name in ("worker", "volume_bootstrap")]
    before = [logger.level for logger in ours]
    yield
    for logger, level in zip(ours, before, strict=True):
        logger.setLevel(level)


@pytest.fixture
def own_logging(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test set up the process's log; its handlers are given back."""
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
