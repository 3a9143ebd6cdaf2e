"""Bundles that are damaged, foreign or lie: refused before anything is written."""

import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.bundles import SAMPLE, Tiny, applied, changed, flipped, tiny
from volume_bootstrap.bundle.archive import BLOCK, DIGEST, MANIFEST, header, opened
from volume_bootstrap.errors import BundleError
from volume_bootstrap.files import sha256_of
from volume_bootstrap.layout import Volume


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tiny]:
    with tiny(tmp_path_factory.mktemp("made")) as found:
        found.set_up()
        yield found


@pytest.fixture(scope="module")
def path(made: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("bundle") / "tiny.tar"
    made.bundle(found)
    return found


def refused(path: Path, root: Path) -> str:
    """Apply a bundle to a volume that is not there; say why not, once it is still not there."""
    with pytest.raises(BundleError) as error:
        applied(path, Volume(root / "volume"))
    assert not (root / "volume").exists()
    return str(error.value)


def test_any_tool_lists_a_bundle(path, made):
    with tarfile.open(path) as tar:
        first, *files, last = tar.getmembers()
        assert (first.name, last.name) == (MANIFEST, DIGEST)
        assert {f"files/{sha256_of(made.checkout.root / SAMPLE)}"} < {f.name for f in files}
    assert list(path.parent.iterdir()) == [path]  # what was fetched is gone


@pytest.mark.parametrize(
    ("kept", "words"),
    [
        *((kept, "is no bundle") for kept in (0, 1, 511)),
        *((kept, "is cut off") for kept in (700, 0.3, 0.9, -1025, -1)),
    ],
)
def test_a_bundle_that_was_cut_off_is_refused(path, tmp_path, kept, words):
    content = path.read_bytes()
    kept = int(kept * len(content)) if isinstance(kept, float) else kept
    cut = tmp_path / "cut.tar"
    cut.write_bytes(content[:kept])
    assert f"{cut} {words}" in refused(cut, tmp_path)


@pytest.mark.parametrize("kind", ["greeting-1.0-py3-none-any.whl", "vad/am.mvn", "sample.wav"])
def test_a_bit_of_a_content_is_named_with_what_it_is_of(path, tmp_path, kind):
    with opened(path) as bundle:
        (digest,) = (d for d, name in bundle.manifest.names().items() if name == kind)
        middle = bundle.members[digest].start + bundle.members[digest].size // 2
    assert f"it is damaged: {kind}." in refused(flipped(path, tmp_path / "bad", middle), tmp_path)


@pytest.mark.parametrize("place", ["first header", "manifest", "header", "digest", "end"])
def test_a_bit_of_the_form_is_found(path, tmp_path, place):
    with opened(path) as bundle:
        first, second, *_, last = bundle.members.values()
    offset = {
        "first header": 100,
        "manifest": first.start + first.size // 2,
        "header": second.header + 140,
        "digest": last.start + 5,
        "end": last.end + 700,
    }[place]
    said = refused(flipped(path, tmp_path / "bad", offset), tmp_path)
    assert any(word in said for word in ("is damaged", "is no bundle", "is wrong"))


def test_each_bit_of_the_manifest_counts(path, tmp_path):
    with opened(path) as bundle:
        first = bundle.members[MANIFEST]
    for offset in range(first.start, first.start + first.size, first.size // 40):
        refused(flipped(path, tmp_path / "bad", offset), tmp_path)


@pytest.mark.parametrize("content", [b"", b"no bundle", bytes(4096), header("other", 3)])
def test_what_is_no_bundle_is_refused(tmp_path, content):
    (tmp_path / "file").write_bytes(content)
    assert "is no bundle" in refused(tmp_path / "file", tmp_path)


def test_what_is_no_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name in ("nothing", ".", "pipe"):
        assert "is no file" in refused(tmp_path / name, tmp_path)


@pytest.mark.parametrize("size", [-1, 10**12, 2**80])
def test_a_manifest_of_a_huge_size_is_not_read(tmp_path, size):
    info = tarfile.TarInfo(MANIFEST)
    info.size = size
    (tmp_path / "file").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(BLOCK))
    assert "its manifest would have" in refused(tmp_path / "file", tmp_path)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("../../evil", tarfile.REGTYPE),
        ("/evil", tarfile.REGTYPE),
        (None, tarfile.SYMTYPE),
        (None, tarfile.LNKTYPE),
        (None, tarfile.DIRTYPE),
        (None, tarfile.XHDTYPE),
        (None, tarfile.GNUTYPE_SPARSE),
    ],
)
def test_members_are_plain_files_of_the_names_they_must_have(path, tmp_path, name, kind):
    content = bytearray(path.read_bytes())
    with opened(path) as bundle:
        member = list(bundle.members.values())[1]
    info = tarfile.TarInfo(name or member.name)
    info.size, info.type, info.linkname = member.size, kind, "/etc/passwd"
    content[member.header : member.start] = info.tobuf(tarfile.GNU_FORMAT)
    (tmp_path / "bad").write_bytes(content)
    assert f"at byte {member.header} is no header" in refused(tmp_path / "bad", tmp_path)


def test_a_member_too_many_is_refused(path, tmp_path):
    more = io.BytesIO(path.read_bytes())
    with tarfile.open(fileobj=more, mode="a") as tar:
        tar.addfile(tarfile.TarInfo("more"))
    (tmp_path / "more").write_bytes(more.getvalue())
    assert "does not end where it should" in refused(tmp_path / "more", tmp_path)


def of_python(version: str) -> Any:
    return lambda m: m.update(python=version)


LIES = {
    "is a bundle of format 99": lambda m: m.update(format=99),
    "is a bundle of format None": lambda m: m.pop("format"),
    "project: String should match": lambda m: m.update(project="../tiny"),
    "records: Field required": lambda m: m.pop("records"),
    "more: Extra inputs": lambda m: m.update(more=1),
    "is not a relative path": lambda m: m["records"][0]["files"][0].update(path="../../evil"),
    "'/evil' is not": lambda m: m["records"][0]["files"][0].update(path="/evil"),
    "samples.0.name": lambda m: m["samples"][0].update(name="../evil"),
    "wheels.0.name": lambda m: m["wheels"][0].update(name="../evil-1.0-py3-none-any.whl"),
    "wheels.0.sha256": lambda m: m["wheels"][0].update(sha256="../evil"),
    "wheels.0.size": lambda m: m["wheels"][0].update(size=-1),
    "is cut off": lambda m: m["wheels"][0].update(size=2**62),
    "are not those of `models`": lambda m: m["records"][0].update(id="tests/other"),
    "which the project has not": lambda m: m.update(variant="cuda"),
    "it is for Python 3.9, this is": of_python("3.9"),
    "do not run on this machine": lambda m: m["wheels"][0].update(
        name="greeting-1.0-cp311-cp311-manylinux_2_28_sparc.whl"
    ),
    "has not the packages that its lock lists: greeting, other": lambda m: m["wheels"][0].update(
        package="other"
    ),
    "holds a lock that cannot be read": lambda m: m.update(lock="[["),
    "it counts on greeting 0.9 of the image": lambda m: m.update(image={"greeting": "0.9"}),
    "was exported otherwise": lambda m: m["records"][0].update(export="0"),
    " TB are needed. Free ": lambda m: m["wheels"][0].update(laid_bytes=2**60),
}


def with_path(path: str) -> Any:
    """A model whose first file has this path, in its description, too."""

    def change(manifest: dict[str, Any]) -> None:
        for model in (manifest["models"][0], manifest["records"][0]):
            model["files"][0]["path"] = path

    return change


def with_lock(old: str, new: str) -> Any:
    def change(manifest: dict[str, Any]) -> None:
        assert old in manifest["lock"]
        manifest["lock"] = manifest["lock"].replace(old, new, 1)

    return change


def twice(key: str) -> Any:
    return lambda m: m[key].append(m[key][0])


UNWRITABLE = {
    "zero byte": ("is no plain path", with_path("a\0b")),
    "lone surrogate": ("is no plain path", with_path("a\ud800")),
    "the folder itself": ("no plain path", with_path(".")),
    "detour": ("is no plain path", with_path("a/./b")),
    "a file that is a folder": ("contradict each other", with_path("config.yaml/x")),
    "long part": ("more than 255 bytes", with_path("a/" + "ü" * 128)),
    "own record": ("keeps itself", with_path(".record.json")),
    "modelscope's": ("keeps itself", with_path(".msc")),
    "draft": ("keeps itself", with_path(".incomplete/x")),
    "long sample": ("more than 247 bytes", lambda m: m["samples"][0].update(name="a" * 250)),
    "long project": ("at most 247", lambda m: m.update(project="a" * 250)),
    "long wheel": (
        "at most 247",
        lambda m: m["wheels"][0].update(name=f"greeting-{'1' * 250}-py3-none-any.whl"),
    ),
    "wheel twice": ("py3-none-any.whl is there twice", twice("wheels")),
    "sample twice": ("sample.wav is there twice", twice("samples")),
    "folder": (
        "holds a lock that is none",
        with_lock('name = "greeting"', 'name = "greeting"\ndirectory = { path = "/etc" }'),
    ),
    "number": ("holds a lock that is none", with_lock('name = "greeting"', "name = 7")),
}


@pytest.mark.parametrize("kind", UNWRITABLE)
def test_what_could_not_be_written_is_refused_before(path, tmp_path, kind):
    says, change = UNWRITABLE[kind]
    assert says in refused(changed(path, tmp_path / "bad", change), tmp_path)


@pytest.mark.parametrize("says", LIES)
def test_a_manifest_that_does_not_hold_here_is_refused(path, tmp_path, says):
    assert says in refused(changed(path, tmp_path / "bad", LIES[says]), tmp_path)


def test_all_that_stands_against_it_is_told_at_once(path, tmp_path):
    def lie(manifest: dict[str, Any]) -> None:
        manifest.update(python="3.9", image={"greeting": "0.9"})
        manifest["wheels"][0].update(laid_bytes=2**60)

    bad = changed(path, tmp_path / "bad", lie)
    with opened(bad) as bundle:
        (digest,) = (d for d, name in bundle.manifest.names().items() if name == "vad/am.mvn")
        start = bundle.members[digest].start
    said = refused(flipped(bad, tmp_path / "worse", start), tmp_path).splitlines()[1:]
    assert [line.split(maxsplit=4)[:4] for line in said] == [
        ["it", "is", "for", "Python"],
        ["it", "counts", "on", "greeting"],
        [str(tmp_path), "has", *said[2].split()[2:4]],
        ["it", "is", "damaged:", "vad/am.mvn."],
    ]
