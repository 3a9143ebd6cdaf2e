"""An S3 on loopback, and what the tests of it share."""

import os

import pytest

from tests import s3_server
from tests.s3.accounts import settings_of
from tests.s3.results import SAMPLE
from tests.s3_server import Proxy
from worker import s3
from worker.control import JobControl
from worker.deliver import Delivery
from worker.errors import FetchFailedError
from worker.parsing import parse


@pytest.fixture(scope="session")
def moto():
    """URL of one that takes any keys; it has the bucket ``bucket``."""
    with s3_server.moto() as url:
        yield url


@pytest.fixture(scope="session")
def _proxy(moto):
    with Proxy(moto) as proxy:
        yield proxy


@pytest.fixture
def proxy(_proxy) -> Proxy:
    """Stands before it; a test tells it how to misbehave."""
    _proxy.reset()
    return _proxy


@pytest.fixture(scope="session")
def store(moto):
    """A client of the test's own, which sees what is in the bucket."""
    return s3_server.client_of(moto)


@pytest.fixture(autouse=True)
def _own_keys(monkeypatch) -> None:
    """The worker's own keys, which a job's endpoint must never see; and short pauses."""
    monkeypatch.setattr(s3, "PAUSE_S", 0.01)
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "OWNKEY")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "own-secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "own-token")


@pytest.fixture
def open_bucket(tmp_path):
    def open_one(account, bucket="bucket", *, control=None, limit_s=30.0, **variables):
        settings = settings_of(tmp_path, **variables)
        control = control or JobControl()
        return s3.connect(account, bucket, settings, control, limit_s, FetchFailedError)

    return open_one


@pytest.fixture
def objects(store):
    """What is in the bucket below a prefix; it is empty at first."""

    def read(prefix: str = "") -> dict[str, bytes]:
        listed = store.list_objects_v2(Bucket="bucket", Prefix=prefix).get("Contents", [])
        return {
            entry["Key"]: store.get_object(Bucket="bucket", Key=entry["Key"])["Body"].read()
            for entry in listed
        }

    for key in read():
        store.delete_object(Bucket="bucket", Key=key)
    return read


@pytest.fixture
def make_delivery(make_settings):
    def make(job: dict, job_id="job-1", s3_config=None, control=None, **variables) -> Delivery:
        request = parse({**SAMPLE, **job})
        settings = make_settings(**variables)
        return Delivery(request, job_id, s3_config, settings, control or JobControl())

    return make
