"""Many jobs in a row on one worker, good and bad mixed, and what it has grown by afterwards."""

import base64
import json
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.faults.worker_scene import (
    DATA,
    DEADLINE_S,
    HeldWorker,
    Trial,
    WorkerScene,
    comparable,
)
from tests.platform import until

NUM_JOBS = 1000
NUM_WARM = 100
BATCH = 50
"""Jobs that are submitted at once: the worker has always some to choose from."""
MOST_GROWTH = 0.05
"""Of resident memory, from the end of the warm jobs to the end of all."""


@dataclass(frozen=True, slots=True)
class Size:
    """What a worker holds when it is idle."""

    resident_bytes: int
    threads: int
    descriptors: int

    def __str__(self) -> str:
        return (
            f"{self.resident_bytes / 1e6:.1f} MB, {self.threads} threads, "
            f"{self.descriptors} descriptors"
        )


def good_jobs(scene: WorkerScene) -> dict[str, Any]:
    """Short clips of real speech, in several ways; by a name."""
    here = scene.media.url("/files/sample.wav")

    def clip(url: str, offset: float, duration: float) -> dict[str, Any]:
        return {"url": url, "offset": offset, "duration": duration}

    there = "volume://samples/sample.wav"
    jfk = scene.media.url("/files/jfk.flac")
    return {
        "speakers": {"task": "diarization", "audio": clip(here, 8, 3)},
        "speakers, volume": {"task": "diarization", "audio": clip(there, 12, 2)},
        "speakers, flac": {"task": "diarization", "audio": clip(jfk, 0.5, 3)},
        "silence": {"task": "diarization", "audio": clip(here, 0, 1)},
        "text": {"task": "asr", "audio": clip(here, 12.5, 1.5)},
        "text, speakers": {"audio": clip(here, 8, 3), "formats": ["json", "srt", "rttm"]},
        "list with a bad one": {
            "task": "diarization",
            "audio": [clip(there, 8, 2), "volume://none.wav"],
        },
        "health": {"task": "health"},
    }


def bad_jobs(scene: WorkerScene) -> dict[str, tuple[str, Any]]:
    """Jobs that fail, with their code; by a name."""
    flac = (DATA / "jfk.flac").read_bytes()
    wav = (DATA / "sample.wav").read_bytes()
    media = {
        "noise": random.Random(1).randbytes(5000),
        "text": b"This is no audio. " * 50,
        "flac header": flac[:100],
        "wav header": wav[:44],
        "wrong flac": b"fLaC" + random.Random(2).randbytes(20_000),
        "zip": b"PK\x03\x04" + bytes(500),
    }
    fields: dict[str, Any] = {
        "no input": None,
        "no audio": {"task": "asr"},
        "unknown task": {"task": "sing", "audio": "volume://samples/sample.wav"},
        "unknown field": {"audio": "volume://samples/sample.wav", "colour": 7},
        "no number": {"audio": "volume://samples/sample.wav", "num_speakers": "many"},
        "unknown model": {"audio": "volume://samples/sample.wav", "model": "none"},
    }
    forbidden = (
        "http://169.254.169.254/latest/meta-data",
        "http://10.0.0.1/x.wav",
        "volume://../etc/passwd",
        "volume://models/x.wav",
    )
    missing = ("volume://none.wav", scene.media.url("/status/404"), scene.media.url("/html"))
    return {
        **{name: ("UNSUPPORTED_AUDIO", {"audio": _inline(body)}) for name, body in media.items()},
        **{name: ("INVALID_INPUT", job_input) for name, job_input in fields.items()},
        **{url: ("FORBIDDEN_URL", {"audio": url}) for url in forbidden},
        **{url: ("FETCH_FAILED", {"audio": url}) for url in missing},
    }


def _inline(body: bytes) -> str:
    return f"data:audio/wav;base64,{base64.b64encode(body).decode()}"


def endure(trial: Trial, num_jobs: int = NUM_JOBS, num_warm: int = NUM_WARM) -> str:
    """Run so many jobs; what the worker holds is compared with that after the first `num_warm`."""
    mixer = Mixer(trial)
    with trial.scene.worker() as worker:
        mixer.run(num_warm)
        before = _size(worker)
        for done in range(num_warm, num_jobs, BATCH):
            mixer.run(min(BATCH, num_jobs - done))
        # Connections that are kept open for a while count only if they stay.
        until(lambda: _size(worker).descriptors <= before.descriptors, DEADLINE_S)
        after = _size(worker)
        trial.expect_clean(worker)
    growth = after.resident_bytes / before.resident_bytes - 1
    trial.check(growth <= MOST_GROWTH, f"resident memory grew by {growth:.1%}")
    trial.check(after.threads <= before.threads, f"{after.threads} threads, not {before.threads}")
    return (
        f"after {num_warm}: {before}; after {num_jobs}: {after} ({growth:+.1%}); "
        f"{', '.join(f'{count} {code}' for code, count in mixer.codes.most_common())}"
    )


class Mixer:
    """Draws jobs, always the same ones in the same order, and looks at what each gives."""

    def __init__(self, trial: Trial) -> None:
        self._trial = trial
        self._good = good_jobs(trial.scene)
        self._bad = bad_jobs(trial.scene)
        self._source = random.Random(7)
        self._first: dict[str, Any] = {}
        self.codes: Counter[str] = Counter()

    def run(self, count: int) -> None:
        """Submit so many jobs, wait for all."""
        platform = self._trial.scene.platform
        names = [self._source.choice([*self._good, *self._bad]) for _ in range(count)]
        jobs = [(name, self._trial.submit_input(self._input(name))) for name in names]
        for name, job in jobs:
            self._judge(name, platform.wait(job, DEADLINE_S))
            posted = len(platform.results(job))
            self._trial.check(posted == 1, f"{name}: {posted} results")

    def _input(self, name: str) -> Any:
        return self._good[name] if name in self._good else self._bad[name][1]

    def _judge(self, name: str, ended: Mapping[str, Any]) -> None:
        """A job gives what it gave the first time, whatever came in between."""
        code = str(ended.get("error", "COMPLETED")).partition(":")[0]
        self.codes[code] += 1
        wanted = "COMPLETED" if name in self._good else self._bad[name][0]
        self._trial.check(code == wanted, f"{name}: {ended}, not {wanted}")
        if name == "health" or code != "COMPLETED":
            return
        found = json.dumps(comparable(ended["output"]))
        first = self._first.setdefault(name, found)
        self._trial.check(found == first, f"{name}: {found}, the first time {first}")


def _size(worker: HeldWorker) -> Size:
    return Size(worker.rss_bytes(), worker.threads(), len(worker.descriptors()))
