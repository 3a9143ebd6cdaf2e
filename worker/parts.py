"""Parts of a result, cut to what one message may hold."""

import json
from collections.abc import Iterator
from typing import Any

Payload = dict[str, Any]
"""What the platform is sent; plain values only."""


def serialise(payload: Payload) -> bytes:
    """JSON as the SDK writes it.

    Raises
    ------
    TypeError, ValueError
        A value is none of JSON, such as NaN or half a surrogate pair.
    """
    return json.dumps(payload, ensure_ascii=False, allow_nan=False).encode("utf-8")


def split(part: Payload, max_bytes: int) -> Iterator[Payload]:
    """Cut a part at the middle of its longest list until each piece is small enough.

    What stands beside the list is in each piece. One entry alone that is too large stays so: who
    posts it is told.
    """
    key = max(
        (k for k in part if isinstance(part[k], list)), key=lambda k: len(part[k]), default=""
    )
    if not key or len(part[key]) < 2 or len(serialise(part)) <= max_bytes:
        yield part
        return
    middle = len(part[key]) // 2
    for entries in part[key][:middle], part[key][middle:]:
        yield from split({**part, key: entries}, max_bytes)
