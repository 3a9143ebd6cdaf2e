"""What the worker's networks answer: golden VAD segments compared, an embedding.

python -m benchmarks.worker_engines DATA_DIR START_S SECONDS   -> a line of JSON

The embedding is that of the window of sample.wav.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

from worker.activation import activate, choose_project
from worker.settings import Settings

TOLERANCE_MS = 10

Golden = dict[str, dict[str, list[tuple[int, int]]]]


def main(data: Path, start_s: float, window_s: float) -> None:
    settings = Settings.from_environment(os.environ)
    project = choose_project(settings.layout, settings.project)
    activate(settings.layout, project)

    from worker.audio import decode
    from worker.control import JobControl
    from worker.device import choose
    from worker.engines.embedding import SpeakerEmbedding
    from worker.engines.session import OnnxSession
    from worker.engines.vad import FsmnVad, VadOptions
    from worker.model_store import ModelStore
    from worker.segments import Window
    from worker.waveform import SAMPLE_RATE

    store = ModelStore(settings.layout, project)
    device = choose(settings.device, settings.num_threads)
    aliases = store.manifest().defaults["diarization"]["models"]
    paths = {task: store.verified(store.find(task, aliases[task])) for task in aliases}
    vad = FsmnVad(OnnxSession(paths["vad"], device))
    embed = SpeakerEmbedding(OnnxSession(paths["embedding"], device))
    control = JobControl()

    golden: Golden = json.loads((data / "golden_fsmn_vad.json").read_text())["segments"]
    found: Golden = {}
    for name, settings_ms in golden.items():
        with tempfile.TemporaryDirectory(prefix="speech-bench-") as folder:
            target = Path(folder) / "samples.f32"
            audio = decode(data / "audio" / name, target, control, max_seconds=settings.max_audio_s)
            with audio.waveform as opened:
                waveform = opened[:]
        found[name] = {
            silence_ms: [
                (round(s.start * 1000), round(s.end * 1000))
                for s in vad(waveform, VadOptions(max_end_silence_ms=int(silence_ms)), control)
            ]
            for silence_ms in settings_ms
        }
        if name == "sample.wav":
            start = round(start_s * SAMPLE_RATE)
            window = waveform[start : start + round(window_s * SAMPLE_RATE)]
            embedding = embed(window, [Window(0.0, window_s, 0)], window_s, control)[0].tolist()
    print(json.dumps({"vad": compare(golden, found), "embedding": embedding}))


def compare(golden: Golden, found: Golden) -> dict[str, object]:
    """How far the boundaries lie from the golden ones."""
    worst_ms = segments = 0
    different = []
    for name, by_silence in golden.items():
        for silence_ms, expected in by_silence.items():
            mine = found[name][silence_ms]
            segments += len(expected)
            if len(mine) != len(expected):
                different.append(f"{name} at {silence_ms} ms: {len(mine)} of {len(expected)}")
                continue
            pairs = zip(mine, expected, strict=True)
            distances = [abs(a - b) for m, e in pairs for a, b in zip(m, e, strict=True)]
            furthest = max(distances, default=0)
            worst_ms = max(worst_ms, furthest)
            if furthest > TOLERANCE_MS:
                different.append(f"{name} at {silence_ms} ms: off by {furthest} ms")
    return {
        "files": len(golden),
        "segments": segments,
        "worst_ms": worst_ms,
        "different": different,
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]))
