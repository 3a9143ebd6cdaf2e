"""Which platform is meant: an endpoint of RunPod's, or a local server."""

import os
import re
import threading
from urllib.parse import urlsplit

from client.errors import UsageError
from client.platform import MAX_SAID, Platform

BASE_URL = "https://api.runpod.ai/v2"
BASE_VARIABLE = "RUNPOD_ENDPOINT_BASE_URL"
"""Names another base; the SDK reads the same."""


def of_endpoint(endpoint: str, api_key: str | None, stop: threading.Event) -> Platform:
    """Reach an endpoint of RunPod's.

    Raises
    ------
    UsageError
        There is no key, or `endpoint` is no id.
    """
    if not re.fullmatch(r"[A-Za-z0-9_-]+", endpoint):
        raise UsageError(f"endpoint {endpoint!r} is no id; it is the word after /v2/ in its URL.")
    key = (api_key if api_key is not None else os.environ.get("RUNPOD_API_KEY", "")).strip()
    if not key:
        raise UsageError(
            "there is no key; set RUNPOD_API_KEY (RunPod console, Settings, API Keys)."
        )
    if not re.fullmatch(r"[!-~]+", key):
        raise UsageError("RUNPOD_API_KEY holds blanks or characters that no key has.")
    base = _checked(os.environ.get(BASE_VARIABLE) or BASE_URL)
    return Platform(f"{base.rstrip('/')}/{endpoint}", api_key=key, is_local=False, stop=stop)


def of_url(url: str, stop: threading.Event) -> Platform:
    """Reach a local server.

    Raises
    ------
    UsageError
        `url` is no address.
    """
    return Platform(_checked(url), api_key=None, is_local=True, stop=stop)


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
        is_fine = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        is_fine = False
    if not is_fine or parts.query or parts.fragment or parts.username:
        raise UsageError(f"the address of a server is http://host:port, not {url[:MAX_SAID]!r}.")
    return url
