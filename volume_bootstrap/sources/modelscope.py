"""ModelScope's hub: its own client lists a model's files; their bytes come by `transfer`.

The client's own download is as fast, but keeps no digest for the manifest, so that all would be
read again; it locks in a way that a killed pod can wedge for hours; and every other source needs a
download anyway.
"""

import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import requests

from volume_bootstrap.errors import SourceError
from volume_bootstrap.progress import Progress
from volume_bootstrap.sources import web
from volume_bootstrap.sources.transfer import save_all
from volume_bootstrap.sources.wanted import NO_LIST, Model, Wanted, address_name

if TYPE_CHECKING:
    from modelscope_hub import HubApi

DEFAULT_REVISION = "master"


def look_up(model: Model) -> list[Wanted]:
    """List a model's files, with sizes and SHA-256."""
    from modelscope_hub.errors import HubError

    # The client keeps an id of this installation, and a log, in a folder of its own.
    with tempfile.TemporaryDirectory(prefix="speech-modelscope-") as home:
        api = _api(home)
        web.reach(api.legacy.endpoint, "MODELSCOPE_ENDPOINT")
        try:
            listed = api.list_repo_files(
                model.id, "model", revision=model.revision or DEFAULT_REVISION
            )
        except (HubError, requests.RequestException, *NO_LIST) as error:
            raise SourceError(_explain(api.legacy.endpoint, model, error)) from error
    return [Wanted(file.path, file.size, file.sha256) for file in listed if file.type != "tree"]


def fetch(
    model: Model, wanted: Sequence[Wanted], folder: Path, progress: Progress
) -> dict[str, str]:
    """Download files of a model."""
    with tempfile.TemporaryDirectory(prefix="speech-modelscope-") as home:
        client = _api(home).legacy
    headers = {}
    if client.token:
        # Older endpoints read the cookie, newer ones the header; the client sends both.
        headers["Authorization"] = f"Bearer {client.token}"
        headers["Cookie"] = f"m_session_id={client.token}"
    revision = model.revision or DEFAULT_REVISION

    def address(file: Wanted) -> str:
        return str(client.get_download_url(model.id, "model", file.path, revision))

    with web.session(headers) as session:
        return save_all(
            wanted, folder, lambda file: web.opener(session, address(file), _refused), progress
        )


def _api(home: str) -> "HubApi":
    from modelscope_hub import HubApi
    from modelscope_hub.config import HubConfig

    # Its own lines, on a handler of its own, would run into the bars; what fails is raised too.
    logging.getLogger("modelscope_hub").setLevel(logging.CRITICAL)
    return HubApi(HubConfig(config_dir=Path(home), cache_dir=Path(home)))


def _refused(status: int) -> str:
    if status in {401, 403}:
        return "Set MODELSCOPE_API_TOKEN to a token that may read the model."
    return ""


def _explain(endpoint: str, model: Model, error: Exception) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    status = status or getattr(error, "status_code", None)
    revision = model.revision or DEFAULT_REVISION
    reason = f"answers {status}" if status else type(error).__name__
    if status == 404:
        reason = f"has no such model, or no revision {revision} of it"
    text = f"{address_name(endpoint)} on the list of {model.id}: {reason}."
    return f"{text} {_refused(status or 0)}".rstrip()
