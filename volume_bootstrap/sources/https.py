"""Files below an address."""

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from volume_bootstrap.progress import Progress
from volume_bootstrap.project_files import HttpsSource
from volume_bootstrap.sources import web
from volume_bootstrap.sources.transfer import save_all
from volume_bootstrap.sources.wanted import Wanted


def fetch(
    source: HttpsSource, wanted: Sequence[Wanted], folder: Path, progress: Progress
) -> dict[str, str]:
    """Download each from ``<url>/<path>``."""
    base = source.url.rstrip("/")
    with web.session() as session:
        return save_all(
            wanted,
            folder,
            lambda file: web.opener(session, f"{base}/{quote(file.path)}"),
            progress,
        )
