"""An engine of the worker on whole recordings, without VAD: a line of JSON per recording.

python -m benchmarks.asr_engine ALIAS RECORDING...

All are one batch. Language en, with word times, without ITN; times in milliseconds.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

from worker.activation import activate, choose_project
from worker.settings import Settings


def main(alias: str, recordings: list[str]) -> None:
    settings = Settings.from_environment(os.environ)
    project = choose_project(settings.layout, settings.project)
    activate(settings.layout, project)

    from worker.audio import decode
    from worker.control import JobControl
    from worker.device import choose
    from worker.engines.base import AsrOptions
    from worker.model_store import ModelStore
    from worker.planning import LOADERS

    store = ModelStore(settings.layout, project)
    precision = None if settings.precision == "auto" else settings.precision
    device = choose(settings.device, settings.num_threads, precision)
    record = store.find("asr", alias)
    recognise = LOADERS[str(record.engine)](store.verified(record), device)
    waveforms = []
    with tempfile.TemporaryDirectory() as folder:
        for number, recording in enumerate(recordings):
            target = Path(folder) / str(number)
            audio = decode(Path(recording), target, JobControl(), max_seconds=settings.max_audio_s)
            with audio.waveform as waveform:
                waveforms.append(waveform[:])
    options = AsrOptions(language="en", word_times=True, itn=False)
    for found in recognise(waveforms, options):
        words = found.words or ()
        answer = {
            "text": found.text,
            "words": [word.text for word in words],
            "timestamp": [[round(w.start * 1000), round(w.end * 1000)] for w in words],
        }
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
