"""The calls of workers and of clients, on a port that can go down and come back."""

import asyncio
import json
from typing import Any

from aiohttp import web

from tests.platform.faults import Handler, Misbehaviour, Records
from tests.platform.jobs import ENDED, MAX_PART_BYTES, Job, Jobs

REDELIVERY_LOOK_S = 0.1
MAX_REQUEST_BYTES = 1 << 30
MAX_RUNSYNC_WAIT_S = 90.0
ENDPOINT, API_KEY = "loopback", "loopback-key"
"""Of the calls below /v2."""
MAX_RUN_BYTES = 10_000_000
"""Of a call to /run there."""


class PlatformServer:
    """The platform on one port of loopback, which can go down and come back.

    Parameters
    ----------
    poll_s : how long job-take and job-stop are held before they are answered with 204.
    redeliver_after_s : silence about a job after which another worker gets it.
    """

    def __init__(self, *, poll_s: float, redeliver_after_s: float) -> None:
        self.jobs = Jobs(redeliver_after_s)
        self._redeliver_after_s = redeliver_after_s
        self.misbehaviour = Misbehaviour()
        self.records = Records()
        self.port = 0
        self._poll_s = poll_s
        middlewares = [self.records.middleware, self.misbehaviour.middleware]
        app = web.Application(middlewares=middlewares, client_max_size=MAX_REQUEST_BYTES)
        app.add_routes(self._routes())
        # Whoever has gone is not waiting for a job any more.
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None)
        self._site: web.TCPSite | None = None
        self._redelivery: asyncio.Task[None] | None = None
        self._return: asyncio.Task[None] | None = None

    def _routes(self) -> list[web.RouteDef]:
        return [
            web.get("/job-take/{worker}", self.take),
            web.get("/job-take-batch/{worker}", self.take_batch),
            web.get("/job-stop/{worker}", self.stop),
            web.post("/job-done/{worker}/{job}", self.done),
            web.post("/job-stream/{worker}/{job}", self.stream_part),
            web.get("/ping/{worker}", self.ping),
            web.post("/run", self.run),
            web.post("/runsync", self.runsync),
            web.get("/status/{job}", self.status),
            web.get("/stream/{job}", self.stream),
            web.post("/cancel/{job}", self.cancel),
            web.post("/v2/{endpoint}/run", _for_clients(self.run)),
            web.get("/v2/{endpoint}/status/{job}", _for_clients(self.status)),
            web.post("/v2/{endpoint}/cancel/{job}", _for_clients(self.cancel)),
        ]

    async def start(self) -> None:
        """Listen, on the same port as before."""
        if self._runner.server is None:
            await self._runner.setup()
            self._redelivery = asyncio.create_task(self._redeliver())
        self._site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await self._site.start()
        self.port = self._runner.addresses[0][1]

    async def go_down(self, seconds: float) -> None:
        """Refuse connections for so long, and break those that there are."""
        await self._stop()
        self._return = asyncio.create_task(self._come_back(seconds))

    async def reset(self) -> None:
        """Be as new: no job, no record, no misbehaviour, no connection; the port stays."""
        await self._stop()
        self.jobs = Jobs(self._redeliver_after_s)
        self.misbehaviour.clear()
        self.records.clear()
        await self.start()

    async def _stop(self) -> None:
        if self._return is not None:
            self._return.cancel()
        if self._site is None or self._runner.server is None:
            return
        await self._site.stop()
        self._site = None
        for connection in self._runner.server.connections:
            if connection.transport is not None:
                connection.transport.abort()

    async def _come_back(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self._return = None  # from here on it is not to be cancelled
        self.jobs.pardon()
        await self.start()

    async def _redeliver(self) -> None:
        while True:
            if self._site is not None:
                self.jobs.redeliver_lost()
            await asyncio.sleep(REDELIVERY_LOOK_S)

    # Workers

    async def take(self, request: web.Request) -> web.Response:
        taken = await self._take(request, 1)
        return web.json_response(taken[0]) if taken else web.Response(status=204)

    async def take_batch(self, request: web.Request) -> web.Response:
        taken = await self._take(request, int(request.query["batch_size"]))
        return web.json_response(taken) if taken else web.Response(status=204)

    async def _take(self, request: web.Request, count: int) -> list[Any]:
        worker = request.match_info["worker"]
        return await self.jobs.until(lambda: self.jobs.take(worker, count), self._poll_s)

    async def stop(self, request: web.Request) -> web.Response:
        worker = request.match_info["worker"]
        ids = await self.jobs.until(lambda: self.jobs.take_stops(worker), self._poll_s)
        return web.json_response({"jobsToStop": ids}) if ids else web.Response(status=204)

    async def done(self, request: web.Request) -> web.Response:
        job, message, size = self._job(request), await _message(request), await _size(request)
        self.jobs.done(job, request.match_info["worker"], message, size)
        return web.Response()

    async def stream_part(self, request: web.Request) -> web.Response:
        if (size := await _size(request)) > MAX_PART_BYTES:
            raise web.HTTPRequestEntityTooLarge(MAX_PART_BYTES, size)
        self.jobs.stream(self._job(request), await _message(request))
        return web.Response()

    async def ping(self, request: web.Request) -> web.Response:
        ids = request.query.get("job_id", "").split(",")
        self.jobs.ping(request.match_info["worker"], ids)
        return web.Response()

    # Clients

    async def run(self, request: web.Request) -> web.Response:
        job = self.jobs.submit(await request.json(), is_sync=False)
        return web.json_response(job.answer())

    async def runsync(self, request: web.Request) -> web.Response:
        """Answer when the job has ended, at the latest after `wait` milliseconds."""
        job = self.jobs.submit(await request.json(), is_sync=True)
        wait_s = float(request.query.get("wait", MAX_RUNSYNC_WAIT_S * 1000)) / 1000
        await self.jobs.until(lambda: job.status in ENDED, wait_s)
        return web.json_response(job.answer())

    async def status(self, request: web.Request) -> web.Response:
        return web.json_response(self._job(request).answer())

    async def stream(self, request: web.Request) -> web.Response:
        """Answer with what was streamed since the last call, and wait for it a little."""
        job = self._job(request)
        await self.jobs.until(
            lambda: len(job.parts) > job.parts_read or job.status in ENDED, self._poll_s
        )
        new, job.parts_read = job.parts[job.parts_read :], len(job.parts)
        return web.json_response(
            {"status": job.status, "stream": [{"output": part} for part in new]}
        )

    async def cancel(self, request: web.Request) -> web.Response:
        job = self._job(request)
        self.jobs.cancel(job)
        return web.json_response(job.answer())

    def _job(self, request: web.Request) -> Job:
        job = self.jobs.by_id.get(request.match_info["job"])
        if job is None:
            raise web.HTTPNotFound(text=f"job {request.match_info['job']} is not known")
        return job


def _for_clients(handler: Handler) -> Handler:
    """Ask for the key, and refuse what is too large, as the platform does."""

    async def checked(request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") != f"Bearer {API_KEY}":
            raise web.HTTPUnauthorized(text="the key is not known")
        if request.match_info["endpoint"] != ENDPOINT:
            raise web.HTTPNotFound(text="there is no such endpoint")
        if (size := await _size(request)) > MAX_RUN_BYTES:
            raise web.HTTPRequestEntityTooLarge(MAX_RUN_BYTES, size)
        return await handler(request)

    return checked


async def _message(request: web.Request) -> dict[str, Any]:
    """The JSON object in the body; the SDK sends it under the type of a form."""
    try:
        message = json.loads(await request.read())
    except ValueError as error:
        raise web.HTTPBadRequest(text=f"the body is not JSON: {error}") from error
    if not isinstance(message, dict):
        raise web.HTTPBadRequest(text="the body is no JSON object")
    return message


async def _size(request: web.Request) -> int:
    return len(await request.read())
