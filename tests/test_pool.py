"""A model that gets no more threads: nothing of the call that failed runs on afterwards."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from sys import getswitchinterval, setswitchinterval

import numpy as np
import pytest

from worker.device import Device
from worker.engines.base import AsrOptions, Recognition
from worker.engines.pool import Pool
from worker.engines.session import OnnxSession
from worker.engines.whisper import load
from worker.model_store import ModelStore

CPU = Device("cpu", 2, "float32")
DEADLINE_S = 30.0


class Scarce:
    """Lets one thread begin; what runs in it lasts until a second one was refused."""

    def __init__(self) -> None:
        self.runs = 0
        self._refused = threading.Event()

    def counted(self, function: Callable[..., object]) -> Callable[..., object]:
        def work(*arguments: object) -> object:
            assert self._refused.wait(DEADLINE_S)
            time.sleep(0.05)  # it would still run when the caller goes on
            self.runs += 1
            return function(*arguments)

        return work

    @contextmanager
    def threads(self) -> Iterator[None]:
        start, begun = threading.Thread.start, []

        def begin(thread: threading.Thread) -> None:
            if begun:
                self._refused.set()
                raise RuntimeError("can't start new thread")
            begun.append(thread)
            start(thread)

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(threading.Thread, "start", begin)
            with pytest.raises(RuntimeError, match="can't start new thread"):
                yield


@pytest.fixture
def scarce() -> Scarce:
    return Scarce()


@pytest.fixture(scope="module")
def store(volume) -> ModelStore:
    return ModelStore(volume, "demo")


def test_what_was_submitted_has_ended_or_never_begins(scarce):
    pool, work = Pool(2, "test"), scarce.counted(abs)
    with scarce.threads():
        pool.map(work, [-1, -2, -3])
    before = scarce.runs
    assert pool.map(work, [-4, -5]) == [4, 5]
    assert scarce.runs == before + 2


def test_one_that_fails_is_raised_when_all_have_ended():
    pool, ended = Pool(2, "test"), []

    def work(seconds: float) -> None:
        time.sleep(seconds)
        ended.append(seconds)
        if not seconds:
            raise ValueError("none")

    with pytest.raises(ValueError, match="none"):
        pool.map(work, [0, 0.1])
    assert ended == [0, 0.1]


def silence(num_frames: int) -> tuple[np.ndarray]:
    return (np.zeros((1, num_frames, 80), np.float32),)


def test_what_no_thread_will_run_is_not_waited_for(store):
    """The idle thread has not taken the first input yet when the second gets no thread."""
    session = OnnxSession(store.verified(store.manifest().model("fsmn-vad")), CPU)
    list(session.map(silence, [20]))
    errors = []

    def use() -> None:
        with pytest.raises(RuntimeError) as caught:
            list(session.map(silence, [20] * 3))
        errors.append(str(caught.value))

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    user, start, interval = (
        threading.Thread(target=use),
        threading.Thread.start,
        getswitchinterval(),
    )
    user.daemon = True
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        setswitchinterval(DEADLINE_S)
        try:
            start(user)
            user.join(DEADLINE_S)
        finally:
            setswitchinterval(interval)
    assert errors == ["can't start new thread"]


def test_an_onnx_session(scarce, store):
    session = OnnxSession(store.verified(store.manifest().model("fsmn-vad")), CPU)
    make = scarce.counted(silence)
    with scarce.threads():
        list(session.map(make, [20] * 3))
    before = scarce.runs
    assert len(list(session.map(make, [20] * 3))) == 3
    assert scarce.runs == before + 3


def test_whisper(scarce, store):
    whisper = load(store.verified(store.manifest().model("whisper-tiny-en")), CPU)
    whisper._features = scarce.counted(whisper._features)
    whisper._recognise = lambda features, **_: [Recognition("Yes.")] * len(features)
    waveforms = [np.full(16_000, 0.1, np.float32)] * 3
    with scarce.threads():
        whisper(waveforms, AsrOptions())
    before = scarce.runs
    assert [found.text for found in whisper(waveforms, AsrOptions())] == ["Yes."] * 3
    assert scarce.runs == before + 3
