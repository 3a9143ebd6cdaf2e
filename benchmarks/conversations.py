"""Score the worker, FunASR's own blocks and Senko on conversations made for the purpose.

    .venv-bench/bin/python -m benchmarks.conversations --data DATA \
        --tools TOOLS --seeds 101 102

A seed says how many speakers a conversation has and how long it is. Writes
results/conversations.json.
"""

import argparse
import random
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from benchmarks import conversations_table, lineup, measure, process
from benchmarks.output import RESULTS, write

GENERATOR = "make_conversations.py"
SPEAKERS = (2, 15)
MINUTES = (2, 15)
OVERALL = "overall"


@dataclass(frozen=True, slots=True)
class Conversation:
    """What is asked of the generator."""

    seed: int
    speakers: int
    minutes: float

    @classmethod
    def draw(cls, seed: int) -> "Conversation":
        """Draw the number of speakers and the length, each evenly from its range.

        The generator draws from the number itself; a text gives another stream.
        """
        stream = random.Random(f"conversation {seed}")
        return cls(seed, stream.randint(*SPEAKERS), stream.randint(*MINUTES))

    @property
    def name(self) -> str:
        return f"seed_{self.seed}"

    def make(self, generator: Path, voices: Path, folder: Path) -> Path:
        """Write the recording, and its reference beside it."""
        command = [sys.executable, str(generator), str(voices), str(folder), self.name]
        for option in ("speakers", "minutes", "seed"):
            command += [f"--{option}", str(getattr(self, option))]
        process.run(command, {})
        return folder / f"{self.name}.flac"


def main() -> None:
    options = parse()
    drawn = [Conversation.draw(seed) for seed in options.seeds]
    if options.minutes:
        drawn = [Conversation(one.seed, one.speakers, options.minutes) for one in drawn]
    description = lineup.describe(options)
    with tempfile.TemporaryDirectory(prefix="speech-bench-") as temporary:
        folder = Path(temporary)
        audio, out = folder / "conversations", options.keep or folder / "rttm"
        generator, voices = options.tools / GENERATOR, options.data / "voices"
        recordings = [one.make(generator, voices, audio) for one in drawn]
        sides, checks = lineup.prepare(options, recordings, folder)
        measured = measure.diarization(sides, recordings, 1, out)

        # Imported only now: see process.run on the memory of this process.
        from benchmarks.score import accuracy

        groups = _groups(recordings)
        scored = {side: accuracy(groups, out / side) for side in sides}
    result = {
        "machine": description,
        "conversations": {one.name: asdict(one) for one in drawn},
        **measured,
        "accuracy": scored,
        "scored_with": f"pyannote.metrics {version('pyannote.metrics')}",
        "checks": checks,
    }
    write(RESULTS / "conversations.json", result)
    print(conversations_table.render(result))


def _groups(recordings: Sequence[Path]) -> dict[str, list[Path]]:
    return {**{path.stem: [path] for path in recordings}, OVERALL: list(recordings)}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.conversations", description=__doc__)
    lineup.add_options(parser)
    parser.add_argument("--seeds", type=int, nargs="+", required=True, metavar="SEED")
    parser.add_argument("--minutes", type=float, help="of each conversation, for a trial")
    parser.add_argument("--keep", type=Path, help="new folder for the RTTM files of each side")
    options = parser.parse_args()
    if options.keep and options.keep.exists():
        parser.error(f"--keep: {options.keep} exists already; name a new folder")
    return options


if __name__ == "__main__":
    main()
