"""faster-whisper's BatchedInferencePipeline, in a process of its own: a line of JSON per recording.

python asr_faster_whisper.py '{"model": DIR, "precision": "float32", "recordings": [FILE, ...]}'

The first recording only warms it up.
"""

import json
import sys
import time
from typing import Any

from faster_whisper import BatchedInferencePipeline, WhisperModel  # type: ignore[import-not-found]

THREADS = 2
BATCH_SIZE = 8
BEAM_SIZE = 5
"""As the worker's engine."""


def main(job: dict[str, Any]) -> None:
    model = WhisperModel(
        job["model"],
        device="cpu",
        compute_type=job["precision"],
        cpu_threads=THREADS,
        local_files_only=True,
    )
    pipeline = BatchedInferencePipeline(model)
    for recording in job["recordings"]:
        started = time.perf_counter()
        segments, information = pipeline.transcribe(
            recording, batch_size=BATCH_SIZE, beam_size=BEAM_SIZE, word_timestamps=True
        )
        texts, words = [], 0
        for segment in segments:
            texts.append(segment.text)
            words += len(segment.words)
        print(
            json.dumps(
                {
                    "wall_s": time.perf_counter() - started,
                    "speech_s": information.duration_after_vad,
                    "segments": len(texts),
                    "words": words,
                    "text": "".join(texts),
                }
            ),
            flush=True,
        )


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
