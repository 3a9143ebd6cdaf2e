"""Result and sound -> one web page that asks nobody for anything: pure.

Whatever a caller or a recording brought comes in as data, escaped here; the scripts put it on the
page as text. The page's policy lets no other script run and nothing be loaded.
"""

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from worker.formats import cues, rttm, said
from worker.formats.document import Document
from worker.parts import serialise
from worker.report.speech import MEDIA_TYPE, Sound
from worker.segments import Turn

ASSETS = Path(__file__).parent / "assets"
SCRIPTS = (
    "wavesurfer.min.js",
    "model.js",
    "exports.js",
    "timeline.js",
    "transcript.js",
    "search.js",
    "main.js",
)
"""In the order in which they need each other."""
LICENSE = "wavesurfer.LICENSE"
"""Its terms go where the library goes."""

SPEECH_OPENS = f'<script type="{MEDIA_TYPE};base64" id="speech">'
SCRIPT_CLOSES = "</script>"
ESCAPED = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}
"""What could end a script, and is inside strings alone wherever it is in JSON."""


def render(result: Mapping[str, Any], document: Document, sound: Sound | None = None) -> str:
    """Make the page.

    Parameters
    ----------
    result : as docs/job-api.md says; its `files` are left out.
    document : the same, for the files that the page exports.
    sound : None: the page asks for the audio, and has no waveform.

    Raises
    ------
    ValueError
        The result holds what JSON cannot, such as NaN or half a surrogate pair.
    """
    whole = {key: value for key, value in result.items() if key != "files"}
    speech = sound.speech if sound else None
    style = _asset("style.css")
    scripts = [_asset(name) for name in SCRIPTS]
    nonce = _digest(scripts[0])[:16]
    values = {
        "policy": _policy(style, scripts, nonce),
        "style": style,
        "license": _asset(LICENSE),
        "page": _data(_described(document, sound, nonce)),
        "result": serialise(whole).decode().translate(ESCAPED),
        "speech": SPEECH_OPENS + base64.b64encode(speech or b"").decode() + SCRIPT_CLOSES,
        "scripts": "".join(f"<script>{script}{SCRIPT_CLOSES}\n" for script in scripts),
    }
    # One pass: what is put in is not looked at again.
    return re.sub(r"\{\{(\w+)\}\}", lambda field: values[field[1]], _asset("template.html"))


def without_speech(page: str) -> str:
    """Take the audio out of a page, which then asks for the file."""
    head, opening, rest = page.partition(SPEECH_OPENS)
    _, closing, tail = rest.partition(SCRIPT_CLOSES)
    return head + opening + closing + tail


def _described(document: Document, sound: Sound | None, nonce: str) -> dict[str, Any]:
    """What the page needs beside the result."""
    line = rttm.render(replace(document, turns=[Turn(0.0, 1.0, 0)]))
    return {
        "name": document.name,
        "rttm_name": line.split()[1],
        "peaks": base64.b64encode(sound.peaks).decode() if sound else "",
        "nonce": nonce,
        "cues": _cues(document),
    }


def _cues(document: Document) -> list[list[Any]]:
    """Start and end in ms, the lines, the speaker, and the name with which the first line begins.

    Laying out lines is not done a second time in the browser: it only puts in other names.
    """
    return [
        [cue.start, cue.end, cue.lines, cue.speaker, cue.name]
        for cue in cues.build(said(document), named=True)
    ]


def _data(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).translate(ESCAPED)


def _policy(style: str, scripts: Sequence[str], nonce: str) -> str:
    """Content security policy: these scripts, this style, sound from memory, and nothing else.

    The nonce is for the style sheet that wavesurfer.js writes into its own shadow tree.
    """
    allowed = " ".join(f"'sha256-{_digest(script)}'" for script in scripts)
    return (
        f"default-src 'none'; script-src {allowed}; "
        f"style-src 'sha256-{_digest(style)}' 'nonce-{nonce}'; "
        "media-src blob:; img-src data:; base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")
