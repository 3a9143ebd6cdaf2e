"""The gathering, sorting and retrying around a model; the models have tests of their own."""

import threading
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from worker.control import Exclusive, JobControl
from worker.device import Device
from worker.engines.base import AsrOptions, Recognition, Traits, Waveform, Writes
from worker.errors import CancelledError, WorkerError
from worker.segments import Segment, Word
from worker.transcription.transcriber import Engine, Transcriber, logger

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


def transcriber(fails=never, control=None, num_recordings=1) -> tuple[Echo, Transcriber]:
    echo = Echo(fails)
    options = AsrOptions(word_times=True)
    control = control or JobControl()
    occupied = Exclusive(threading.Lock(), control)
    engine = Engine(echo, options, Device("cpu", 1, "float32"), occupied)
    return echo, Transcriber(engine, control, num_recordings)


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

    class Tensor:
        alive = 0

        def __init__(self) -> None:
            Tensor.alive += 1

        def __del__(self) -> None:
            Tensor.alive -= 1

    seen: list[int] = []

    def fails(waveform: Waveform, options: AsrOptions) -> Exception | None:
        tensor = Tensor()  # a local of the frame that the error's traceback holds
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
