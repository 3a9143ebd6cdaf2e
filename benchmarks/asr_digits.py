"""The clips of digits: the worker beside FunASR, errors in words, texts and times compared."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.asr_score import TAG, furthest, normalised, word_errors
from benchmarks.asr_sides import AUDIO, AsrWorker, peer
from benchmarks.peers import VAD_FOLDER

Result = dict[str, Any]

PRECISIONS = ("float32", "int8")
FUNASR, FUNASR_CUT = "FunASR", "FunASR with VAD"


def read_transcripts(path: Path) -> dict[str, list[str]]:
    """Read transcripts.tsv: a file's name, a tab, its words."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return {name: text.split() for name, text in (line.split("\t") for line in lines)}


def digits(worker: AsrWorker, alias: str, transcripts: dict[str, list[str]]) -> Result:
    """Recognise the clips, which lie on the worker's volume, in each way.

    FunASR and the worker's engine get whole clips, so that both see the same samples; FunASR with
    its VAD and the service, with the project's settings, cut them.
    """
    clips = [worker.audio / name for name in transcripts]
    job = {
        "model": str(worker.folder(alias)),
        "options": {"language": "en", "use_itn": False, "output_timestamp": True},
        "recordings": [str(clip) for clip in clips],
    }
    funasr = peer("asr_funasr.py", job).answers
    vad = str(worker.volume.root / VAD_FOLDER)
    funasr_cut = peer("asr_funasr.py", {**job, "vad_model": vad}).answers
    expected = list(transcripts.values())
    result: Result = {
        "clips": len(clips),
        "words": sum(map(len, expected)),
        "word_errors": {
            FUNASR: _errors(expected, funasr),
            FUNASR_CUT: _errors(expected, funasr_cut),
        },
        "engine_beside_funasr": {},
    }
    for precision in PRECISIONS:
        request = {
            "task": "asr",
            "model": alias,
            "language": "en",
            "itn": False,
            "timestamps": "word",
            "audio": [f"volume://{AUDIO}/{clip.name}" for clip in clips],
        }
        (reply,) = worker.run([request], precision).answers
        served = [_output(one) for one in reply["results"]]
        engine = worker.script("asr_engine", alias, *map(str, clips), precision=precision).answers
        result["word_errors"][f"service {precision}"] = _errors(expected, served)
        result["word_errors"][f"engine {precision}"] = _errors(expected, engine)
        result["engine_beside_funasr"][precision] = _compared(funasr, engine)
    return result


def _output(result: Result) -> Result:
    if not result["ok"]:
        raise RuntimeError(f"the worker failed on a clip: {result['error']}")
    output: Result = result["output"]
    return output


def _errors(expected: Sequence[Sequence[str]], answers: Sequence[Result]) -> int:
    pairs = zip(expected, answers, strict=True)
    return sum(word_errors(words, normalised(answer["text"])) for words, answer in pairs)


def _compared(funasr: Sequence[Result], engine: Sequence[Result]) -> Result:
    """How many texts and counts of words are equal, and how far times lie apart."""
    pairs = list(zip(funasr, engine, strict=True))
    same_count = [(a, b) for a, b in pairs if len(a["words"]) == len(b["words"])]
    return {
        "same_text": sum(TAG.sub("", a["text"]).strip() == b["text"] for a, b in pairs),
        "same_number_of_words": len(same_count),
        "words": sum(len(b["words"]) for _, b in pairs),
        "furthest_ms": max(
            (furthest(a["timestamp"], b["timestamp"]) for a, b in same_count), default=None
        ),
    }
