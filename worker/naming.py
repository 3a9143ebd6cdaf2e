"""How messages and files name what a job sent: short, printable, without secrets."""

import re
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

LIMIT = 60


def quote(value: object) -> str:
    """A value as a message shows it, whatever a caller put there."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "an array"
    if isinstance(value, str):
        return quote_name(describe_source(value) if ":" in value else value)
    return shorten(repr(value), LIMIT) if not isinstance(value, int) or value < 10**LIMIT else "…"


def quote_name(name: str) -> str:
    """A name of a caller's as a message shows it: no address, so nothing of it is hidden."""
    return repr(shorten(name, LIMIT))


def describe_source(source: str) -> str:
    """A source as messages and logs may name it: without query, userinfo or data."""
    scheme, _, rest = source.partition(":")
    if scheme.lower() == "data":
        return f"data:{shorten(re.split('[;,]', rest, maxsplit=1)[0], 40)};…"
    if scheme.lower() in ("volume", "file"):
        return shorten(source, 200)
    try:
        parts = urlsplit(source)
        port = "" if parts.port is None else f":{parts.port}"
    except ValueError:
        parts, port = None, ""
    if parts is None or not parts.hostname:
        # What is not a URL may hold a password anywhere after its first colon.
        return f"{shorten(scheme, LIMIT)}:…" if ":" in source else shorten(source, LIMIT)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return shorten(f"{parts.scheme}://{host}{port}{parts.path}", 200)


def name_of(source: str) -> str:
    """Name of a recording for its files: that of the source's file, without its ending."""
    scheme, _, rest = source.partition(":")
    path = ""
    if scheme.lower() in ("volume", "s3", "file"):
        path = rest
    elif scheme.lower() in ("http", "https"):
        path = unquote(rest.split("?")[0].split("#")[0].removeprefix("//").partition("/")[2])
    return shorten(PurePosixPath(path).stem, LIMIT) or "audio"


def shorten(text: str, limit: int) -> str:
    """At most `limit` characters, each of them printable."""
    if not text.isprintable():
        text = ascii(text[: limit + 1])[1:-1]
    return text if len(text) <= limit else f"{text[:limit]}…"
