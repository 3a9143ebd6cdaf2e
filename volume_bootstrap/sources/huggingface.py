"""Hugging Face's hub: its own client lists a model's files; their bytes come by `transfer`."""

import os
from collections.abc import Sequence
from pathlib import Path

from volume_bootstrap.errors import SourceError
from volume_bootstrap.progress import Progress
from volume_bootstrap.sources import web
from volume_bootstrap.sources.transfer import save_all
from volume_bootstrap.sources.wanted import NO_LIST, Model, Wanted, address_name

DEFAULT_ENDPOINT = "https://huggingface.co"


def look_up(model: Model) -> list[Wanted]:
    """List a model's files, with sizes and SHA-256; of small files with git's digest instead."""
    import httpx2
    from huggingface_hub import HfApi, RepoFile
    from huggingface_hub.errors import HfHubHTTPError

    endpoint = _endpoint()
    web.reach(endpoint)
    try:
        tree = HfApi(endpoint=endpoint).list_repo_tree(
            model.id, recursive=True, revision=model.revision
        )
        listed = [entry for entry in tree if isinstance(entry, RepoFile)]
    except HfHubHTTPError as error:
        raise SourceError(_explain(endpoint, model, error.response.status_code)) from error
    except (httpx2.HTTPError, *NO_LIST) as error:
        raise SourceError(
            f"{address_name(endpoint)} on the list of {model.id}: {type(error).__name__}."
        ) from error
    return [
        Wanted(file.path, file.size, file.lfs.sha256)
        if file.lfs
        else Wanted(file.path, file.size, git_sha1=file.blob_id)
        for file in listed
    ]


def fetch(
    model: Model, wanted: Sequence[Wanted], folder: Path, progress: Progress
) -> dict[str, str]:
    """Download files of a model."""
    from huggingface_hub import get_token, hf_hub_url

    endpoint = _endpoint()

    def address(file: Wanted) -> str:
        return hf_hub_url(model.id, file.path, revision=model.revision, endpoint=endpoint)

    def refused(status: int) -> str:
        return _refused(endpoint, model, status)

    token = get_token()
    with web.session({"Authorization": f"Bearer {token}"} if token else {}) as session:
        return save_all(
            wanted, folder, lambda file: web.opener(session, address(file), refused), progress
        )


def _endpoint() -> str:
    return os.environ.get("HF_ENDPOINT", DEFAULT_ENDPOINT).rstrip("/")


def _refused(endpoint: str, model: Model, status: int) -> str:
    if status in {401, 403}:
        return (
            f"The model is gated or private: accept its conditions on {endpoint}/{model.id} and "
            "set HF_TOKEN to a token of that account."
        )
    return ""


def _explain(endpoint: str, model: Model, status: int) -> str:
    reason = f"answers {status}"
    if status == 404:
        reason = f"has no such model, or no revision {model.revision or 'main'} of it"
    text = f"{address_name(endpoint)} on the list of {model.id}: {reason}."
    return f"{text} {_refused(endpoint, model, status)}".rstrip()
