"""FunASR's AutoModel as its users call it, in a process of its own: a line of JSON per recording.

python asr_funasr.py '{"model": DIR, "vad_model": DIR, "options": {...}, "recordings": [WAV, ...]}'

Without a vad_model each recording is one segment. The first recording only warms it up.
"""

import json
import sys
import time
from collections.abc import Sequence
from typing import Any

from funasr import AutoModel

THREADS = 2
VAD_OPTIONS = {"max_end_silence_time": 800, "max_single_segment_time": 30_000}
"""As a job of the worker is given them."""


class Timed(AutoModel):  # type: ignore[misc]
    """Tells apart what the VAD takes, and what it finds."""

    vad_s = 0.0
    segments: Sequence[tuple[int, int]] = ()

    def inference(self, *arguments: Any, model: Any = None, **options: Any) -> Any:  # noqa: ANN401
        started = time.perf_counter()
        results = super().inference(*arguments, model=model, **options)
        if model is not None and model is self.vad_model:
            self.vad_s = time.perf_counter() - started
            self.segments = results[0]["value"]
        return results


def main(job: dict[str, Any]) -> None:
    vad = {"vad_model": job["vad_model"], "vad_kwargs": VAD_OPTIONS} if "vad_model" in job else {}
    model = Timed(
        model=job["model"],
        device="cpu",
        ncpu=THREADS,
        disable_update=True,
        disable_pbar=True,
        log_level="ERROR",
        **vad,
    )
    for recording in job["recordings"]:
        started = time.perf_counter()
        (result,) = model.generate(input=recording, **job["options"])
        print(
            json.dumps(
                {
                    "wall_s": time.perf_counter() - started,
                    "vad_s": model.vad_s,
                    "segments": len(model.segments),
                    "speech_s": sum(end - start for start, end in model.segments) / 1000,
                    "text": result["text"],
                    "words": result.get("words"),
                    "timestamp": result.get("timestamp"),
                }
            ),
            flush=True,
        )


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
