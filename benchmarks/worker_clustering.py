"""Voices embedded, and windows clustered, each in a process of its own: a line of JSON.

python -m benchmarks.worker_clustering embed VOICES EMBEDDINGS
python -m benchmarks.worker_clustering cluster EMBEDDINGS WINDOWS SPEAKERS
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from worker.activation import activate, choose_project
from worker.settings import Settings

TURN_WINDOWS = (1, 2, 4, 6, 10, 16)
"""Lengths of turns: 0.8 to 12 s."""
OVERLAP = 0.12
"""Share of turns whose first window has the voice before in it, too."""
LEAST_WINDOWS = 8
"""A voice of fewer is left out."""
DRIFT = 0.3
"""How far a voice moves every `DRIFT_WINDOWS`, and each window by itself, in unit lengths."""
DRIFT_WINDOWS = 1_000
SEED = 101

Floats = np.ndarray


def embed(voices: Path, target: Path) -> dict[str, int]:
    """Embed the windows of each voice's recordings."""
    from worker.audio import decode
    from worker.control import JobControl
    from worker.device import choose
    from worker.diarization.windows import slide
    from worker.engines.embedding import SpeakerEmbedding
    from worker.engines.session import OnnxSession
    from worker.engines.vad import FsmnVad, VadOptions
    from worker.model_store import ModelStore

    settings = Settings.from_environment(os.environ)
    project = choose_project(settings.layout, settings.project)
    activate(settings.layout, project)
    store = ModelStore(settings.layout, project)
    aliases = store.manifest().defaults["diarization"]["models"]
    device = choose(settings.device, settings.num_threads)
    paths = {task: store.verified(store.find(task, aliases[task])) for task in ("vad", "embedding")}
    vad = FsmnVad(OnnxSession(paths["vad"], device))
    embedding = SpeakerEmbedding(OnnxSession(paths["embedding"], device))
    control = JobControl()
    embeddings = []
    for folder in sorted(path for path in voices.iterdir() if path.is_dir()):
        parts = []
        for recording in sorted(folder.glob("*.flac")):
            with tempfile.TemporaryDirectory(prefix="speech-bench-") as temporary:
                samples = Path(temporary, "samples.f32")
                decoded = decode(recording, samples, control, max_seconds=600)
                with decoded.waveform as waveform:
                    windows = slide(vad(waveform, VadOptions(), control), 1.5, 0.75)
                    parts.append(embedding(waveform, windows, 1.5, control))
        voice = np.concatenate(parts)
        if len(voice) >= LEAST_WINDOWS:
            embeddings.append(voice)
    sizes = [len(voice) for voice in embeddings]
    np.savez(target, windows=np.concatenate(embeddings), sizes=sizes)
    return {"voices": len(sizes), "windows": sum(sizes)}


def converse(voices: list[Floats], num_windows: int) -> tuple[Floats, Floats]:
    """Let the voices take turns, each at first in its order.

    Returns
    -------
    (num_windows, dim) embeddings; (num_windows,) whose each is, -1 where two speak.
    """
    rng = np.random.default_rng(SEED)
    units = [voice / np.linalg.norm(voice, axis=1, keepdims=True) for voice in voices]
    dim = units[0].shape[1]
    windows, speakers = np.empty((num_windows, dim), np.float32), np.empty(num_windows, int)
    drifts: dict[tuple[int, int], Floats] = {}
    at = turn = 0
    last = -1
    while at < num_windows:
        others = [voice for voice in range(len(units)) if voice != last]
        voice = turn if turn < len(units) else int(rng.choice(others or [0]))
        length = min(int(rng.choice(TURN_WINDOWS)), num_windows - at, len(units[voice]))
        first = int(rng.integers(len(units[voice]) - length + 1))
        key = voice, at // DRIFT_WINDOWS
        drift = drifts.setdefault(key, rng.normal(size=dim) * DRIFT / np.sqrt(dim))
        noise = rng.normal(size=(length, dim)) * DRIFT / np.sqrt(dim)
        windows[at : at + length] = units[voice][first : first + length] + drift + noise
        speakers[at : at + length] = voice
        if at and rng.random() < OVERLAP:
            windows[at] += windows[at - 1]
            speakers[at] = -1
        at, last, turn = at + length, voice, turn + 1
    return windows, speakers


def cluster(path: Path, num_windows: int, num_speakers: int) -> dict[str, float]:
    """Cluster a conversation of the first voices of a file."""
    from worker.diarization.clustering import (
        MERGE_SIMILARITY,
        SpeakerBounds,
        find_centroids,
        normalise,
        settle,
    )

    with np.load(path) as file:
        voices = np.split(file["windows"], file["sizes"].cumsum()[:-1])[:num_speakers]
    windows, speakers = converse(voices, num_windows)
    started = time.perf_counter()
    checks = [started]
    unit = normalise(windows)
    centroids = find_centroids(
        unit, SpeakerBounds(), MERGE_SIMILARITY, lambda: checks.append(time.perf_counter())
    )
    checks.append(time.perf_counter())
    found = settle(unit, centroids).argmax(axis=1)
    checks.append(time.perf_counter())
    clear = speakers >= 0
    common = np.zeros((len(centroids), num_speakers), int)
    np.add.at(common, (found[clear], speakers[clear]), 1)
    return {
        "windows": num_windows,
        "speakers": len(np.unique(speakers[clear])),
        "found": len(centroids),
        "right_percent": round(100 * _best(common) / clear.sum(), 3),
        "seconds": round(checks[-1] - started, 3),
        "longest_step_s": round(float(np.diff(checks).max()), 3),
    }


def _best(common: Floats) -> int:
    """Windows that are right when each speaker is given one that was found, the best first."""
    common = common.copy()
    right = 0
    for _ in range(min(common.shape)):
        best = np.unravel_index(common.argmax(), common.shape)
        right += int(common[best])
        common[best[0]], common[:, best[1]] = 0, 0
    return right


def main() -> None:
    match sys.argv[1:]:
        case ["embed", voices, target]:
            print(json.dumps(embed(Path(voices), Path(target))))
        case ["cluster", path, windows, speakers]:
            print(json.dumps(cluster(Path(path), int(windows), int(speakers))))
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    main()
