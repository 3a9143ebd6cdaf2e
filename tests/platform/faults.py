"""Misbehaviour on command, and the record of every request: both are middleware."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

MAX_RECORDED_BYTES = 1_000_000
"""Larger bodies are recorded by their size alone."""


@dataclass
class Fault:
    """What is done to the next `times` requests of a call.

    With only a `delay_s` the true answer follows it. Otherwise the call has no effect, unless
    `carry_out` says that only its answer is spoilt.
    """

    call: str
    times: int = 1
    delay_s: float = 0.0
    do: Literal["answer", "drop", "hang", "cut"] = "answer"
    """`drop` ends the connection without an answer; `hang` stops in the midst of the answer, and
    `cut` ends the connection there."""
    status: int | None = None
    body: str = ""
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    """More of the answer's."""
    carry_out: bool = False
    carries_on: bool = False
    """Whether a client that has gone makes no difference to it."""
    worker: str | None = None
    """Of this worker only."""

    @property
    def is_slow_only(self) -> bool:
        return self.do == "answer" and self.status is None


class Misbehaviour:
    """The faults that wait for their requests."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> None:
        self._faults.append(fault)

    def clear(self) -> None:
        self._faults.clear()

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer, or do what the first fault for this call says."""
        fault = self._next(request)
        if fault is None:
            return await handler(request)
        spoilt = _spoil(fault, request, handler)
        return await (asyncio.shield(spoilt) if fault.carries_on else spoilt)

    def _next(self, request: web.Request) -> Fault | None:
        for fault in self._faults:
            who = {None, request.match_info.get("worker")}
            if fault.call == call_of(request) and fault.worker in who:
                fault.times -= 1
                if fault.times <= 0:
                    self._faults.remove(fault)
                return fault
        return None


class Records:
    """Every request in order: `time`, `call`, `worker`, `job`, `status` and what was sent."""

    def __init__(self) -> None:
        self._entries: list[dict[str, Any]] = []

    def clear(self) -> None:
        self._entries.clear()

    def select(self, call: str | None, worker: str | None) -> list[dict[str, Any]]:
        return [
            entry
            for entry in self._entries
            if call in {None, entry["call"]} and worker in {None, entry["worker"]}
        ]

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Record the request when it has come, and its status (None: not answered) at the end."""
        body = await request.read()
        entry = {
            "time": time.time(),
            "call": call_of(request),
            "worker": request.match_info.get("worker"),
            "job": request.match_info.get("job"),
            "method": request.method,
            "path": request.path,
            "query": dict(request.query),
            "headers": dict(request.headers),
            "size": len(body),
            "json": _parsed(body),
            "status": None,
        }
        self._entries.append(entry)
        try:
            response = await handler(request)
        except web.HTTPException as error:
            entry["status"] = error.status
            raise
        entry["status"] = response.status
        return response


def call_of(request: web.Request) -> str:
    """The name of a call: the first folder of its path, below that of an endpoint."""
    folders = request.path.split("/")[1:]
    return folders[2] if folders[0] == "v2" and len(folders) > 2 else folders[0]


def _parsed(body: bytes) -> Any:
    if not body or len(body) > MAX_RECORDED_BYTES:
        return None
    try:
        return json.loads(body)
    except ValueError:
        return None


async def _spoil(fault: Fault, request: web.Request, handler: Handler) -> web.StreamResponse:
    """Do what a fault says."""
    await asyncio.sleep(fault.delay_s)
    if fault.is_slow_only:
        return await handler(request)
    if fault.carry_out:
        await handler(request)
    if fault.do == "drop":
        _drop(request)
    if fault.do in ("hang", "cut"):
        await _begin(request)
        if fault.do == "cut":
            _drop(request)
        await asyncio.Event().wait()
    # Not as `text`: a body that is no text of that type is just what may be wanted.
    headers = {"Content-Type": fault.content_type, **fault.headers}
    return web.Response(
        status=fault.status or 200, body=fault.body.encode() or None, headers=headers
    )


def _drop(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()
    # Nothing can be answered any more; this ends the request.
    raise asyncio.CancelledError


async def _begin(request: web.Request) -> None:
    """Send half an answer."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    response.content_length = 1000
    await response.prepare(request)
    await response.write(b'{"half": ')
