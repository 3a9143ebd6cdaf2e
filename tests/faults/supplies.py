"""Indexes and hubs that fail: what a run tells, and that it goes on where it may."""

import contextlib
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from tests.faults.cases import Case, Fault
from tests.faults.scene import How, Scene
from tests.hub_server import HubServer

FOREVER = 1_000_000


def _index(**faults: float | bool) -> Callable[[Scene], AbstractContextManager[Fault]]:
    @contextlib.contextmanager
    def make(scene: Scene) -> Iterator[Fault]:
        scene.index.misbehave(**faults)
        try:
            yield Fault(end=scene.index.behave)
        finally:
            scene.index.behave()

    return make


def _hub(
    kind: str, do: str, times: int = FOREVER, **details: object
) -> Callable[[Scene], AbstractContextManager[Fault]]:
    """A hub of its own that fails for the model's weights, until the scene's own takes over."""

    @contextlib.contextmanager
    def make(scene: Scene) -> Iterator[Fault]:
        good = scene.hub
        with HubServer(scene.hub_folder) as bad, scene.from_source(kind):
            bad.fault("model.bin", do, times, **details)
            scene.hub = bad
            try:
                yield Fault(end=lambda: setattr(scene, "hub", good))
            finally:
                scene.hub = good

    return make


@contextlib.contextmanager
def _closed_hub(scene: Scene) -> Iterator[Fault]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    variables = {"MODELSCOPE_ENDPOINT": f"http://127.0.0.1:{port}"}
    yield Fault(How(variables=variables), variables.clear)


def _hub_cases(kind: str, name: str) -> list[Case]:
    return [
        Case(f"{name} breaks off after each MB", _hub(kind, "break", bytes=1_000_000), 0),
        Case(f"{name} breaks off at once, always", _hub(kind, "break", bytes=0), 1, kind),
        Case(f"{name} sends other bytes", _hub(kind, "wrong"), 1, kind),
        Case(f"{name}: 429, twice", _hub(kind, "status", 2, status=429, retry_after=1), 0),
        Case(f"{name}: 429 without end", _hub(kind, "status", status=429), 1, "429"),
        Case(f"{name}: 500 without end", _hub(kind, "status", status=500), 1, "500"),
        Case(f"{name}: a redirect loop", _hub(kind, "loop"), 1, "redirect"),
    ]


CASES = [
    Case("index is down", _index(down=True), 1, "resolve"),
    Case("index is slow (500 kB/s)", _index(bytes_per_s=500_000), 0),
    Case("index serves a wrong hash", _index(wrong_hash=True), 1, "ash"),
    Case("index answers 503", _index(status=503), 1, "503"),
    Case("index redirects in a loop", _index(redirect_loop=True), 1, "bulky"),
    Case("ModelScope is down", _closed_hub, 1, "modelscope"),
    *_hub_cases("modelscope", "ModelScope"),
    *_hub_cases("huggingface", "Hugging Face"),
]
