"""The loopback index is one to uv and pip, and fails as it is told."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import uv

from tests.index_server import Index, serve
from tests.wheels import make_wheel

CLIENTS = {
    "uv": [uv.find_uv_bin(), "pip", "install", "--python", sys.executable, "--no-config"],
    "pip": [sys.executable, "-m", "pip", "--retries=0", "install", "--isolated", "--quiet"],
}


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheels")
    make_wheel(folder, "greeting", "1.0")
    make_wheel(folder, "greeting", "2.0", requires=["Good.Words>=1"])
    make_wheel(folder, "good-words", "1.1", members={"good_words/data": os.urandom(200_000)})
    return folder


@pytest.fixture(scope="module")
def running(wheels: Path) -> Iterator[Index]:
    with serve(wheels) as index:
        yield index


@pytest.fixture
def index(running: Index) -> Iterator[Index]:
    yield running
    running.behave()


@pytest.fixture(params=CLIENTS)
def install(request, index, tmp_path):
    """Install with uv and with pip, each without a cache."""

    def run(*requirements: str) -> subprocess.CompletedProcess[str]:
        target = str(tmp_path / "target")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "UV_"))}
        return subprocess.run(
            [
                *CLIENTS[request.param],
                *("--index-url", index.url, "--no-cache-dir", "--target", target),
                *requirements,
            ],
            env={**kept, "UV_HTTP_RETRIES": "0"},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    return run


def test_the_newest_version_and_what_it_needs_are_installed(install, index, tmp_path):
    before = len(index.requests())
    done = install("greeting")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "target" / "greeting-2.0.dist-info").is_dir()
    assert (tmp_path / "target" / "good_words" / "data").stat().st_size == 200_000
    asked = index.requests()[before:]
    assert "GET /files/greeting-2.0-py3-none-any.whl.metadata 200" in asked
    assert "GET /files/greeting-1.0-py3-none-any.whl 200" not in asked


@pytest.mark.parametrize(
    "faults",
    [
        {"down": True},
        {"status": 503},
        {"wrong_hash": True},
        {"redirect_loop": True},
    ],
    ids=lambda faults: next(iter(faults)),
)
def test_a_fault_fails_and_passes(install, index, faults):
    index.misbehave(**faults)
    assert install("greeting==1.0").returncode != 0
    index.behave()
    done = install("greeting==1.0")
    assert done.returncode == 0, done.stderr


def test_a_slow_index_serves_whole_wheels(install, index, tmp_path):
    index.misbehave(bytes_per_s=1_000_000)
    done = install("good-words")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "target" / "good_words" / "data").stat().st_size == 200_000


def test_a_status_ends_after_so_many_requests(index):
    index.misbehave(status=500, times=2)
    statuses = [httpx.get(f"{index.url}/greeting/").status_code for _ in range(3)]
    assert statuses == [500, 500, 200]


def test_the_page_for_people_names_the_same_files(index):
    page = httpx.get(f"{index.url}/good-words/")
    listed = httpx.get(page.url, headers={"Accept": "application/vnd.pypi.simple.v1+json"}).json()
    (file,) = listed["files"]
    assert f'href="{file["url"]}#sha256={file["hashes"]["sha256"]}"' in page.text
    assert f"sha256={file['core-metadata']['sha256']}" in page.text
    assert listed["versions"] == ["1.1"]


@pytest.mark.parametrize(
    ("wanted", "status", "part"),
    [
        ("bytes=100-199", 206, slice(100, 200)),
        ("bytes=-10", 206, slice(-10, None)),
        ("bytes=100-", 206, slice(100, None)),
        ("bytes=9000000-", 416, slice(0)),
    ],
)
def test_ranges_are_served(index, wheels, wanted, status, part):
    name = "good_words-1.1-py3-none-any.whl"
    url = index.url.replace("/simple", f"/files/{name}")
    answer = httpx.get(url, headers={"Range": wanted})
    assert answer.status_code == status
    assert answer.content == (wheels / name).read_bytes()[part]


def test_a_fault_that_there_is_not_is_refused(index):
    with pytest.raises(ValueError, match="no fault is called sloth"):
        index.misbehave(sloth=True)
