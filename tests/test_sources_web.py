"""Files over HTTP, from a server in a process of its own that misbehaves on command."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub_server import HubServer
from volume_bootstrap.errors import SourceError
from volume_bootstrap.progress import Progress
from volume_bootstrap.project_files import HttpsSource
from volume_bootstrap.sources import https, transfer, web
from volume_bootstrap.sources.wanted import DRAFTS, Wanted, address_name

CONTENT = bytes(range(256)) * 12_000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
PINNED = Wanted("model.pt", sha256=SHA256)
UNKNOWN = Wanted("model.pt")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    with HubServer(tmp_path_factory.mktemp("served")) as started:
        yield started


@pytest.fixture
def files(server: HubServer) -> Path:
    """What the server has."""
    folder = server.folder
    (folder / "sub").mkdir(exist_ok=True)
    (folder / "model.pt").write_bytes(CONTENT)
    (folder / "sub" / "配置 #1.json").write_bytes(b"{}")
    return folder


@pytest.fixture
def hub(server: HubServer, files: Path, monkeypatch: pytest.MonkeyPatch) -> HubServer:
    monkeypatch.setattr(transfer, "BACKOFF_S", 0.001)
    server.reset()
    return server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "model"


def fetch(hub: HubServer, folder: Path, *wanted: Wanted, path: str = "/files") -> dict[str, str]:
    with Progress("test") as progress:
        return https.fetch(
            HttpsSource(kind="https", url=hub.url(path)), wanted or [PINNED], folder, progress
        )


def named(folder: Path) -> list[str]:
    """Files that have their final names."""
    found = (p.relative_to(folder) for p in folder.rglob("*") if p.is_file())
    return sorted(str(p) for p in found if p.parts[0] != DRAFTS)


def ranges(hub: HubServer) -> list[str | None]:
    return [request["range"] for request in hub.log("model.pt")]


def test_files_come_under_their_paths_with_their_digests(hub, folder):
    digests = fetch(hub, folder, PINNED, Wanted("sub/配置 #1.json"))
    assert digests == {
        "model.pt": SHA256,
        "sub/配置 #1.json": hashlib.sha256(b"{}").hexdigest(),
    }
    assert named(folder) == ["model.pt", "sub/配置 #1.json"]
    assert (folder / "model.pt").read_bytes() == CONTENT


@pytest.mark.parametrize("wanted", [PINNED, UNKNOWN])
def test_what_breaks_off_is_gone_on_with(hub, folder, wanted):
    hub.fault("model.pt", "break", times=2, bytes=1_000_000)
    assert fetch(hub, folder, wanted) == {"model.pt": SHA256}
    assert ranges(hub) == [None, "bytes=1000000-", "bytes=2000000-"]


def test_a_silent_server_is_asked_again(hub, folder, monkeypatch):
    monkeypatch.setattr(web, "READ_TIMEOUT_S", 0.2)
    hub.fault("model.pt", "stall", times=1, bytes=1_500_000)
    assert fetch(hub, folder) == {"model.pt": SHA256}
    assert ranges(hub) == [None, f"bytes={1 << 20}-"]


def test_a_server_without_ranges_sends_it_all_again(hub, folder):
    hub.fault("model.pt", "break", times=1, bytes=1_000_000)
    hub.fault("model.pt", "no-range")
    assert fetch(hub, folder) == {"model.pt": SHA256}
    assert (folder / "model.pt").read_bytes() == CONTENT


def test_a_file_that_never_gets_further_is_given_up(hub, folder):
    hub.fault("model.pt", "break", bytes=0)
    with pytest.raises(SourceError, match=r"model\.pt: .*; 4 attempts in a row brought nothing"):
        fetch(hub, folder)
    assert named(folder) == []


def test_a_file_that_comes_by_a_few_bytes_is_given_up(hub, folder):
    hub.fault("model.pt", "break", bytes=9)
    with pytest.raises(
        SourceError, match=r"model\.pt: .*; 4 attempts in a row brought only 36 bytes\."
    ):
        fetch(hub, folder)
    assert ranges(hub) == [None, "bytes=9-", "bytes=18-", "bytes=27-"]
    hub.reset()
    assert fetch(hub, folder) == {"model.pt": SHA256}
    assert ranges(hub) == ["bytes=36-"]


def test_an_attempt_that_brings_much_begins_the_count_anew(hub, folder):
    hub.fault("model.pt", "break", times=3, bytes=9)
    hub.fault("model.pt", "break", times=1, bytes=transfer.LITTLE_BYTES)
    hub.fault("model.pt", "break", times=3, bytes=9)
    assert fetch(hub, folder) == {"model.pt": SHA256}
    assert len(ranges(hub)) == 8


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_a_server_that_recovers_is_no_error(hub, folder, status):
    hub.fault("model.pt", "status", times=2, status=status, retry_after=0)
    assert fetch(hub, folder) == {"model.pt": SHA256}
    assert len(hub.log("model.pt")) == 3


def test_a_server_that_does_not_recover_is_named_with_its_status(hub, folder):
    hub.fault("model.pt", "status", status=500)
    with pytest.raises(SourceError, match=rf"http://127\.0\.0\.1:{hub.port}/.* answers 500; 4 at"):
        fetch(hub, folder)
    assert len(hub.log("model.pt")) == 4


@pytest.mark.parametrize("wait", ["3600", "Wed, 21 Oct 2099 07:28:00 GMT"])
def test_a_wait_that_is_too_long_is_no_wait(hub, folder, wait):
    hub.fault("model.pt", "status", status=429, retry_after=wait)
    with pytest.raises(SourceError, match=r"answers 429; it asks to wait \d+ s"):
        fetch(hub, folder)
    assert len(hub.log("model.pt")) == 1


def test_a_missing_file_is_not_asked_for_twice(hub, folder):
    with pytest.raises(SourceError, match="/files/other answers 404 Not Found"):
        fetch(hub, folder, Wanted("other"))
    assert len(hub.log("other")) == 1


def test_a_redirect_is_followed_and_a_loop_is_not(hub, folder):
    hub.fault("/moved/", "redirect", times=1, to="/files/model.pt")
    assert fetch(hub, folder, path="/moved") == {"model.pt": SHA256}
    hub.fault("/round/", "loop")
    with pytest.raises(SourceError, match=r"/round/model\.pt redirects more than 10 times"):
        fetch(hub, folder, path="/round")
    hub.fault("/out/", "redirect", to="gopher://127.0.0.1/")
    with pytest.raises(SourceError, match="leads to an address that is none"):
        fetch(hub, folder, path="/out")


@pytest.mark.parametrize("fault", ["wrong", "page"])
def test_another_file_is_refused(hub, folder, fault):
    hub.fault("model.pt", fault)
    with pytest.raises(SourceError, match=rf"has SHA-256 \w+, not {SHA256}: the source is damaged"):
        fetch(hub, folder)
    assert named(folder) == []
    assert len(hub.log("model.pt")) == 1


def test_a_page_in_place_of_a_file_of_known_size_is_not_even_read(hub, folder):
    hub.fault("model.pt", "page")
    wanted = Wanted("model.pt", size=len(CONTENT), sha256=SHA256)
    with pytest.raises(SourceError, match=r"is 20 bytes there and 3072000 bytes in the hub's list"):
        fetch(hub, folder, wanted)


def test_what_does_not_fit_to_its_beginning_is_fetched_whole(hub, folder):
    (folder / DRAFTS).mkdir(parents=True)
    (folder / DRAFTS / "model.pt").write_bytes(b"another file")
    assert fetch(hub, folder) == {"model.pt": SHA256}
    assert ranges(hub) == ["bytes=12-", None]


def test_a_beginning_that_is_longer_than_the_file_is_dropped(hub, folder):
    (folder / DRAFTS).mkdir(parents=True)
    (folder / DRAFTS / "model.pt").write_bytes(CONTENT + b"more")
    assert fetch(hub, folder) == {"model.pt": SHA256}


def test_a_whole_beginning_is_only_named(hub, folder):
    (folder / DRAFTS).mkdir(parents=True)
    (folder / DRAFTS / "model.pt").write_bytes(CONTENT)
    assert fetch(hub, folder, Wanted("model.pt", len(CONTENT), SHA256)) == {"model.pt": SHA256}
    assert hub.log("model.pt") == []


def test_a_file_that_changed_meanwhile_is_begun_anew(hub, folder, files):
    """Its SHA-256 is in no list: the ETag tells."""
    hub.fault("model.pt", "break", times=1, bytes=1_000_000)
    hub.fault("model.pt", "status", times=4, status=503)
    with pytest.raises(SourceError, match="503"):
        fetch(hub, folder, UNKNOWN)
    (files / "model.pt").write_bytes(b"new" * 1_000_000)
    assert fetch(hub, folder, UNKNOWN) == {"model.pt": hashlib.sha256(b"new" * 10**6).hexdigest()}
    assert ranges(hub)[-1] == "bytes=1000000-"


def test_two_versions_are_never_mixed_though_the_server_ignores_if_range(hub, folder, files):
    hub.fault("model.pt", "break", times=1, bytes=1_000_000)
    hub.fault("model.pt", "status", times=4, status=503)
    with pytest.raises(SourceError, match="503"):
        fetch(hub, folder, UNKNOWN)
    new = bytes(reversed(CONTENT))
    (files / "model.pt").write_bytes(new)
    hub.fault("model.pt", "no-if-range")
    assert fetch(hub, folder, UNKNOWN) == {"model.pt": hashlib.sha256(new).hexdigest()}
    assert [r["status"] for r in hub.log("model.pt")][-2:] == [206, 200]


def test_without_etag_and_digest_what_breaks_off_is_begun_anew(hub, folder):
    hub.fault("model.pt", "no-etag", times=2, bytes=2_000_000)
    assert fetch(hub, folder, UNKNOWN) == {"model.pt": SHA256}
    assert ranges(hub) == [None, None, None]


@pytest.mark.parametrize("fault", ["no-etag", "no-range"])
def test_what_is_begun_anew_each_time_is_given_up(hub, folder, fault):
    if fault == "no-range":  # and another file than is wanted
        for _ in range(8):
            hub.fault("model.pt", "break", times=1, bytes=2_000_000)
            hub.fault("model.pt", "wrong", times=1)
    hub.fault("model.pt", fault, bytes=2_000_000)
    with pytest.raises(SourceError, match=r"4 attempts in a row brought|was begun 4 times"):
        fetch(hub, folder, PINNED if fault == "no-range" else UNKNOWN)


def test_etags_lie_apart_from_files_of_such_names(hub, folder, files):
    (files / "model.pt.etag").write_bytes(CONTENT)
    digests = fetch(hub, folder, UNKNOWN, Wanted("model.pt.etag"))
    assert digests == dict.fromkeys(["model.pt", "model.pt.etag"], SHA256)
    assert (folder / "model.pt.etag").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({"Content-Length": "abc"}, "with a Content-Length that is no number"),
        ({"Content-Encoding": "gzip"}, "sends the file as gzip, which was not asked for"),
    ],
)
def test_an_odd_answer_is_the_source_s_fault(hub, folder, headers, words):
    hub.fault("model.pt", "answer", headers=headers)
    with pytest.raises(SourceError, match=words):
        fetch(hub, folder)


@pytest.mark.parametrize("to", ["http://[bad", "http://127.0.0.1:abc/", "http://127.0.0.1:99999/"])
def test_a_redirect_to_no_address_is_said(hub, folder, to):
    hub.fault("/out/", "redirect", to=to)
    with pytest.raises(SourceError, match=r"/out/model\.pt leads to an address that is none"):
        fetch(hub, folder, path="/out")


def test_credentials_are_in_no_message(hub, folder):
    def refused(address: str) -> str:
        source = HttpsSource(kind="https", url=address)
        with Progress("test") as progress, pytest.raises(SourceError) as caught:
            https.fetch(source, [PINNED], folder, progress)
        return str(caught.value)

    host = f"localhost:{hub.port}"
    assert "secret" not in refused(f"http://user:secret@{host.upper()}/none")
    hub.fault("/moved/", "redirect", times=1, to=f"http://user:secret@{host}/none")
    assert f"/moved/model.pt (at {host}) answers 404" in refused(hub.url("/moved"))


def test_a_whole_file_of_unknown_digest_is_asked_for_but_not_sent_again(hub, folder):
    fetch(hub, folder, UNKNOWN)
    assert fetch(hub, folder, UNKNOWN) == {"model.pt": SHA256}
    assert [r["status"] for r in hub.log("model.pt")] == [200, 416]


def test_nobody_there_is_said(folder, monkeypatch):
    monkeypatch.setattr(transfer, "BACKOFF_S", 0.001)
    source = HttpsSource(kind="https", url="http://127.0.0.1:9/files")
    with Progress("test") as progress, pytest.raises(SourceError, match="Connection refused"):
        https.fetch(source, [PINNED], folder, progress)


def test_a_full_disk_is_not_the_source_s_fault(hub, folder):
    (folder / DRAFTS).mkdir(parents=True)
    (folder / DRAFTS / "model.pt").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left on device"):
        fetch(hub, folder)


def test_addresses_are_named_without_their_secrets():
    assert address_name("https://user:secret@host:8443/a/b?token=secret") == "https://host:8443/a/b"


KILLED = """
import sys
from pathlib import Path
from volume_bootstrap.progress import Progress
from volume_bootstrap.project_files import HttpsSource
from volume_bootstrap.sources import https
from volume_bootstrap.sources.wanted import Wanted
url, folder, *wanted = sys.argv[1:]
files = [Wanted(path, sha256=digest or None) for path, digest in zip(wanted[::2], wanted[1::2])]
with Progress("test") as progress:
    https.fetch(HttpsSource(kind="https", url=url), files, Path(folder), progress)
"""


@pytest.mark.parametrize("digest", [SHA256, ""])
def test_a_killed_download_is_gone_on_with(hub, folder, digest):
    hub.fault("model.pt", "stall", times=1, bytes=2_000_000)
    command = [sys.executable, "-c", KILLED, hub.url("/files"), str(folder), "model.pt", digest]
    draft = folder / DRAFTS / "model.pt"
    with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": os.curdir}) as process:
        # The first megabyte is written; the rest of what was sent may wait for a block to fill.
        while not draft.is_file() or draft.stat().st_size < 1 << 20:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    resumed_at = draft.stat().st_size
    assert named(folder) == []
    assert fetch(hub, folder, Wanted("model.pt", sha256=digest or None)) == {"model.pt": SHA256}
    assert ranges(hub) == [None, f"bytes={resumed_at}-"]
