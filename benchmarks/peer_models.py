"""The peer's start: imports funasr and loads the two models, as FunASR's users do.

python peer_models.py VAD_DIR SPK_DIR [WAV START_S SECONDS]   -> "loaded"

With a recording also the embedding of a stretch of it, as a line of JSON: FunASR
builds random weights without a word where it does not find a file.
"""

import sys

from funasr import AutoModel

options = {
    "device": "cpu",
    "ncpu": 2,
    "disable_update": True,
    "disable_pbar": True,
    "log_level": "ERROR",
}
vad = AutoModel(model=sys.argv[1], **options)
speaker = AutoModel(model=sys.argv[2], **options)
print("loaded", flush=True)

if len(sys.argv) > 3:
    import json

    import soundfile  # type: ignore[import-not-found]

    start, seconds = (round(float(value) * 16_000) for value in sys.argv[4:6])
    samples, _ = soundfile.read(sys.argv[3], start=start, frames=seconds, dtype="float32")
    embedding = speaker.generate(input=[samples])[0]["spk_embedding"]
    print(json.dumps(embedding.flatten().tolist()))
