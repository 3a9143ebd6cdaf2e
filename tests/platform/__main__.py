"""``python -m tests.platform``: print the two ports as JSON, serve until standard input ends."""

import argparse
import asyncio
import json
import sys

from tests.platform.control import Control
from tests.platform.server import PlatformServer


async def serve(arguments: argparse.Namespace) -> None:
    platform = PlatformServer(
        poll_s=arguments.poll_s, redeliver_after_s=arguments.redeliver_after_s
    )
    await platform.start()
    ports = {"platform": platform.port, "control": await Control(platform).start()}
    print(json.dumps(ports), flush=True)  # noqa: T201

    # The test holds the other end: the server does not outlive it, however that ends.
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin, ended.set)
    await ended.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description="RunPod's serverless platform on loopback.")
    parser.add_argument("--poll-s", type=float, default=10.0)
    parser.add_argument("--redeliver-after-s", type=float, default=5.0)
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
