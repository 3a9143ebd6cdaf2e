"""What a job is answered: plain values only, so that it always serialises."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from volume_bootstrap.layout import ModelRecord
from worker import formats
from worker.control import JobControl
from worker.diarization.pipeline import Diarization
from worker.formats.document import Document
from worker.naming import name_of
from worker.planning import Plan
from worker.recordings import Recording
from worker.report import page
from worker.report.speech import Sound
from worker.schema import JobRequest
from worker.segments import Utterance, Word, label
from worker.text import join

Reply = dict[str, Any]

EMBEDDING_DIGITS = 4
"""Of 192 values of about 0.07: it changes the cosine of two voices by less than 0.0001."""


def build(
    request: JobRequest,
    plan: Plan,
    recording: Recording,
    diarization: Diarization,
    utterances: Sequence[Utterance],
    sound: Sound | None,
    control: JobControl,
) -> Reply:
    """Describe one recording as docs/job-api.md says.

    Parameters
    ----------
    sound : for an HTML report; None: the job asks for none.

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
        result["speakers"] = _speakers(request, plan, diarization)
        result["turns"] = describe_turns(diarization)
    if plan.recognition:
        result["language"] = _language(utterances)
        result["text"] = join(u.text for u in utterances)
        if request.granularity != "none":
            result["segments"] = describe_segments(request, diarization, utterances)
    if plan.notes:
        result["notes"] = list(plan.notes)
    result["models"] = _references(plan.models)
    result["timings"] = _timings(plan.load_s, recording)
    name = recording.source.id or name_of(recording.source.url)
    names = {number: known.name for number, known in diarization.identities.items()}
    document = Document(name, audio.duration, diarization.turns, utterances, names)
    files: dict[str, str] = {}
    for wanted in request.formats:
        control.check()
        files |= formats.render([wanted], document)
    if sound:
        files["html"] = page.render(result, document, sound)
    if files:
        result["files"] = files
    return result


def describe_turns(diarization: Diarization) -> list[Reply]:
    """Describe who spoke when; turns of known voices have a name, and a score."""
    described = []
    for turn in diarization.turns:
        entry = {"start": turn.start, "end": turn.end, **_who(turn.speaker, diarization)}
        if known := diarization.identities.get(turn.speaker):
            entry["score"] = round(known.score, 3)
        described.append(entry)
    return described


def describe_segments(
    request: JobRequest, diarization: Diarization, utterances: Sequence[Utterance]
) -> list[Reply]:
    """Describe what was said, as finely as the job asks for."""
    speakers = diarization if request.task == "transcript" else None
    words = request.granularity == "word"
    return [_segment(utterance, speakers, words=words) for utterance in utterances]


def _speakers(request: JobRequest, plan: Plan, diarization: Diarization) -> list[Reply]:
    described = []
    for number, voice in enumerate(diarization.voices):
        own = [turn for turn in diarization.turns if turn.speaker == number]
        known = diarization.identities.get(number)
        entry: Reply = {
            "speaker": label(number),
            "name": known.name if known else None,
            "duration": round(sum(turn.duration for turn in own), 3),
            "turns": len(own),
        }
        if known:
            entry["score"] = round(known.score, 3)
        if request.return_embeddings:
            entry["embedding"] = {
                "model": plan.models["embedding"].reference,
                "values": [round(float(value), EMBEDDING_DIGITS) for value in voice],
            }
        described.append(entry)
    return described


def _segment(utterance: Utterance, speakers: Diarization | None, *, words: bool) -> Reply:
    segment: Reply = {"start": utterance.start, "end": utterance.end}
    if speakers:
        segment |= _who(utterance.speaker, speakers)
    segment |= {
        "text": utterance.text,
        "language": utterance.language,
        "emotion": utterance.emotion,
        "event": utterance.event,
    }
    if words and utterance.words is not None:
        segment["words"] = [_word(word, speakers) for word in utterance.words]
    if utterance.flaw:
        segment["flaw"] = utterance.flaw
    return segment


def _word(word: Word, speakers: Diarization | None) -> Reply:
    described: Reply = {"word": word.text, "start": word.start, "end": word.end}
    return described | _who(word.speaker, speakers) if speakers else described


def _who(speaker: int | None, diarization: Diarization) -> Reply:
    """The speaker of something, with the name where it is known."""
    if speaker is None:
        return {"speaker": None}
    known = diarization.identities.get(speaker)
    return {"speaker": label(speaker)} | ({"name": known.name} if known else {})


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
