"""The gathering, sorting and retrying around a model; the models have tests of their own."""

import threading
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from tests.fake_models import counted_tensors
from worker.control import Exclusive, JobControl
from worker.device import Device
from worker.engines.base import AsrOptions, Recognition, Traits, Waveform, Writes
from worker.errors import CancelledError, OutOfMemoryError, WorkerError
from worker.memory import Memory
from worker.segments import Segment, Word
from worker.transcription.spoken import Spoken
from worker.transcription.transcriber import POOL_S, Engine, Transcriber, logger

TRAITS = Traits(
    languages=("en",),
    hotwords=False,
    word_times=True,
    itn=Writes.NEVER,
    punctuation=Writes.NEVER,
    max_segment_s=30.0,
    join_s=None,
    fixed_s=0.0,
    bytes_per_s=1e6,
)


class Echo:
    """Writes of each waveform its first sample and its length; remembers what it was given."""

    traits = TRAITS

    def __init__(self, fails: Callable[[Waveform, AsrOptions], Exception | None]) -> None:
        self.calls: list[list[int]] = []
        self._fails = fails

    def __call__(self, waveforms: Sequence[Waveform], options: AsrOptions) -> list[Recognition]:
        self.calls.append([len(w) for w in waveforms])
        for waveform in waveforms:
            if error := self._fails(waveform, options):
                raise error
        words = (Word("x", 0.0, 0.1),) if options.word_times else None
        return [Recognition(f"{w[0]:.0f}:{len(w)}", words) for w in waveforms]


def never(waveform: Waveform, options: AsrOptions) -> None:
    return None


def transcriber(
    fails=never, control=None, num_recordings=1, pool_s=POOL_S
) -> tuple[Echo, Transcriber]:
    echo = Echo(fails)
    options = AsrOptions(word_times=True)
    control = control or JobControl()
    occupied = Exclusive(threading.Lock(), control)
    memory = Memory(Device("cpu", 1, "float32"), release_idle=lambda: None)
    engine = Engine(echo, options, memory, occupied)
    return echo, Transcriber(engine, control, num_recordings, pool_s)


def test_what_is_new_is_told_after_each_pool():
    _, transcribe = transcriber(num_recordings=2, pool_s=10.0)
    told: dict[str, list[list[float]]] = {"a": [], "b": []}

    def add(name: str, lengths_s: Sequence[float]) -> None:
        starts = [20.0 * i for i in range(len(lengths_s))]
        segments = [Segment(s, s + n) for s, n in zip(starts, lengths_s, strict=True)]

        def heard(spoken: Sequence[Spoken]) -> None:
            told[name].append([s.start for s in spoken])

        transcribe.add(constant(1, 200), segments, heard)

    add("a", [4, 5, 3, 2])  # a pool of three; the fourth waits
    add("b", [6, 3])  # which completes the second pool
    assert told == {"a": [[0.0, 20.0, 40.0], [60.0]], "b": [[0.0, 20.0]]}
    transcribe.finish()
    assert sum(len(spoken) for spoken in told["a"] + told["b"]) == 6


def constant(value: int, seconds: float) -> Waveform:
    return np.full(round(seconds * 16_000), value, dtype=np.float32)


def test_results_come_in_order_whatever_the_batches_were():
    echo, transcribe = transcriber()
    lengths = [3.0, 0.5, 12.0, 7.25, 0.5, 29.0]
    starts = np.concatenate([[0.0], np.cumsum(lengths)[:-1] + np.arange(1, 6)])
    segments = [Segment(s, s + n) for s, n in zip(starts.tolist(), lengths, strict=True)]
    transcript = transcribe.add(constant(4, 100), segments)
    assert transcript.pending == 6
    transcribe.finish()
    spoken = transcript.in_order()
    assert [(s.start, s.end) for s in spoken] == [(s.start, s.end) for s in segments]
    assert [s.recognition.text for s in spoken] == [f"4:{round(n * 16_000)}" for n in lengths]
    assert all(s.flaw is None for s in spoken)
    assert len(echo.calls) < len(segments)


def test_segments_of_different_recordings_share_a_batch():
    echo, transcribe = transcriber(num_recordings=3)
    transcripts = [
        transcribe.add(constant(value, 10), [Segment(0, 2), Segment(3, 5)]) for value in (1, 2, 3)
    ]
    transcribe.finish()
    assert echo.calls == [[32_000] * 6]
    for value, transcript in enumerate(transcripts, start=1):
        assert [s.recognition.text for s in transcript.in_order()] == [f"{value}:32000"] * 2


def test_a_long_recording_is_recognised_while_it_is_added():
    echo, transcribe = transcriber()
    segments = [Segment(i * 25.0, i * 25.0 + 20) for i in range(144)]  # 48 minutes of speech
    transcript = transcribe.add(constant(1, 3600), segments)
    assert 0 < transcript.pending < 40
    transcribe.finish()
    assert transcript.pending == 0
    assert sum(len(call) for call in echo.calls) == 144


def test_a_segment_that_fails_is_retried_alone_without_word_times_and_marked():
    def fails(waveform: Waveform, options: AsrOptions) -> Exception | None:
        return IndexError("list index") if waveform[0] == 2 and options.word_times else None

    _, transcribe = transcriber(fails, num_recordings=3)
    transcripts = [transcribe.add(constant(v, 3), [Segment(0, 2)]) for v in (1, 2, 3)]
    transcribe.finish()
    one, two, three = (t.in_order()[0] for t in transcripts)
    assert (one.recognition.text, three.recognition.text) == ("1:32000", "3:32000")
    assert one.flaw is None
    assert one.recognition.words
    assert two.recognition.text == "2:32000"
    assert two.recognition.words is None
    assert "word times" in str(two.flaw)


def test_a_segment_that_always_fails_is_marked_and_the_rest_survives(caplog):
    def fails(waveform: Waveform, options: AsrOptions) -> Exception | None:
        return ValueError("odd") if len(waveform) == 16_000 else None

    _, transcribe = transcriber(fails)
    transcript = transcribe.add(constant(1, 9), [Segment(0, 2), Segment(3, 4), Segment(5, 8)])
    transcribe.finish()
    first, lost, last = transcript.in_order()
    assert (first.recognition.text, last.recognition.text) == ("1:32000", "1:48000")
    assert lost.recognition.text == ""
    assert "nothing was recognised" in str(lost.flaw)
    assert "ValueError: odd" in caplog.text


def test_a_model_that_fails_on_everything_is_an_error_not_an_empty_transcript():
    _, transcribe = transcriber(lambda waveform, options: RuntimeError("broken"))
    transcript = transcribe.add(constant(1, 9), [Segment(0, 2), Segment(3, 4)])
    transcribe.finish()
    with pytest.raises(RuntimeError, match="every segment") as caught:
        transcript.in_order()
    assert str(caught.value.__cause__) == "broken"


def test_where_memory_runs_out_smaller_batches_do_and_no_segment_has_a_flaw():
    echo, transcribe = transcriber()
    recognise, freed = Echo.__call__, []

    class Small(Echo):
        def __call__(self, waveforms: Sequence[Waveform], options: AsrOptions) -> list[Recognition]:
            if len(waveforms) > 3:
                self.calls.append([len(w) for w in waveforms])
                raise MemoryError
            return recognise(self, waveforms, options)

    echo.__class__ = Small
    transcribe._engine.memory._release_idle = lambda: freed.append(1)
    transcript = transcribe.add(constant(1, 30), [Segment(i * 2.0, i * 2.0 + 1) for i in range(10)])
    transcribe.finish()
    assert [len(call) for call in echo.calls] == [10, 5, 3, 3, 3, 1]
    assert len(freed) == 2
    spoken = transcript.in_order()
    assert [s.recognition.text for s in spoken] == ["1:16000"] * 10
    assert not any(s.flaw for s in spoken)


def test_a_recording_that_does_not_fit_in_memory_fails_alone():
    def fails(waveform: Waveform, options: AsrOptions) -> Exception | None:
        return RuntimeError("CUDA out of memory") if waveform[0] == 2 else None

    _, transcribe = transcriber(fails, num_recordings=2)
    good = transcribe.add(constant(1, 9), [Segment(0, 2)])
    transcribe.finish()
    bad = transcribe.add(constant(2, 9), [Segment(0, 2), Segment(3, 4)])
    transcribe.finish()
    assert good.in_order()[0].recognition.text == "1:32000"
    with pytest.raises(OutOfMemoryError, match="asr on cpu needed 2 MB at once"):
        bad.in_order()


def test_a_lost_device_is_no_flaw_of_a_segment():
    fault = RuntimeError("CUDA error: device-side assert triggered")
    echo, transcribe = transcriber(lambda waveform, options: fault)
    transcribe.add(constant(1, 9), [Segment(0, 2), Segment(3, 4)])
    with pytest.raises(RuntimeError, match="device-side assert"):
        transcribe.finish()
    assert len(echo.calls) == 1


def test_an_error_of_the_job_is_not_retried():
    class RefusalError(WorkerError):
        code = "X"

    echo, transcribe = transcriber(lambda waveform, options: RefusalError("no"))
    transcribe.add(constant(1, 9), [Segment(0, 2), Segment(3, 4)])
    with pytest.raises(RefusalError):
        transcribe.finish()
    assert len(echo.calls) == 1


def test_a_cancelled_job_ends_before_the_next_batch():
    control = JobControl()

    def cancel(waveform: Waveform, options: AsrOptions) -> None:
        control.cancel()

    echo, transcribe = transcriber(cancel, control)
    transcribe.add(constant(1, 200), [Segment(i * 21.0, i * 21.0 + 20) for i in range(9)])
    with pytest.raises(CancelledError):
        transcribe.finish()
    assert len(echo.calls) == 1


def test_progress_grows_to_what_is_left():
    reports: list[tuple[str, float]] = []
    control = JobControl(lambda stage, share: reports.append((stage, share)))
    _, transcribe = transcriber(never, control, num_recordings=2)
    for value in (1, 2):
        transcribe.add(constant(value, 100), [Segment(i * 21.0, i * 21.0 + 20) for i in range(4)])
    transcribe.finish()
    assert {stage for stage, _ in reports} == {"asr"}
    shares = [share for _, share in reports]
    assert shares == sorted(shares)
    assert shares[0] == 0
    assert shares[-1] == pytest.approx(7 / 8)


def test_a_recording_without_speech_is_complete_at_once():
    _, transcribe = transcriber()
    transcript = transcribe.add(constant(0, 5), [])
    assert transcript.pending == 0
    transcribe.finish()
    assert transcript.in_order() == []


def test_one_lost_segment_among_silent_ones_is_no_failed_recording():
    def fails(waveform: Waveform, options: AsrOptions) -> Exception | None:
        return ValueError("odd") if len(waveform) == 16_000 else None

    _, transcribe = transcriber(fails)
    transcript = transcribe.add(constant(0, 9), [Segment(0, 2), Segment(3, 4)])
    transcribe.finish()
    assert len(transcript.in_order()) == 2


def test_a_failed_attempt_keeps_no_memory_of_the_batch(monkeypatch):
    monkeypatch.setattr(logger, "disabled", True)  # pytest keeps what is logged, traceback and all

    tensors = counted_tensors()
    seen: list[int] = []

    def fails(waveform: Waveform, options: AsrOptions) -> Exception | None:
        tensor = tensors()  # a local of the frame that the error's traceback holds
        seen.append(tensor.alive)
        raise ValueError("no memory")

    _, transcribe = transcriber(fails)
    transcribe.add(constant(1, 30), [Segment(i * 2.0, i * 2.0 + 1) for i in range(6)])
    transcribe.finish()
    assert set(seen) == {1}


def test_a_recording_that_cannot_be_read_fails_alone():
    class Gone:
        def __len__(self) -> int:
            return 160_000

        def __getitem__(self, part: slice) -> Waveform:
            raise OSError(5, "Input/output error")

    _, transcribe = transcriber(num_recordings=2)
    gone = transcribe.add(Gone(), [Segment(0, 2)])
    good = transcribe.add(constant(1, 9), [Segment(0, 2)])
    transcribe.finish()
    assert [s.recognition.text for s in good.in_order()] == ["1:32000"]
    with pytest.raises(RuntimeError, match="every segment"):
        gone.in_order()
