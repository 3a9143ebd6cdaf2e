"""Jobs for the real service, and audio for them."""

import base64
import json
import tempfile
import wave
from pathlib import Path

import numpy as np

from worker.service import Service

SAMPLE = "volume://samples/sample.wav"


def ask(service: Service, audio: object, **fields: object) -> dict:
    """The answer to a job, which leaves no temporary file and serialises."""
    reply = service.answer({"audio": audio, **fields})
    assert list(Path(tempfile.gettempdir()).iterdir()) == []
    json.dumps(reply, allow_nan=False, ensure_ascii=False).encode()  # as the SDK does
    return reply


def diarize(service: Service, audio: object, **fields: object) -> dict:
    """The answer to a job that asks who spoke when."""
    return ask(service, audio, task="diarization", **fields)


def wav(samples: np.ndarray, rate: int = 16_000) -> str:
    """Mono float samples as a data URI of 16-bit PCM."""
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        with wave.open(file, "wb") as target:
            target.setnchannels(1)
            target.setsampwidth(2)
            target.setframerate(rate)
            target.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
        return data_uri(Path(file.name).read_bytes())


def data_uri(content: bytes) -> str:
    return "data:audio/wav;base64," + base64.b64encode(content).decode()
