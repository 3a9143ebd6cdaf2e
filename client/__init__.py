"""A client of the speech worker, on RunPod or on this machine.

>>> from client import Client
>>> with Client(endpoint="abc123") as client:  # doctest: +SKIP
...     result = client.transcribe("call.wav", formats=["srt"])
...     print(result.text, result.files["srt"])
"""

from client.errors import ClientError, JobFailed
from client.result import Audio, Embedding, Result, Segment, Speaker, Turn, Word
from client.session import Client, Job

__all__ = [
    "Audio",
    "Client",
    "ClientError",
    "Embedding",
    "Job",
    "JobFailed",
    "Result",
    "Segment",
    "Speaker",
    "Turn",
    "Word",
]
