import gzip
import hashlib
import io
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub_server import HubServer
from volume_bootstrap.errors import SourceError
from volume_bootstrap.progress import Progress
from volume_bootstrap.project_files import ArchiveSource
from volume_bootstrap.sources import archive, transfer
from volume_bootstrap.sources.wanted import DRAFTS, Wanted

WEIGHTS = bytes(range(256)) * 100
SHA256 = hashlib.sha256(WEIGHTS).hexdigest()
MODEL = {"top/model.pt": WEIGHTS, "top/README.md": b"# A model", "../evil": b"evil"}
EVIL = ["../evil", "/tmp/evil", "top/../../evil"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    with HubServer(tmp_path_factory.mktemp("served")) as started:
        yield started


@pytest.fixture
def hub(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> HubServer:
    monkeypatch.setattr(transfer, "BACKOFF_S", 0.001)
    server.reset()
    return server


def make_zip(path: Path, contents: dict[str, bytes] = MODEL) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in contents.items():
            packed.writestr(name, content)


def make_tar(path: Path, contents: dict[str, bytes] = MODEL) -> None:
    with tarfile.open(path, "w:gz") as packed:
        for name, content in contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            packed.addfile(info, io.BytesIO(content))


MAKERS = pytest.mark.parametrize("make", [make_zip, make_tar])


def fetch(hub: HubServer, folder: Path, *wanted: Wanted, **options: object) -> dict[str, str]:
    source = ArchiveSource(
        kind="archive",
        url=hub.url("/files/packed"),
        members={"model.pt": "top/model.pt", **options.pop("members", {})},
        **options,
    )
    with Progress("test") as progress:
        return archive.fetch(source, wanted or [Wanted("model.pt")], folder, progress)


def files_in(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


@MAKERS
def test_the_named_members_come_and_nothing_else(hub, tmp_path, make):
    make(hub.folder / "packed")
    wanted = Wanted("model.pt", sha256=SHA256), Wanted("top/README.md")
    assert fetch(hub, tmp_path / "model", *wanted)["model.pt"] == SHA256
    assert files_in(tmp_path) == ["model/model.pt", "model/top/README.md"]
    assert (tmp_path / "model" / "model.pt").read_bytes() == WEIGHTS


@MAKERS
def test_no_path_of_the_archive_is_one_of_the_disk(hub, tmp_path, make):
    """Even where models.yaml names such a member, it goes where the file belongs."""
    make(hub.folder / "packed", dict.fromkeys(EVIL, b"evil"))
    for member in EVIL:
        source = ArchiveSource.model_construct(
            kind="archive", url=hub.url("/files/packed"), sha256=None, members={"a": member}
        )
        with Progress("test") as progress:
            archive.fetch(source, [Wanted("a")], tmp_path / "model", progress)
    assert files_in(tmp_path) == ["model/a"]


def test_a_link_is_no_member(hub, tmp_path):
    (tmp_path / "secret").write_text("secret")
    with tarfile.open(hub.folder / "packed", "w:gz") as packed:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE):
            info = tarfile.TarInfo("top/model.pt")
            info.type, info.linkname = kind, str(tmp_path / "secret")
            packed.addfile(info)
    with pytest.raises(SourceError, match=r"no member top/model\.pt that is a plain file"):
        fetch(hub, tmp_path / "model")


def test_a_link_in_a_zip_is_no_member_either(hub, tmp_path):
    with zipfile.ZipFile(hub.folder / "packed", "w") as packed:
        info = zipfile.ZipInfo("top/model.pt")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        packed.writestr(info, str(tmp_path / "secret"))
    with pytest.raises(SourceError, match=r"no member top/model\.pt that is a plain file"):
        fetch(hub, tmp_path / "model")


@MAKERS
def test_a_bomb_is_not_unpacked(hub, tmp_path, make):
    make(hub.folder / "packed", {"top/model.pt": bytes(50_000_000)})
    with pytest.raises(SourceError, match="more than 200 times the archive's size"):
        fetch(hub, tmp_path / "model")
    assert files_in(tmp_path / "model") == []


def test_a_bomb_beside_the_member_is_not_unpacked_either(hub, tmp_path):
    make_tar(hub.folder / "packed", {"bomb": bytes(50_000_000), "top/model.pt": WEIGHTS})
    with pytest.raises(SourceError, match="more than 200 times the archive's size"):
        fetch(hub, tmp_path / "model")


@MAKERS
def test_a_missing_member_is_named(hub, tmp_path, make):
    make(hub.folder / "packed", {"other": b""})
    with pytest.raises(SourceError, match=r"/files/packed has no member top/model\.pt"):
        fetch(hub, tmp_path / "model")


@MAKERS
def test_another_member_than_models_yaml_says_is_refused(hub, tmp_path, make):
    make(hub.folder / "packed")
    with pytest.raises(SourceError, match=rf"model\.pt has SHA-256 {SHA256}, models\.yaml says 00"):
        fetch(hub, tmp_path / "model", Wanted("model.pt", sha256="0" * 64))
    assert files_in(tmp_path / "model") == []


@pytest.mark.parametrize(
    "content", [b"", b"<html>", gzip.compress(b"no tar", mtime=0), b"PK\3\4 no zip"]
)
def test_what_is_no_archive_is_said(hub, tmp_path, content):
    (hub.folder / "packed").write_bytes(content)
    with pytest.raises(SourceError, match=r"/files/packed is damaged: "):
        fetch(hub, tmp_path / "model")
    assert files_in(tmp_path / "model") == []


@MAKERS
def test_half_an_archive_is_said(hub, tmp_path, make):
    make(hub.folder / "packed")
    content = (hub.folder / "packed").read_bytes()
    (hub.folder / "packed").write_bytes(content[: len(content) // 2])
    with pytest.raises(SourceError, match=r"/files/packed is damaged: "):
        fetch(hub, tmp_path / "model")


def test_an_archive_comes_in_pieces_and_is_verified(hub, tmp_path):
    make_zip(hub.folder / "packed")
    digest = hashlib.sha256((hub.folder / "packed").read_bytes()).hexdigest()
    hub.fault("packed", "break", times=1, bytes=100)
    assert fetch(hub, tmp_path / "model", sha256=digest) == {"model.pt": SHA256}
    assert [r["range"] for r in hub.log("packed")] == [None, "bytes=100-"]
    with pytest.raises(SourceError, match="The archive: packed has SHA-256"):
        fetch(hub, tmp_path / "model", sha256="0" * 64)


def test_what_a_killed_run_has_of_an_archive_is_gone_on_with(hub, tmp_path):
    make_zip(hub.folder / "packed")
    content = (hub.folder / "packed").read_bytes()
    draft = tmp_path / "model" / DRAFTS / "archive" / DRAFTS / "packed"
    draft.parent.mkdir(parents=True)
    draft.write_bytes(content[:100])
    digest = hashlib.sha256(content).hexdigest()
    assert fetch(hub, tmp_path / "model", sha256=digest) == {"model.pt": SHA256}
    assert [r["range"] for r in hub.log("packed")] == ["bytes=100-"]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_member_that_is_damaged_is_said(hub, tmp_path, method):
    with zipfile.ZipFile(hub.folder / "packed", "w", method) as packed:
        packed.writestr("top/model.pt", WEIGHTS)
        start = len(packed.infolist()[0].FileHeader())
    content = bytearray((hub.folder / "packed").read_bytes())
    content[start + 9 : start + 40] = bytes(31)
    (hub.folder / "packed").write_bytes(content)
    with pytest.raises(SourceError, match=r"/files/packed is damaged: "):
        fetch(hub, tmp_path / "model")


@pytest.mark.parametrize("value", [b"\xff\xff\xff\xff", b"\x00\xff\x00\x00"])
def test_offsets_that_lead_nowhere_are_said(hub, tmp_path, value):
    make_zip(hub.folder / "packed")
    content = bytearray((hub.folder / "packed").read_bytes())
    for signature, place in ((b"PK\5\6", 16), (b"PK\1\2", 42)):
        odd = bytearray(content)
        at = content.index(signature) + place
        odd[at : at + 4] = value
        (hub.folder / "packed").write_bytes(odd)
        with pytest.raises(SourceError, match=r"/files/packed (is damaged: |has no member)"):
            fetch(hub, tmp_path / "model")


def test_a_full_disk_is_not_the_archive_s_fault(hub, tmp_path):
    make_zip(hub.folder / "packed")
    work = tmp_path / "model" / DRAFTS / "archive"
    work.mkdir(parents=True)
    (work / "member").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left on device"):
        fetch(hub, tmp_path / "model")


def test_an_encrypted_archive_is_said(hub, tmp_path):
    make_zip(hub.folder / "packed", {"top/model.pt": WEIGHTS})
    content = bytearray((hub.folder / "packed").read_bytes())
    for signature, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        content[content.index(signature) + offset] |= 1
    (hub.folder / "packed").write_bytes(content)
    with pytest.raises(SourceError, match=r"damaged: .*encrypted"):
        fetch(hub, tmp_path / "model")
