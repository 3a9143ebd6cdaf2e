"""What the worker's networks answer: golden VAD segments compared, an embedding.

python -m benchmarks.worker_engines DATA_DIR   -> a line of JSON
"""

import json
import os
import sys
from pathlib import Path

from volume_bootstrap.layout import Volume
from worker.activation import activate, choose_project
from worker.settings import Settings

TOLERANCE_MS = 10
WINDOW_S = 1.5
WINDOW_START_S = 7.0
"""Start of the window of sample.wav that is embedded: one voice speaks in it."""

Golden = dict[str, dict[str, list[tuple[int, int]]]]


def main(data: Path) -> None:
    settings = Settings.from_environment(os.environ)
    volume = Volume(settings.volume)
    project = choose_project(volume, settings.project)
    activate(volume, project)

    from worker.audio import decode
    from worker.device import choose
    from worker.engines.embedding import SpeakerEmbedding
    from worker.engines.vad import FsmnVad, VadOptions
    from worker.model_cache import ModelCache
    from worker.model_store import ModelStore
    from worker.segments import Window

    store = ModelStore(volume, project, settings.models)
    cache = ModelCache(store, choose(settings.device, settings.num_threads))
    aliases = store.manifest().defaults["diarization"]["models"]
    vad = FsmnVad(cache.session(store.find(aliases["vad"], "vad")))
    embed = SpeakerEmbedding(cache.session(store.find(aliases["embedding"], "embedding")))

    golden: Golden = json.loads((data / "golden_fsmn_vad.json").read_text())["segments"]
    found: Golden = {}
    for name, settings_ms in golden.items():
        waveform = decode(data / "audio" / name, max_seconds=settings.max_audio_s).waveform
        found[name] = {
            silence_ms: [
                (round(s.start * 1000), round(s.end * 1000))
                for s in vad(waveform, VadOptions(max_end_silence_ms=int(silence_ms)))
            ]
            for silence_ms in settings_ms
        }
        if name == "sample.wav":
            start = round(WINDOW_START_S * 16_000)
            window = waveform[start : start + round(WINDOW_S * 16_000)]
            embedding = embed(window, [Window(0.0, WINDOW_S, 0)], WINDOW_S)[0].tolist()
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
    main(Path(sys.argv[1]))
