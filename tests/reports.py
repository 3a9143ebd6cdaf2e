"""Results as a worker answers them, for reports: small, hostile, in other scripts, very long."""

import random
from typing import Any

from worker.formats.document import Document
from worker.report import reading

HOSTILE = '</script><img src=x onerror="window.owned=1"><!--<script>{{page}}\u2028&lt;'
"""Markup that ends a script, a comment, an attribute; and a field of the template."""

Result = dict[str, Any]


def words(text: str, start: float, step: float = 0.4, **who: str | None) -> list[Result]:
    """Words of a text, one after the other."""
    return [
        {"word": w, "start": round(start + i * step, 3), "end": round(start + (i + 1) * step, 3)}
        | who
        for i, w in enumerate(text.split())
    ]


def segment(text: str, start: float, speaker: str | None, **more: object) -> Result:
    """What somebody said, its words 0.4 s each."""
    told = words(text, start, speaker=speaker)
    end = told[-1]["end"] if told else start + 1.0
    fixed = {"text": text, "language": "en", "emotion": None, "event": None, "words": told}
    return {"start": start, "end": end, "speaker": speaker, **fixed, **more}


def transcript(segments: list[Result], duration: float = 60.0, **audio: object) -> Result:
    """The result that has these segments, a turn for each."""
    turns = [
        {"start": s["start"], "end": s["end"], "speaker": s["speaker"]}
        for s in segments
        if s["speaker"]
    ]
    speakers = [
        {
            "speaker": name,
            "name": None,
            "duration": sum(t["end"] - t["start"] for t in turns if t["speaker"] == name),
            "turns": sum(t["speaker"] == name for t in turns),
        }
        for name in sorted({t["speaker"] for t in turns})
    ]
    source = {"sample_rate": 16000, "channels": 1, "codec": "pcm_s16le"}
    return {
        "task": "transcript",
        "audio": {"id": None, "duration": duration, **source, **audio},
        "speakers": speakers,
        "turns": turns,
        "language": "en",
        "text": " ".join(s["text"] for s in segments),
        "segments": segments,
        "models": {"vad": "iic/vad", "asr": "org/asr"},
        "timings": {"total": 1.5, "rtf": 0.025},
    }


def hostile() -> Result:
    """Markup wherever a caller or a recording may bring text in."""
    result = transcript(
        [
            segment(f"one {HOSTILE} two", 1.0, "SPEAKER_00"),
            segment("three", 20.0, "SPEAKER_01", flaw=HOSTILE, emotion=HOSTILE),
        ],
        id=HOSTILE,
    )
    result["speakers"][0]["name"] = HOSTILE.replace("\u2028", " ")
    result["notes"] = [HOSTILE]
    result["models"]["asr"] = HOSTILE
    return result


def scripts() -> Result:
    """From right to left, without spaces, a speaker nobody knows, two at once."""
    chinese = segment("我们今天讨论的问题", 9.0, "SPEAKER_01")
    chinese["words"] = words("我们 今天 讨论 的 问题", 9.0, speaker="SPEAKER_01")
    result = transcript(
        [
            segment("שלום עולם, מה שלומך היום?", 1.0, "SPEAKER_00", emotion="happy"),
            segment("مرحبا بالعالم", 3.2, "SPEAKER_01", event="laughter"),
            segment("Nobody knows who said this.", 5.0, None),
            chinese,
            segment("At the same time.", 10.0, "SPEAKER_00"),
            segment("", 14.0, "SPEAKER_02", flaw="The model failed on this segment."),
        ],
        id="通话 7",
    )
    result["speakers"][0] |= {"name": "Ann Lee", "score": 0.741}
    result["notes"] = ["speakers: 'Ann Lee' and 'Bo' sound like one person (0.71)"]
    return result


def ten_hours(num_segments: int = 20_000, num_speakers: int = 8) -> Result:
    """A day of meetings: 36,000 s, a hundred thousand words and more."""
    chosen = random.Random(7)
    spoken, now = [], 0.5
    step = 36_000 / num_segments
    for _ in range(num_segments):
        text = " ".join(chosen.choice(["well", "yes", "going", "to", "think"]) for _ in range(5))
        speaker = f"SPEAKER_{chosen.randrange(num_speakers):02d}"
        told = segment(text, round(now, 3), speaker)
        told["words"] = words(text, round(now, 3), 0.3, speaker=speaker)
        told["end"] = told["words"][-1]["end"]
        spoken.append(told)
        now += step
    return transcript(spoken, 36_000.0, id="ten hours")


def document(result: dict) -> Document:
    """What the exports of a result called "call" are made of."""
    return reading.document_of(reading.ResultPart.model_validate(result), "call")
