"""Every notation of an address that no job may reach, wherever a job can write one."""

import tempfile
from collections.abc import Iterator

import pytest

from tests.hostile import Trap, codes, forbidden_urls, redirecting
from worker import s3
from worker.device import choose
from worker.model_store import ModelStore
from worker.schema import MAX_AUDIOS
from worker.service import Envelope, Service

AUDIO = "volume://samples/sample.wav"
PLACE = "s3://bucket/prefix/"
SECRET = "the-secret-of-the-job"
NUM_URLS = len(forbidden_urls(1))


@pytest.fixture(scope="module")
def service(make_settings) -> Service:
    """The service as it comes, but for the address of the server that redirects."""
    settings = make_settings(SPEECH_ALLOWED_NETWORKS="127.0.0.9/32", SPEECH_FETCH_TIMEOUT_S="0.4")
    device = choose(settings.device, settings.num_threads, None)
    return Service(settings, ModelStore(settings.layout, "demo"), device)


@pytest.fixture(scope="module")
def listener() -> Iterator[Trap]:
    trap = Trap()
    yield trap
    trap.close()


@pytest.fixture
def trap(listener: Trap) -> Iterator[Trap]:
    """A test with it fails where anybody came."""
    listener.caught()
    yield listener
    assert listener.caught() == 0


@pytest.fixture(scope="module")
def redirects(listener: Trap) -> Iterator[str]:
    with redirecting(forbidden_urls(listener.port)) as url:
        yield url


@pytest.fixture(autouse=True)
def _surroundings(monkeypatch, tmp_path) -> Iterator[None]:
    monkeypatch.setattr(s3, "PAUSE_S", 0.001)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield
    assert list(tmp_path.iterdir()) == []


def ask(
    service: Service, audio: str | list[str], s3_config: object = None, **fields: str
) -> list[str]:
    job = {"task": "diarization", "audio": audio, **fields}
    return codes(service.answer(job, envelope=Envelope("job", s3_config)), SECRET)


def config(endpoint: str) -> dict[str, str]:
    return {"accessId": "id", "accessSecret": SECRET, "endpointUrl": endpoint}


def test_the_trap_is_no_dummy(service, trap):
    ask(service, f"http://127.0.0.9:{trap.port}/")  # allowed
    assert trap.caught() > 0


def unexpected(urls: list[str], codes: list[str], *allowed: str) -> list[tuple[str, str]]:
    return [pair for pair in zip(urls, codes, strict=True) if pair[1] not in allowed]


@pytest.mark.parametrize("first", range(0, NUM_URLS, MAX_AUDIOS))
def test_audio(service, trap, first):
    urls = forbidden_urls(trap.port)[first : first + MAX_AUDIOS]
    found = ask(service, urls)
    assert not unexpected(urls, found, "FORBIDDEN_URL", "INVALID_INPUT", "FETCH_FAILED")


@pytest.mark.parametrize("first", range(0, NUM_URLS, MAX_AUDIOS))
def test_audio_by_a_redirect(service, trap, redirects, first):
    urls = forbidden_urls(trap.port)[first : first + MAX_AUDIOS]
    found = ask(service, [f"{redirects}{first + index}" for index in range(len(urls))])
    assert not unexpected(urls, found, "FORBIDDEN_URL", "FETCH_FAILED")


@pytest.mark.parametrize("first", range(0, NUM_URLS, MAX_AUDIOS))
def test_the_endpoint_of_an_output(service, trap, first):
    urls = [url.replace("/a.wav", "") for url in forbidden_urls(trap.port)]
    urls = urls[first : first + MAX_AUDIOS]
    found = [code for url in urls for code in ask(service, AUDIO, config(url), output=PLACE)]
    assert not unexpected(urls, found, "FORBIDDEN_URL", "INVALID_INPUT", "OUTPUT_FAILED")


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "2130706433", "[::ffff:7f00:1]"]
)
def test_the_endpoint_of_an_object(service, trap, host):
    assert ask(service, "s3://bucket/key", config(f"http://{host}:{trap.port}")) == [
        "FORBIDDEN_URL"
    ]
