"""Hugging Face's hub: its own client lists a model's files; their bytes come by `transfer`."""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from volume_bootstrap.errors import SourceError
from volume_bootstrap.progress import Progress
from volume_bootstrap.sources import transfer, web
from volume_bootstrap.sources.transfer import save_all
from volume_bootstrap.sources.wanted import NO_LIST, Model, Wanted, address_name

if TYPE_CHECKING:
    from huggingface_hub import ModelInfo

DEFAULT_ENDPOINT = "https://huggingface.co"


def look_up(model: Model) -> list[Wanted]:
    """List a model's files, with sizes and SHA-256; of small files with git's digest instead."""
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    endpoint = _endpoint()
    web.reach(endpoint, "HF_ENDPOINT")
    try:
        listed = _info(endpoint, model).siblings or []
    except OfflineModeIsEnabled as error:
        raise SourceError("HF_HUB_OFFLINE is set, so the hub is not asked; unset it.") from error
    except HfHubHTTPError as error:
        raise SourceError(_explain(endpoint, model, error.response.status_code)) from error
    except (httpx2.HTTPError, httpx2.InvalidURL, *NO_LIST) as error:
        raise SourceError(
            f"{address_name(endpoint)} on the list of {model.id}: {type(error).__name__}."
        ) from error
    return [
        Wanted(file.rfilename, file.size, file.lfs.sha256)
        if file.lfs
        else Wanted(file.rfilename, file.size, git_sha1=file.blob_id)
        for file in listed
    ]


def _info(endpoint: str, model: Model) -> "ModelInfo":
    """Ask for the list: one answer, with a limit of time, which the hub's tree of pages lacks."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    failures = 0
    while True:
        try:
            return HfApi(endpoint=endpoint).model_info(
                model.id,
                revision=model.revision,
                files_metadata=True,
                timeout=transfer.READ_TIMEOUT_S,
            )
        except HfHubHTTPError as error:
            failures += 1
            if error.response.status_code not in transfer.RETRIED or failures == transfer.ATTEMPTS:
                raise
        time.sleep(transfer.BACKOFF_S * 2**failures)


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
    return (os.environ.get("HF_ENDPOINT") or DEFAULT_ENDPOINT).rstrip("/")


def _refused(endpoint: str, model: Model, status: int) -> str:
    if status in {401, 403}:
        return (
            f"The model is gated or private: accept its conditions on "
            f"{address_name(endpoint)}/{model.id} and set HF_TOKEN to a token of that account."
        )
    return ""


def _explain(endpoint: str, model: Model, status: int) -> str:
    reason = f"answers {status}"
    if status == 404:
        reason = f"has no such model, or no revision {model.revision or 'main'} of it"
    text = f"{address_name(endpoint)} on the list of {model.id}: {reason}."
    return f"{text} {_refused(endpoint, model, status)}".rstrip()
