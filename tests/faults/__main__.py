"""``make faults``: what volumes and workers go through, in tables; exit code 1 where a row failed.

``python -m tests.faults provisioner`` or ``worker`` is the half of it.
"""

import argparse
import random
import re
import sys

from tests.faults.provisioner import try_provisioner
from tests.faults.worker_table import try_worker


def main() -> None:
    arguments = parse()
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(10**9)
    wanted = re.compile(arguments.only)
    passed = True
    if arguments.what in {None, "provisioner"}:
        passed &= try_provisioner(wanted, seed, arguments.kills)
    if arguments.what in {None, "worker"}:
        passed &= try_worker(wanted)
    sys.exit(0 if passed else 1)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument(
        "what", nargs="?", choices=["provisioner", "worker"], help="by default both"
    )
    parser.add_argument("--seed", type=int, help="of the moments of kills; random by default")
    parser.add_argument("--kills", type=int, default=50, help="of an install, and of a download")
    parser.add_argument("--only", default="", help="run what this regular expression is found in")
    return parser.parse_args()


if __name__ == "__main__":
    main()
