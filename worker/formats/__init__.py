"""Results as files: pure functions, one format a module.

JSON is not among them: it is the reply itself.
"""

from collections.abc import Sequence

from worker.formats import rttm, txt
from worker.segments import Turn

_WRITERS = {"txt": txt.render, "rttm": rttm.render}


def render(formats: Sequence[str], turns: Sequence[Turn], name: str) -> dict[str, str]:
    """Text of each format but JSON, by its name; `name` names the recording."""
    return {f: _WRITERS[f](turns, name) for f in formats if f in _WRITERS}
