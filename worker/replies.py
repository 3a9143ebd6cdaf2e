"""What a job is answered: plain values only, so that it always serialises."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from volume_bootstrap.layout import ModelRecord
from worker import formats
from worker.control import JobControl
from worker.formats.document import Document
from worker.naming import name_of
from worker.planning import Plan
from worker.recordings import Recording
from worker.schema import JobRequest
from worker.segments import Turn, Utterance, Word, label
from worker.text import join

Reply = dict[str, Any]


def build(
    request: JobRequest,
    plan: Plan,
    recording: Recording,
    turns: Sequence[Turn],
    utterances: Sequence[Utterance],
    control: JobControl,
) -> Reply:
    """Describe one recording as docs/job-api.md says.

    Raises
    ------
    CancelledError
        The job was cancelled; a format of ten hours takes seconds.
    """
    audio = recording.audio
    result: Reply = {
        "task": request.task,
        "audio": {
            "id": recording.source.id,
            "duration": round(audio.duration, 3),
            "sample_rate": audio.sample_rate,
            "channels": audio.channels,
            "codec": audio.codec,
        },
    }
    if plan.diarizer:
        result["speakers"] = _speakers(turns)
        result["turns"] = describe_turns(turns)
    if plan.recognition:
        result["language"] = _language(utterances)
        result["text"] = join(u.text for u in utterances)
        if request.granularity != "none":
            result["segments"] = describe_segments(request, utterances)
    if plan.notes:
        result["notes"] = list(plan.notes)
    result["models"] = _references(plan.models)
    result["timings"] = _timings(plan.load_s, recording)
    name = recording.source.id or name_of(recording.source.url)
    document = Document(name, audio.duration, turns, utterances)
    files: dict[str, str] = {}
    for wanted in request.formats:
        control.check()
        files |= formats.render([wanted], document)
    if files:
        result["files"] = files
    return result


def describe_turns(turns: Sequence[Turn]) -> list[Reply]:
    """Describe who spoke when."""
    return [{"start": t.start, "end": t.end, "speaker": t.label} for t in turns]


def describe_segments(request: JobRequest, utterances: Sequence[Utterance]) -> list[Reply]:
    """Describe what was said, as finely as the job asks for."""
    words, speakers = request.granularity == "word", request.task == "transcript"
    return [_segment(utterance, speakers=speakers, words=words) for utterance in utterances]


def _speakers(turns: Sequence[Turn]) -> list[Reply]:
    by_speaker: dict[str, list[Turn]] = {}
    for turn in turns:
        by_speaker.setdefault(turn.label, []).append(turn)
    return [
        {"speaker": name, "duration": round(sum(t.duration for t in own), 3), "turns": len(own)}
        for name, own in by_speaker.items()
    ]


def _segment(utterance: Utterance, *, speakers: bool, words: bool) -> Reply:
    segment: Reply = {"start": utterance.start, "end": utterance.end}
    if speakers:
        segment["speaker"] = _label(utterance.speaker)
    segment |= {
        "text": utterance.text,
        "language": utterance.language,
        "emotion": utterance.emotion,
        "event": utterance.event,
    }
    if words and utterance.words is not None:
        segment["words"] = [_word(word, speakers=speakers) for word in utterance.words]
    if utterance.flaw:
        segment["flaw"] = utterance.flaw
    return segment


def _word(word: Word, *, speakers: bool) -> Reply:
    described: Reply = {"word": word.text, "start": word.start, "end": word.end}
    if speakers:
        described["speaker"] = _label(word.speaker)
    return described


def _label(speaker: int | None) -> str | None:
    return None if speaker is None else label(speaker)


def _language(utterances: Sequence[Utterance]) -> str | None:
    """The language that most of the speech is in; None where none is known."""
    seconds: dict[str, float] = defaultdict(float)
    for utterance in utterances:
        if utterance.language:
            seconds[utterance.language] += utterance.end - utterance.start
    return max(seconds, key=seconds.__getitem__, default=None)


def _references(models: Mapping[str, ModelRecord]) -> dict[str, str]:
    return {role: record.reference for role, record in models.items()}


def _timings(load_s: float, recording: Recording) -> dict[str, float]:
    """Seconds by stage; `rtf` leaves out the time that the device was another job's."""
    seconds = {"load": load_s, **recording.stopwatch.seconds}
    timings = {**seconds, "total": sum(seconds.values())}
    if recording.audio.duration:
        worked = timings["total"] - seconds["wait"]
        timings["rtf"] = worked / recording.audio.duration
    return {stage: round(value, 4) for stage, value in timings.items()}
