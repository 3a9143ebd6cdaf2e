"""The telephone conversation as a transcript: words that carry the speaker of the reference."""

from pathlib import Path
from typing import Any

from benchmarks.asr_score import SpokenWord, normalised, read_rttm, speaker_share, word_errors
from benchmarks.asr_sides import AUDIO, AsrWorker, peer

Result = dict[str, Any]

JFK = (
    "And so, my fellow Americans, ask not what your country can do for you, ask what you can do "
    "for your country."
)


def speakers(worker: AsrWorker, sample: Path, reference: Path) -> Result:
    """Transcribe `sample`, which lies on the worker's volume, and score its words' speakers."""
    job = {"task": "transcript", "audio": f"volume://{AUDIO}/{sample.name}"}
    (reply,) = worker.run([job]).answers
    words = [
        SpokenWord(word["word"], word["start"], word["end"], word["speaker"])
        for segment in reply["segments"]
        for word in segment["words"]
    ]
    right, counted = speaker_share(words, read_rttm(reference.read_text(encoding="utf-8")))
    return {"words": len(words), "counted": counted, "right": right, "text": reply["text"]}


def jfk(worker: AsrWorker, alias: str, recording: Path) -> Result:
    """Errors in the words of one sentence, on each side; it lies on the worker's volume."""
    job = {"task": "asr", "model": alias, "audio": f"volume://{AUDIO}/{recording.name}"}
    model = {"model": str(worker.folder(alias)), "precision": "float32"}
    answers = {
        "worker": worker.run([job]),
        "faster-whisper": peer("asr_faster_whisper.py", {**model, "recordings": [str(recording)]}),
    }
    expected = normalised(JFK)
    errors = {
        side: word_errors(expected, normalised(run.answers[-1]["text"]))
        for side, run in answers.items()
    }
    return {"words": len(expected), "word_errors": errors}
