"""Jobs for the toy worker (tests/toy_worker.py), from the platform's side."""

from functools import partial

from tests.platform import Platform, until

TOY = ("-m", "tests.toy_worker")
DEADLINE_S = 30.0
FOR_EVER = 10_000


def is_in_work(platform: Platform, job: str) -> bool:
    return platform.job(job)["status"] == "IN_PROGRESS"


def begin_job(platform: Platform, **asked: object) -> str:
    job = platform.submit(asked)
    until(partial(is_in_work, platform, job))
    return job
