"""How well enrolled voices are known again: error rates by seconds of enrolment and threshold.

    .venv-bench/bin/python -m benchmarks.voices --data ../shared/data --tools ../shared/tools

Each voice's recordings are divided: one half goes into conversations, the other is enrolled, so
that nothing is compared with itself. Prints a table and writes results/voices.json.
"""

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile  # type: ignore[import-not-found]

from benchmarks import machine, process
from benchmarks.conversations import GENERATOR, Conversation
from benchmarks.output import RESULTS, write
from benchmarks.sides import Worker, add_worker_options
from volume_bootstrap.layout import Volume

SEEDS = range(101, 113)
MINUTES = 3
ENROLMENT_S = (3, 5, 10, 30)
TELEPHONE_S = 10
"""Enrolled once more as over a telephone: 300 to 3400 Hz, and noise 15 dB below the voice."""
MAX_CUTS = 2
"""Stretches of one voice that are enrolled, of each length."""
KEPT_S = 10.0
MIN_SPOKEN_S = 3.0
"""The end of a voice's only recording is enrolled; its beginning, if so long, goes into
conversations."""
THRESHOLDS = (0.45, 0.50, 0.55, 0.60, 0.65, 0.70)
MANY_VOICES = 10
LIST_LENGTH = 64
RATE = 16_000

Result = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Speaker:
    """Somebody in a conversation, or an enrolled stretch of a voice.

    kind : of enrolment, such as ``10 s``.
    """

    name: str
    unit: np.ndarray
    kind: str = ""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.voices", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="holds voices/")
    parser.add_argument("--tools", type=Path, required=True, help=f"holds {GENERATOR}")
    add_worker_options(parser)
    parser.add_argument("--seeds", type=int, nargs="+", default=[*SEEDS], help="of conversations")
    arguments = parser.parse_args()
    volume = Volume(arguments.volume)
    with tempfile.TemporaryDirectory(prefix="speech-bench-") as temporary:
        folder = Path(temporary)
        apart = divide(arguments.data / "voices", folder)
        generator, voices = arguments.tools / GENERATOR, folder / "voices"
        conversations = [
            Conversation(seed, 2 + seed % 7, MINUTES).make(generator, voices, folder)
            for seed in arguments.seeds
        ]
        worker = Worker.prepare(
            arguments.worker_python,
            volume,
            arguments.project,
            [*conversations, *sorted((folder / "enrolled").iterdir())],
            folder / "volume",
        )
        heard = hear(worker, conversations)
        enrolled = enrol(worker, folder / "enrolled")
    result = {
        "machine": machine.describe(volume, arguments.project),
        "seeds": arguments.seeds,
        "speakers_heard": len(heard),
        **rates(heard, enrolled, apart),
    }
    write(RESULTS / "voices.json", result)
    print(render(result))


def divide(voices: Path, folder: Path) -> frozenset[str]:
    """Divide each voice's speech between conversations and enrolment.

    Returns
    -------
    Voices with several recordings, which have both in different ones.
    """
    several = set()
    for voice in sorted(path for path in voices.iterdir() if path.is_dir()):
        parts = [soundfile.read(path, dtype="float32")[0] for path in sorted(voice.glob("*.flac"))]
        if len(parts) > 1:
            several.add(voice.name)
            spoken, kept = parts[::2], parts[1::2]
        else:
            at = max(0, len(parts[0]) - round(KEPT_S * RATE))
            spoken, kept = [parts[0][:at]] * (at >= MIN_SPOKEN_S * RATE), [parts[0][at:]]
        for number, part in enumerate(spoken):
            target = folder / "voices" / voice.name / f"{number}.flac"
            target.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(target, part, RATE)
        (folder / "enrolled").mkdir(exist_ok=True)
        enrolled = np.concatenate(kept)
        soundfile.write(folder / "enrolled" / f"{voice.name}.flac", enrolled, RATE)
        soundfile.write(folder / "enrolled" / f"{voice.name}-phone.flac", phone(enrolled), RATE)
    return frozenset(several)


def phone(samples: np.ndarray) -> np.ndarray:
    """What is left of a voice on a telephone line."""
    spectrum = np.fft.rfft(samples)
    hertz = np.fft.rfftfreq(len(samples), 1 / RATE)
    band = np.fft.irfft(np.where((hertz >= 300) & (hertz <= 3400), spectrum, 0), len(samples))
    noise = np.random.default_rng(len(samples)).standard_normal(len(samples))
    heard: np.ndarray = band + noise * band.std() * 10 ** (-15 / 20)
    return np.clip(heard, -1, 1)


def hear(worker: Worker, conversations: Sequence[Path]) -> list[Speaker]:
    """Diarize the conversations; who somebody is, is told by the reference."""
    replies = answers(worker, [{"url": f"volume://audio/{path.name}"} for path in conversations])
    heard = []
    for path, reply in zip(conversations, replies, strict=True):
        truth = _reference(path.with_suffix(".rttm"))
        for speaker in reply["speakers"]:
            shared: Counter[str] = Counter()
            for turn in reply["turns"]:
                for start, end, name in truth if turn["speaker"] == speaker["speaker"] else ():
                    shared[name] += max(0.0, min(end, turn["end"]) - max(start, turn["start"]))
            heard.append(Speaker(shared.most_common(1)[0][0], _unit(speaker)))
    return heard


def enrol(worker: Worker, folder: Path) -> list[Speaker]:
    """Embed stretches of each voice, of each length."""
    cuts: list[tuple[Path, int, int]] = []
    for path in sorted(folder.iterdir()):
        for seconds in [TELEPHONE_S] if path.stem.endswith("-phone") else ENROLMENT_S:
            number = min(MAX_CUTS, round(soundfile.info(path).duration) // seconds)
            cuts += [(path, seconds, seconds * index) for index in range(number)]
    sources = [
        {"url": f"volume://audio/{path.name}", "offset": offset, "duration": seconds}
        for path, seconds, offset in cuts
    ]
    enrolled = []
    for (path, seconds, _), reply in zip(cuts, answers(worker, sources, 1), strict=True):
        name, _, line = path.stem.partition("-")
        kind = f"{seconds} s {line}".strip()
        enrolled += [Speaker(name, _unit(speaker), kind) for speaker in reply["speakers"]]
    return enrolled


def answers(
    worker: Worker, sources: Sequence[Result], num_speakers: int | None = None
) -> Iterator[Result]:
    """What the worker finds in each, in order."""
    job = {"task": "diarization", "return_embeddings": True}
    if num_speakers:
        job["num_speakers"] = num_speakers
    lists = [sources[i : i + LIST_LENGTH] for i in range(0, len(sources), LIST_LENGTH)]
    command = [worker.python, "-m", "benchmarks.worker_jobs"]
    jobs = [json.dumps({**job, "audio": audio}) for audio in lists]
    for line in process.run([*command, *jobs], worker.environment).lines:
        for entry in json.loads(line)["results"]:
            if not entry["ok"]:
                sys.exit(entry["error"])
            yield entry["output"]


def rates(heard: Sequence[Speaker], enrolled: Sequence[Speaker], apart: frozenset[str]) -> Result:
    """Count errors in percent of the pairs, for each length and threshold that has any."""
    table = {}
    for kind in (*(f"{seconds} s" for seconds in ENROLMENT_S), f"{TELEPHONE_S} s phone"):
        cuts = [cut for cut in enrolled if cut.kind == kind]
        same = np.array([[s.name == c.name for c in cuts] for s in heard])
        if same.all() or not same.any():
            continue
        scores = np.stack([s.unit for s in heard]) @ np.stack([c.unit for c in cuts]).T
        other_day = same & np.array([[c.name in apart for c in cuts]])
        genuine = {"": scores[same]}
        if other_day.any():
            genuine["_other_recording"] = scores[other_day]
        table[kind] = {
            "stretches": len(cuts),
            **{f"genuine{which}": _spread(found) for which, found in genuine.items()},
            "impostor": _spread(scores[~same]),
            "equal_error_percent": _equal_error(scores[same], scores[~same]),
            "errors": {
                f"{threshold:.2f}": {
                    **{f"rejected{w}": _percent(f < threshold) for w, f in genuine.items()},
                    "accepted": _percent(scores[~same] >= threshold),
                    "accepted_among_many": _among_many(scores, same, threshold),
                }
                for threshold in THRESHOLDS
            },
        }
    return {"by_enrolment": table}


def _among_many(scores: np.ndarray, same: np.ndarray, threshold: float) -> float:
    """Speakers who are taken for one of `MANY_VOICES` enrolled ones, none of them theirs."""
    rng = np.random.default_rng(1)
    taken = [
        (rng.choice(row[~own], MANY_VOICES) >= threshold).any()
        for row, own in zip(scores, same, strict=True)
        for _ in range(100)
        if not own.all()
    ]
    return _percent(np.array(taken))


def _equal_error(genuine: np.ndarray, impostor: np.ndarray) -> float:
    """Where as many are rejected as are accepted wrongly."""
    thresholds = np.linspace(0, 1, 1001)
    rejected = np.array([(genuine < t).mean() for t in thresholds])
    accepted = np.array([(impostor >= t).mean() for t in thresholds])
    at = np.abs(rejected - accepted).argmin()
    return round(50 * float(rejected[at] + accepted[at]), 2)


def _spread(scores: np.ndarray) -> dict[str, float]:
    found = np.percentile(scores, [0, 5, 50, 95, 100])
    names = ("least", "p5", "median", "p95", "most")
    return dict(zip(names, (round(float(value), 3) for value in found), strict=True)) | {
        "pairs": len(scores)
    }


def _percent(wrong: np.ndarray) -> float:
    return round(100 * float(wrong.mean()), 2)


def _unit(speaker: Result) -> np.ndarray:
    values = np.array(speaker["embedding"]["values"])
    return values / np.linalg.norm(values)


def _reference(path: Path) -> list[tuple[float, float, str]]:
    rows = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
    return [(float(r[3]), float(r[3]) + float(r[4]), r[7]) for r in rows]


def render(result: Result) -> str:
    """A table: a row for each length and threshold."""
    head = ("enrolled", "threshold", "rejected", "of other recordings", "accepted")
    lines = [
        f"{result['speakers_heard']} speakers heard; errors in % of pairs",
        "{:<12}{:<11}{:<10}{:<21}{:<10}".format(*head) + f"one of {MANY_VOICES}",
    ]
    for kind, row in result["by_enrolment"].items():
        for threshold, e in row["errors"].items():
            lines.append(
                f"{kind:<12}{threshold:<11}{e['rejected']:<10}"
                f"{e.get('rejected_other_recording', '-'):<21}"
                f"{e['accepted']:<10}{e['accepted_among_many']}"
            )
        lines.append(f"{'':<12}equal error {row['equal_error_percent']} %")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
