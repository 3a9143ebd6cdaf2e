"""The test's side of the platform, on a port of its own: it answers while the platform is down."""

from dataclasses import asdict

from aiohttp import web

from tests.platform.faults import Fault
from tests.platform.jobs import Job
from tests.platform.server import PlatformServer


class Control:
    """The calls under ``/control``; all take and answer JSON.

    ==================================  =======================================================
    ``POST /control/misbehave``         a `Fault`; `times` requests of that call suffer it
    ``POST /control/behave``            forget all faults
    ``POST /control/reset``             forget everything, break all connections
    ``POST /control/raw``               a job that is handed out as it is
    ``POST /control/redeliver/{job}``   queue a job again, although a worker may have it
    ``POST /control/down``              `{"seconds": s}`: refuse connections for so long
    ``GET /control/records``            requests in order; query `call`, `worker`
    ``POST /control/forget/{job}``      know nothing of a job any more
    ``GET /control/jobs``               the ids of all jobs that clients sent
    ``GET /control/jobs/{job}``         all that is known of a job
    ==================================  =======================================================
    """

    def __init__(self, platform: PlatformServer) -> None:
        self._platform = platform
        self._runner = web.AppRunner(self._app(), access_log=None)

    def _app(self) -> web.Application:
        app = web.Application()
        app.add_routes(
            [
                web.post("/control/misbehave", self.misbehave),
                web.post("/control/behave", self.behave),
                web.post("/control/reset", self.reset),
                web.post("/control/raw", self.raw),
                web.post("/control/redeliver/{job}", self.redeliver),
                web.post("/control/down", self.down),
                web.get("/control/records", self.records),
                web.post("/control/forget/{job}", self.forget),
                web.get("/control/jobs", self.jobs),
                web.get("/control/jobs/{job}", self.job),
            ]
        )
        return app

    async def start(self) -> int:
        """Listen; return the port."""
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        port: int = self._runner.addresses[0][1]
        return port

    async def misbehave(self, request: web.Request) -> web.Response:
        self._platform.misbehaviour.add(Fault(**await request.json()))
        return web.json_response({})

    async def behave(self, request: web.Request) -> web.Response:
        self._platform.misbehaviour.clear()
        return web.json_response({})

    async def reset(self, request: web.Request) -> web.Response:
        await self._platform.reset()
        return web.json_response({})

    async def raw(self, request: web.Request) -> web.Response:
        self._platform.jobs.submit_raw(await request.json())
        return web.json_response({})

    async def redeliver(self, request: web.Request) -> web.Response:
        self._platform.jobs.redeliver(self._job(request))
        return web.json_response({})

    async def forget(self, request: web.Request) -> web.Response:
        self._platform.jobs.forget(self._job(request))
        return web.json_response({})

    async def jobs(self, request: web.Request) -> web.Response:
        return web.json_response(list(self._platform.jobs.by_id))

    async def down(self, request: web.Request) -> web.Response:
        await self._platform.go_down((await request.json())["seconds"])
        return web.json_response({})

    async def records(self, request: web.Request) -> web.Response:
        query = request.query
        found = self._platform.records.select(query.get("call"), query.get("worker"))
        return web.json_response(found)

    async def job(self, request: web.Request) -> web.Response:
        return web.json_response(asdict(self._job(request)))

    def _job(self, request: web.Request) -> Job:
        job = self._platform.jobs.by_id.get(request.match_info["job"])
        if job is None:
            raise web.HTTPNotFound(text=f"job {request.match_info['job']} is not known")
        return job
