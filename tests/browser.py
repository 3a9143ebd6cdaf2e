"""A real browser for pages: whatever they ask the network for, or complain about, is an error."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, Request, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = [
    "--no-sandbox",  # tests run as root, too
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
    "--autoplay-policy=no-user-gesture-required",
]
LOCAL = ("file:", "data:", "blob:")


def find() -> str:
    """Path of the browser.

    Raises
    ------
    FileNotFoundError
        There is none.
    """
    for name in NAMES:
        if path := shutil.which(name):
            return path
    raise FileNotFoundError(
        f"No browser: none of {', '.join(NAMES)} is on PATH. Install one, such as Debian's "
        "package chromium."
    )


@contextmanager
def browser() -> Iterator[Browser]:
    """A headless browser, for all pages of a module."""
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=find(), args=OPTIONS)
        try:
            yield running
        finally:
            running.close()


@contextmanager
def opened(running: Browser, path: Path, **options: Any) -> Iterator[Page]:
    """Open a page that is a file; at the end it must have asked for nothing and logged no error.

    Nothing scrolls by itself, so that what is pointed at stays there, but where `reduced_motion`
    asks for it.
    """
    complaints: list[str] = []

    def look(request: Request) -> None:
        if not request.url.startswith(LOCAL):
            complaints.append(f"asked for {request.url}")

    calm = {"viewport": {"width": 1280, "height": 900}, "reduced_motion": "reduce"}
    with running.new_context(**{**calm, **options}) as context:
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("request", look)
        page.on("requestfailed", lambda r: complaints.append(f"failed: {r.url[:80]} {r.failure}"))
        page.on("pageerror", lambda error: complaints.append(f"raised {error}"))
        page.on(
            "console",
            lambda m: complaints.append(m.text) if m.type in ("error", "warning") else None,
        )
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-ready]", state="attached")
        # Chromium forgets a place that is sought while it reads how long the sound is.
        wait(page, "!audio.src || audio.readyState > 0")
        yield page
        if complaints:
            raise AssertionError("; ".join(complaints))


def wait(page: Page, condition: str) -> None:
    """Wait until an expression is true; pages under a strict policy cannot evaluate it themselves.

    Raises
    ------
    TimeoutError
        It has not become true for a minute.
    """
    end = time.monotonic() + 60
    while not page.evaluate(condition):
        if time.monotonic() > end:
            raise TimeoutError(f"not true after a minute: {condition}")
        page.wait_for_timeout(30)
