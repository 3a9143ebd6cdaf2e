"""Results as the service makes them."""

import json

from tests.s3.accounts import SECRET

SAMPLE = {"task": "diarization", "audio": "volume://samples/sample.wav"}
RESULT = {
    "task": "diarization",
    "audio": {"id": None, "duration": 1.0},
    "speakers": [],
    "turns": [{"start": 0.0, "end": 1.0, "speaker": "SPEAKER_00"}],
    "models": {"vad": "v"},
    "timings": {"total": 1.0},
    "files": {"rttm": "SPEAKER ä\n"},
}
"""As the service makes it."""
JSON_ALONE = {key: value for key, value in RESULT.items() if key != "files"}
SHORT = {"task", "audio", "speakers", "models", "timings", "files"}


def of_size(size: int) -> dict:
    """A reply of this many bytes."""
    padding = size - len(json.dumps({**RESULT, "text": ""}, ensure_ascii=False).encode())
    return {**RESULT, "text": "x" * padding}


def config(url: str, **fields: str) -> dict[str, str]:
    return {"accessId": "KEY", "accessSecret": SECRET, "endpointUrl": url, **fields}
