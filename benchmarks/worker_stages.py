"""The worker's stages on one long recording, in a process of its own: a line of JSON.

python -m benchmarks.worker_stages SOURCE SECONDS [diarize]

The recording is SOURCE over and over. Prints seconds and peak memory (VmHWM) of each stage.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from worker.activation import activate, choose_project
from worker.settings import Settings

MEMORY_PEAK = "VmHWM:"
MEMORY_NOW = "VmRSS:"

Stages = dict[str, dict[str, float]]


def main(source: Path, seconds: float, *, diarize: bool) -> None:
    settings = Settings.from_environment(os.environ)
    project = choose_project(settings.layout, settings.project)
    activate(settings.layout, project)

    from worker.audio import decode
    from worker.control import JobControl
    from worker.device import choose
    from worker.diarization.pipeline import DiarizationOptions, Diarizer
    from worker.engines.embedding import SpeakerEmbedding
    from worker.engines.session import OnnxSession
    from worker.engines.vad import FsmnVad, VadOptions
    from worker.memory import Memory
    from worker.model_store import ModelStore
    from worker.telemetry import Stopwatch

    store = ModelStore(settings.layout, project)
    device = choose(settings.device, settings.num_threads)
    aliases = store.manifest().defaults["diarization"]["models"]
    paths = {task: store.verified(store.find(task, aliases[task])) for task in aliases}
    vad = FsmnVad(OnnxSession(paths["vad"], device))
    embedding = SpeakerEmbedding(OnnxSession(paths["embedding"], device))

    control = JobControl()
    stages: Stages = {}
    with tempfile.TemporaryDirectory(prefix="speech-bench-") as temporary:
        folder = Path(temporary)
        path = folder / "recording.mka"
        repeat(source, path, seconds)
        before_mb = _memory_mb(MEMORY_NOW)
        with _measured("decode", stages):
            target = folder / "samples.f32"
            audio = decode(path, target, control, max_seconds=seconds, duration=seconds)
        with audio.waveform as waveform:
            with _measured("vad", stages):
                segments = vad(waveform, VadOptions(), control)
            if diarize:
                watch = Stopwatch()
                with _measured("diarization", stages):
                    diarizer = Diarizer(embedding, Memory(device, lambda: None))
                    diarizer(waveform, segments, DiarizationOptions(), watch, control)
    result = {
        "duration_s": round(audio.duration, 3),
        "samples_mb": round(audio.duration * 16_000 * 4 / 1e6),
        "segments": len(segments),
        "before_mb": before_mb,
        "stages": stages,
    }
    print(json.dumps(result))


def repeat(source: Path, target: Path, seconds: float) -> None:
    """Write a Matroska file that holds the packets of `source` over and over."""
    import av

    with av.open(str(target), "w", format="matroska") as output:
        copied = None
        start = 0.0
        while start < seconds:
            with av.open(str(source)) as container:
                stream = container.streams.audio[0]
                copied = copied or output.add_stream_from_template(stream)
                offset = round(start / stream.time_base)
                for packet in container.demux(stream):
                    if packet.pts is None:  # the last one, which holds nothing
                        continue
                    packet.pts += offset
                    packet.dts = packet.pts
                    end = float((packet.pts + packet.duration) * packet.time_base)
                    packet.stream = copied
                    output.mux(packet)
            start = end


@contextmanager
def _measured(name: str, stages: Stages) -> Iterator[None]:
    # 5: the peak is forgotten (proc_pid_clear_refs(5)).
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    started = time.perf_counter()
    yield
    seconds = round(time.perf_counter() - started, 2)
    stages[name] = {"seconds": seconds, "peak_mb": _memory_mb(MEMORY_PEAK)}


def _memory_mb(field: str) -> float:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(field):
            return round(int(line.split()[1]) * 1024 / 1e6, 1)
    raise RuntimeError(f"/proc/self/status has no {field}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]), diarize=sys.argv[3:] == ["diarize"])
