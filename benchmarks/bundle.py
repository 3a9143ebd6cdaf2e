"""A volume filled from a bundle, beside the same set-up online, in turn on the same disk.

python -m benchmarks.bundle [--project demo] [--volume volume] [--rounds 2]

Both fill an empty volume from the start: its own cache of packages is empty, too. torch, which the
exports of the set-up run on, comes from the user's cache, where it is from the first round on. The
bundle is made once, of the provisioned volume, and applied in a namespace without a network.
Writes benchmarks/results/bundle.json.
"""

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.measure import spread
from benchmarks.provision_sides import ROOT, timed
from volume_bootstrap.layout import Volume

RESULTS = Path(__file__).parent / "results" / "bundle.json"
ALONE = ("unshare", "--user", "--map-root-user", "--net")
TOOL = [sys.executable, "-m", "volume_bootstrap"]

Result = dict[str, Any]


def measure(project: str, volume: Path, rounds: int, folder: Path) -> Result:
    """Create a bundle once; fill a volume from it and online, each side in turn."""
    bundle, target = folder / "bundle.tar", folder / "volume"
    online = [*TOOL, "setup", "--project", project, "--volume", str(target)]
    applied = [*TOOL, "bundle", "apply", str(bundle), "--volume", str(target)]
    made = [*TOOL, "bundle", "create", str(bundle), "--project", project, "--volume", str(volume)]
    seconds: dict[str, list[float]] = {"online": [], "bundle": [], "bundle again": []}
    create_s, _ = timed(made, ROOT)
    for number in range(rounds):
        print(f"bundle: round {number + 1} of {rounds}", file=sys.stderr, flush=True)
        for side in ("online", "bundle") if number % 2 else ("bundle", "online"):
            shutil.rmtree(target, ignore_errors=True)
            seconds[side].append(timed(online if side == "online" else [*ALONE, *applied], ROOT)[0])
            if side == "bundle":
                seconds["bundle again"].append(timed([*ALONE, *applied], ROOT)[0])
    pairs = zip(seconds["online"], seconds["bundle"], strict=True)
    return {
        "machine": machine.describe(Volume(volume), project),
        "project": project,
        "rounds": rounds,
        "size_mb": round(bundle.stat().st_size / 1e6, 1),
        "create_s": round(create_s, 1),
        "seconds": {side: spread(values) for side, values in seconds.items()},
        "online_by_bundle": spread(theirs / ours for theirs, ours in pairs),
    }


def render(result: Result) -> str:
    """The section: each side, then how many times faster."""
    rows = {
        "setup online, empty volume, s": result["seconds"]["online"],
        "bundle apply, empty volume, no network, s": result["seconds"]["bundle"],
        "bundle apply, nothing to do, s": result["seconds"]["bundle again"],
        "online by bundle": result["online_by_bundle"],
    }
    head = f"Bundle of {result['project']}: {result['size_mb']} MB, made in {result['create_s']} s"
    return "\n".join(
        [
            head,
            *(
                f"  {title:<45}{row['median']:.2f} ({row['min']:.2f} to {row['max']:.2f})"
                for title, row in rows.items()
            ),
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bundle", description=__doc__)
    parser.add_argument("--project", default="demo")
    parser.add_argument("--volume", type=Path, default=ROOT / "volume", help="provisioned volume")
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="speech-bundle-") as folder:
        result = measure(options.project, options.volume.absolute(), options.rounds, Path(folder))
    RESULTS.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(render(result))


if __name__ == "__main__":
    main()
