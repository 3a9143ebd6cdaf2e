"""ModelScope and Hugging Face, as their own clients speak to a hub in a process of its own."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub_server import TOKEN, HubServer
from volume_bootstrap import sources
from volume_bootstrap.errors import SourceError
from volume_bootstrap.progress import Progress
from volume_bootstrap.project_files import (
    FileEntry,
    HuggingFaceSource,
    ModelEntry,
    ModelScopeSource,
)
from volume_bootstrap.sources import transfer, web

CONTENTS = {"model.pt": b"weights" * 1_000, "README.md": b"# A model", "sub/am.mvn": b"<Nnet>"}
MODELSCOPE = ModelScopeSource(kind="modelscope")
HUGGINGFACE = HuggingFaceSource(kind="huggingface")
BOTH = pytest.mark.parametrize("source", [MODELSCOPE, HUGGINGFACE], ids=lambda s: s.kind)


def sha256(path: str) -> str:
    return hashlib.sha256(CONTENTS[path]).hexdigest()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    folder = tmp_path_factory.mktemp("hub")
    for model in ("org/name", "org/odd", "private/name"):
        for path, content in CONTENTS.items():
            file = folder / model / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
    (folder / "org" / "odd" / ".record.json").write_bytes(b"{}")
    with HubServer(folder) as started:
        yield started


@pytest.fixture
def hub(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> HubServer:
    server.reset()
    for variable in ("MODELSCOPE_API_TOKEN", "HF_TOKEN"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(transfer, "BACKOFF_S", 0.001)
    monkeypatch.setenv("MODELSCOPE_ENDPOINT", server.url())
    monkeypatch.setenv("HF_ENDPOINT", server.url())
    return server


def entry(*files: FileEntry, model_id: str = "org/name", revision: str | None = None) -> ModelEntry:
    return ModelEntry(
        alias="asr",
        id=model_id,
        revision=revision,
        task="asr",
        engine="funasr",
        licence="MIT",
        files=list(files),
        sources=[MODELSCOPE],
    )


def fetch(
    source: ModelScopeSource | HuggingFaceSource, model: ModelEntry, folder: Path
) -> dict[str, str]:
    with Progress("test") as progress:
        wanted = sources.look_up(source, model)
        return sources.fetch(source, model, wanted, folder, progress)


@BOTH
def test_all_that_the_hub_lists_comes(hub, tmp_path, source):
    digests = fetch(source, entry(), tmp_path / "model")
    assert digests == {path: sha256(path) for path in CONTENTS}
    for path, content in CONTENTS.items():
        assert (tmp_path / "model" / path).read_bytes() == content


@BOTH
def test_only_the_files_of_models_yaml_come(hub, tmp_path, source):
    wanted = entry(FileEntry(path="sub/am.mvn"), revision="v1.0.0")
    assert fetch(source, wanted, tmp_path / "model") == {"sub/am.mvn": sha256("sub/am.mvn")}
    assert not hub.log("README")


@BOTH
def test_another_name_on_the_hub_is_used(hub, tmp_path, source):
    named = source.model_copy(update={"id": "org/name", "revision": "v1.0.0"})
    wanted = entry(model_id="iic/elsewhere", revision="v9")
    assert len(fetch(named, wanted, tmp_path / "model")) == 3


@BOTH
def test_what_breaks_off_is_gone_on_with(hub, tmp_path, source):
    hub.fault("model.pt", "break", times=1, bytes=3_000)
    assert fetch(source, entry(), tmp_path / "model")["model.pt"] == sha256("model.pt")
    assert [r["range"] for r in hub.log("model.pt")] == [None, "bytes=3000-"]


@BOTH
@pytest.mark.parametrize("path", ["model.pt", "README.md"])
def test_another_file_than_the_list_tells_is_refused(hub, tmp_path, source, path):
    """The small ones, too: of them Hugging Face tells only git's digest."""
    hub.fault(path, "wrong")
    with pytest.raises(SourceError, match=rf"{path} has SHA-256 \w+, not .*the source is damaged"):
        fetch(source, entry(), tmp_path / "model")
    assert not (tmp_path / "model" / path).exists()


@BOTH
def test_another_digest_in_models_yaml_is_noticed_before_a_byte_comes(hub, tmp_path, source):
    wanted = entry(FileEntry(path="model.pt", sha256="0" * 64))
    with pytest.raises(SourceError, match=r"lists model\.pt with SHA-256 .*models\.yaml says 0000"):
        fetch(source, wanted, tmp_path / "model")
    assert not hub.log("model.pt")


@BOTH
def test_a_file_that_the_hub_does_not_list_is_named(hub, tmp_path, source):
    with pytest.raises(SourceError, match=r"lists no other\.pt; it has: README\.md, model\.pt"):
        fetch(source, entry(FileEntry(path="other.pt")), tmp_path / "model")


@BOTH
@pytest.mark.parametrize("wanted", [{"model_id": "org/none"}, {"revision": "v9"}])
def test_a_model_or_revision_that_is_not_there_is_said(hub, tmp_path, source, wanted):
    with pytest.raises(SourceError, match=r"has no such model, or no revision \w+ of it"):
        fetch(source, entry(**wanted), tmp_path / "model")


@BOTH
def test_a_private_model_tells_which_variable_to_set(hub, tmp_path, source, monkeypatch):
    wanted = entry(model_id="private/name")
    variable = "HF_TOKEN" if source is HUGGINGFACE else "MODELSCOPE_API_TOKEN"
    with pytest.raises(SourceError, match=rf"private/name: answers 40[13]\. .*{variable}"):
        fetch(source, wanted, tmp_path / "model")
    monkeypatch.setenv(variable, TOKEN)
    assert len(fetch(source, wanted, tmp_path / "model")) == 3


@BOTH
def test_files_that_are_gated_tell_it_too(hub, tmp_path, source):
    hub.fault("/resolve/", "status", status=403)
    hub.fault("FilePath=", "status", status=403)
    with pytest.raises(SourceError, match=r"answers 403 Forbidden\. .*TOKEN"):
        fetch(source, entry(), tmp_path / "model")


@BOTH
def test_a_token_does_not_follow_a_redirect_to_another_host(hub, tmp_path, source, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("MODELSCOPE_API_TOKEN", TOKEN)
    elsewhere = f"http://localhost:{hub.port}/files/org/name/model.pt"
    hub.fault("/resolve/main/model.pt", "redirect", to=elsewhere)
    hub.fault("FilePath=model.pt", "redirect", to=elsewhere)
    fetch(source, entry(FileEntry(path="model.pt")), tmp_path / "model")
    redirected = hub.log("/files/org/name/model.pt")
    assert redirected
    assert not any(request["authorised"] for request in redirected)
    assert any(request["authorised"] for request in hub.log())


@BOTH
def test_a_hub_that_is_down_is_said_at_once(tmp_path, source, monkeypatch):
    monkeypatch.setenv("MODELSCOPE_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(SourceError, match=r"127\.0\.0\.1:9 cannot be reached: Connection refused"):
        fetch(source, entry(), tmp_path / "model")


@BOTH
def test_a_list_that_fails_is_no_traceback(hub, tmp_path, source):
    hub.fault("/repo/files", "page")
    hub.fault("/api/models/", "page")
    with pytest.raises(SourceError, match=r"on the list of org/name: \w+"):
        fetch(source, entry(), tmp_path / "model")


def test_a_tool_s_own_files_are_no_part_of_a_model(hub, tmp_path):
    digests = fetch(MODELSCOPE, entry(model_id="org/odd"), tmp_path / "model")
    assert digests == {path: sha256(path) for path in CONTENTS}


def answer(hub: HubServer, source: object, *files: dict[str, object], **changes: object) -> None:
    """Let the hub answer a list of files, as the source's hub writes it."""
    if source is HUGGINGFACE:
        found = [{"rfilename": f["path"], "size": 7_000, "blobId": "0" * 40} | f for f in files]
        body = {"id": "org/name", "siblings": found}
    else:
        found = [{"Type": "blob", "Path": f["path"], "Size": 7_000} | f for f in files]
        body = {"Code": 200, "Success": True, "Data": {"Files": found}}
    text = json.dumps({**body, **changes})
    hub.fault("/api/", "answer", body=text, headers={"Content-Type": "application/json"})


@pytest.mark.parametrize(
    ("source", "changes"),
    [
        (MODELSCOPE, {"Data": {"Files": []}}),
        (MODELSCOPE, {"Data": {"Files": None}}),
        (MODELSCOPE, {"Data": None, "Success": False, "Code": 500, "Message": "busy"}),
        (MODELSCOPE, {"Data": {"Files": [{"Type": "tree", "Path": "sub", "Size": 0}]}}),
        (HUGGINGFACE, {"siblings": []}),
        (HUGGINGFACE, {"siblings": None}),
    ],
)
@pytest.mark.parametrize("files", [[], [FileEntry(path="model.pt")]])
def test_a_list_of_nothing_is_no_model(hub, tmp_path, source, changes, files):
    answer(hub, source, **changes)
    with pytest.raises(SourceError, match="The hub lists no file of org/name: it is empty, or"):
        fetch(source, entry(*files), tmp_path / "model")


LONG = "a" * 241
ODD = [
    None,
    5,
    "",
    "../x",
    "./x",
    "/etc/passwd",
    "a//b",
    "a\0b",
    "a\ud800b",
    LONG,
    "a/" * 600 + "a",
]


@BOTH
@pytest.mark.parametrize("path", ODD)
def test_a_path_that_no_folder_can_hold_is_refused(hub, tmp_path, source, path):
    answer(hub, source, {"path": path})
    with pytest.raises(SourceError, match="which no model's folder can hold"):
        fetch(source, entry(), tmp_path / "model")
    assert not (tmp_path / "model").exists()


@BOTH
@pytest.mark.parametrize(
    ("paths", "words"),
    [(["a", "a"], "lists 'a' twice"), (["a/b/c", "a"], "lists 'a' as a file and as a folder")],
)
def test_paths_that_exclude_each_other_are_refused(hub, tmp_path, source, paths, words):
    answer(hub, source, *({"path": path} for path in paths))
    with pytest.raises(SourceError, match=words):
        fetch(source, entry(), tmp_path / "model")


@pytest.mark.parametrize("value", [4, "abc", "g" * 64])
def test_a_digest_that_is_none_is_refused(hub, tmp_path, value):
    answer(hub, MODELSCOPE, {"path": "model.pt", "Sha256": value})
    with pytest.raises(SourceError, match=r"lists model\.pt with '\w+' for a SHA-256"):
        fetch(MODELSCOPE, entry(), tmp_path / "model")


@pytest.mark.parametrize(
    "told", [{"Sha256": sha256("model.pt").upper()}, {"Size": 0}, {"Size": None, "Sha256": ""}]
)
def test_hubs_write_nothing_and_digests_in_several_ways(hub, tmp_path, told):
    answer(hub, MODELSCOPE, {"path": "model.pt", **told})
    wanted = sources.look_up(MODELSCOPE, entry())
    hub.reset()
    with Progress("test") as progress:
        digests = sources.fetch(MODELSCOPE, entry(), wanted, tmp_path / "model", progress)
    assert digests == {"model.pt": sha256("model.pt")}


def test_hugging_face_has_a_revision_of_its_own_for_another_name(hub, tmp_path):
    named = HUGGINGFACE.model_copy(update={"id": "org/name"})
    wanted = entry(model_id="iic/elsewhere", revision="v2.0.4")
    assert len(fetch(named, wanted, tmp_path / "model")) == 3
    with pytest.raises(SourceError, match=r"no revision v2\.0\.4 of it"):
        fetch(HUGGINGFACE, entry(revision="v2.0.4"), tmp_path / "model")


def test_a_list_that_stalls_is_given_up(hub, tmp_path, monkeypatch):
    monkeypatch.setattr(web, "READ_TIMEOUT_S", 0.2)
    hub.fault("/api/models/", "silent")
    with pytest.raises(SourceError, match=r"on the list of org/name: ReadTimeout\."):
        fetch(HUGGINGFACE, entry(), tmp_path / "model")


def test_a_list_that_fails_for_a_moment_is_asked_for_again(hub, tmp_path):
    hub.fault("/api/models/", "status", times=3, status=503)
    assert len(fetch(HUGGINGFACE, entry(), tmp_path / "model")) == 3
    hub.fault("/api/models/", "status", status=429)
    with pytest.raises(SourceError, match=r"on the list of org/name: answers 429\."):
        fetch(HUGGINGFACE, entry(), tmp_path / "model")


@BOTH
def test_credentials_of_an_endpoint_are_in_no_message(hub, tmp_path, source, monkeypatch):
    secret = f"http://user:secret@127.0.0.1:{hub.port}"
    monkeypatch.setenv("MODELSCOPE_ENDPOINT", secret)
    monkeypatch.setenv("HF_ENDPOINT", secret)
    hub.fault("/api/", "status", status=401)
    with pytest.raises(SourceError, match="answers 401") as caught:
        fetch(source, entry(), tmp_path / "model")
    assert "secret" not in str(caught.value)


@BOTH
@pytest.mark.parametrize(
    "endpoint", ["http://127.0.0.1:abc", "http://[::1/", "http://", "gopher:x"]
)
def test_an_endpoint_that_is_no_address_is_said(tmp_path, source, monkeypatch, endpoint):
    variable = "HF_ENDPOINT" if source is HUGGINGFACE else "MODELSCOPE_ENDPOINT"
    monkeypatch.setenv(variable, endpoint)
    with pytest.raises(SourceError, match=rf"{variable} is no address|cannot be reached"):
        fetch(source, entry(), tmp_path / "model")


OFFLINE = """
from volume_bootstrap.errors import SourceError
from volume_bootstrap.sources import huggingface
from volume_bootstrap.sources.wanted import Model
try:
    huggingface.look_up(Model("org/name", None))
except SourceError as error:
    print(error)
"""


def test_hugging_face_s_client_may_be_told_to_stay_offline(hub):
    """It reads the variable when it is imported."""
    variables = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": os.curdir}
    command = [sys.executable, "-c", OFFLINE]
    ended = subprocess.run(command, env=variables, check=True, capture_output=True, text=True)
    assert ended.stdout.startswith("HF_HUB_OFFLINE is set, so the hub is not asked; unset it.")
    assert ended.stderr == ""


LIST = """
import sys
from volume_bootstrap.sources import huggingface, modelscope
from volume_bootstrap.sources.wanted import Model
for module in (huggingface, modelscope):
    assert len(module.look_up(Model("org/name", None))) == 3
"""


def test_the_clients_leave_nothing_at_home(hub, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    environment = {"HOME": str(home), "TMPDIR": str(home), "PYTHONPATH": os.curdir}
    subprocess.run([sys.executable, "-c", LIST], env={**os.environ, **environment}, check=True)
    assert list(home.iterdir()) == []
