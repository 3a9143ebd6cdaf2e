"""Speech segments of many recordings -> what was said in each, in batches that they share."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from worker.control import Exclusive, JobControl
from worker.engines.base import AsrOptions, Recogniser, Recognition, Waveform
from worker.errors import OutOfMemoryError, WorkerError
from worker.faults import is_device_fault
from worker.memory import Memory, is_out_of_memory, without_frames
from worker.segments import Segment
from worker.transcription.batches import batches
from worker.transcription.fitting import fit
from worker.transcription.spoken import Spoken
from worker.waveform import SAMPLE_RATE, Samples

logger = logging.getLogger(__name__)

POOL_S = 600.0
"""Speech that is gathered before it is sorted into batches: of enough segments to choose among."""
STREAM_POOL_S = 60.0
"""The same for a job whose caller reads along."""
CPU_BATCH_S, GPU_BATCH_S = 20.0, 1200.0
"""Padded audio in a batch. A CPU has no use for more, and a cancelled job waits for its batch."""
FIXED_LENGTHS = 4
"""Segments in a batch of a model that works on a fixed length; its decoder gains by them."""
MEMORY_SHARE = 0.5
"""Share of the free memory that a batch may take: others take of it at the same time."""


NO_WORD_TIMES = "the model failed on its word times; recognised without them"
NOT_RECOGNISED = "the model failed on it; nothing was recognised"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one segment."""

    recognition: Recognition
    flaw: str | None = None
    failure: Exception | None = None


@dataclass(slots=True)
class Transcript:
    """What was said in one recording.

    spoken : grows in no particular order until `pending`, the number of segments to come, is 0.
    seconds, waited_s : time that the model took for it, and that it waited for the device: its
        share of shared batches.
    failures : errors of the model, one for each segment that could not be recognised at all.
    heard : called with what is new in `spoken`, in order, each time that a pool was recognised.
    """

    waveform: Samples
    heard: Callable[[Sequence[Spoken]], None] | None = None
    spoken: list[Spoken] = field(default_factory=list)
    pending: int = 0
    seconds: float = 0.0
    waited_s: float = 0.0
    failures: list[Exception] = field(default_factory=list)
    _num_heard: int = 0

    def tell(self) -> None:
        """Call `heard`, if there is something new."""
        new, self._num_heard = self.spoken[self._num_heard :], len(self.spoken)
        if new and self.heard:
            self.heard(sorted(new, key=lambda s: s.start))

    def in_order(self) -> list[Spoken]:
        """What was said, from the first segment to the last.

        Raises
        ------
        RuntimeError
            The model failed on every segment: that is no transcript.
        OutOfMemoryError
            There was no memory for a segment: that is no flaw of it.
        """
        for failure in self.failures:
            if isinstance(failure, OutOfMemoryError):
                raise failure
        if self.failures and len(self.failures) == len(self.spoken):
            raise RuntimeError("the model failed on every segment") from self.failures[-1]
        return sorted(self.spoken, key=lambda s: s.start)


Part = tuple[Transcript, Segment]


@dataclass(frozen=True, slots=True)
class Engine:
    """A model and how it is used.

    occupied : held by whoever computes on the device.
    """

    recogniser: Recogniser
    options: AsrOptions
    memory: Memory
    occupied: Exclusive


class Transcriber:
    """Gathers segments until sorting them is worth it, whatever recordings they are of.

    Parameters
    ----------
    num_recordings : how many will be added; progress is told as a share of them.
    pool_s : speech that is gathered.
    """

    def __init__(
        self, engine: Engine, control: JobControl, num_recordings: int, pool_s: float = POOL_S
    ) -> None:
        self._engine = engine
        self._control = control
        self._num_recordings = num_recordings
        self._pool_s = pool_s
        self._num_added = 0
        self._added_s = 0.0
        self._recognised_s = 0.0
        self._pool: list[Part] = []

    def add(
        self,
        waveform: Samples,
        segments: Sequence[Segment],
        heard: Callable[[Sequence[Spoken]], None] | None = None,
    ) -> Transcript:
        """Take the speech segments of a recording; some are recognised when enough are there.

        The waveform is read until the transcript is complete.
        """
        traits = self._engine.recogniser.traits
        fitting = fit(segments, waveform, traits.max_segment_s, traits.join_s)
        transcript = Transcript(waveform, heard, pending=len(fitting))
        self._num_added += 1
        pooled_s = sum(s.duration for _, s in self._pool)
        self._added_s += sum(s.duration for s in fitting)
        for segment in fitting:
            self._pool.append((transcript, segment))
            pooled_s += segment.duration
            if pooled_s >= self._pool_s:
                self.finish()
                pooled_s = 0.0
        return transcript

    def finish(self) -> None:
        """Recognise what was gathered."""
        pool, self._pool = self._pool, []
        traits = self._engine.recogniser.traits
        lengths_s = [segment.duration for _, segment in pool]
        for indices in batches(lengths_s, self._batch_s(), traits.fixed_s):
            self._control.update("asr", self._share())
            self._recognise([pool[i] for i in indices])
        for transcript in {id(transcript): transcript for transcript, _ in pool}.values():
            transcript.tell()

    def _share(self) -> float:
        expected_s = self._added_s * self._num_recordings / self._num_added
        return self._recognised_s / expected_s if expected_s else 0.0

    def _batch_s(self) -> float:
        traits, device = self._engine.recogniser.traits, self._engine.memory.device
        useful_s = CPU_BATCH_S if device.name == "cpu" else GPU_BATCH_S
        fits_s = MEMORY_SHARE * device.free_bytes() / traits.bytes_per_s
        return min(max(useful_s, FIXED_LENGTHS * traits.fixed_s), fits_s)

    def _recognise(self, batch: Sequence[Part]) -> None:
        asked = time.perf_counter()
        with self._engine.occupied:
            started = time.perf_counter()
            outcomes = self._outcomes(batch)
            ended = time.perf_counter()
        batch_s = sum(segment.duration for _, segment in batch)
        for (transcript, segment), outcome in zip(batch, outcomes, strict=True):
            spoken = Spoken(segment.start, segment.end, outcome.recognition, outcome.flaw)
            transcript.spoken.append(spoken)
            if outcome.failure:
                transcript.failures.append(outcome.failure)
            share = segment.duration / batch_s if batch_s else 1 / len(batch)
            transcript.seconds += (ended - started) * share
            transcript.waited_s += (started - asked) * share
            transcript.pending -= 1
        self._recognised_s += batch_s

    def _outcomes(self, batch: Sequence[Part]) -> list[Outcome]:
        """Recognise a batch; where memory runs out, the rest of it in smaller ones."""
        outcomes: list[Outcome] = []
        traits = self._engine.recogniser.traits
        longest_s = max(traits.fixed_s, *(segment.duration for _, segment in batch))

        def size(parts: int) -> int:
            return -(-len(batch) // parts)

        def recognise_rest(parts: int) -> None:
            while rest := batch[len(outcomes) :]:
                outcomes.extend(self._outcomes_at_once(rest[: size(parts)]))

        def needed_bytes(parts: int) -> float:
            return size(parts) * longest_s * traits.bytes_per_s

        try:
            self._engine.memory.attempt("asr", recognise_rest, needed_bytes)
        except OutOfMemoryError as error:
            lost = Outcome(Recognition(""), failure=error)
            outcomes.extend([lost] * (len(batch) - len(outcomes)))
        return outcomes

    def _outcomes_at_once(self, batch: Sequence[Part]) -> list[Outcome]:
        """Recognise a batch; where the model fails, each segment alone, and then without times."""
        options = self._engine.options
        found = self._attempt(batch, options)
        if not isinstance(found, Exception):
            return [Outcome(recognition) for recognition in found]
        if len(batch) > 1:
            return [self._outcomes_at_once([part])[0] for part in batch]
        if options.word_times:
            plain = self._attempt(batch, replace(options, word_times=False))
            if not isinstance(plain, Exception):
                return [Outcome(plain[0], NO_WORD_TIMES)]
        return [Outcome(Recognition(""), NOT_RECOGNISED, found)]

    def _attempt(self, batch: Sequence[Part], options: AsrOptions) -> list[Recognition] | Exception:
        """Run the model; its own errors are values.

        A model's code may raise anything on one segment (FunASR's SenseVoice an IndexError), and
        the other segments must not be lost by it. What is wrong with the job itself or with the
        device goes on.
        """
        self._control.check()
        try:
            waveforms = [cut(transcript.waveform, segment) for transcript, segment in batch]
            return self._engine.recogniser(waveforms, options)
        except WorkerError:
            raise
        except Exception as error:
            if is_out_of_memory(error) or is_device_fault(error):
                raise
            logger.warning("the model fails on %d segments", len(batch), exc_info=True)
            return without_frames(error)


def cut(waveform: Samples, segment: Segment) -> Waveform:
    """The samples of a segment."""
    return waveform[round(segment.start * SAMPLE_RATE) : round(segment.end * SAMPLE_RATE)]
