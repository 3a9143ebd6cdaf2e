"""The worker's side, in a process of its own: the handler's replies, a JSON line each.

python -m benchmarks.worker_jobs SOURCE...
"""

import asyncio
import json
import sys

import handler as entrypoint


async def answer(sources: list[str]) -> None:
    handler = entrypoint.prepare()["handler"]
    for source in sources:
        job = {"task": "diarization", "audio": source, "formats": ["json", "rttm"]}
        reply = await handler({"id": "bench", "input": job})
        if "error" in reply:
            sys.exit(f"{source}: {reply['error']}")
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    asyncio.run(answer(sys.argv[1:]))
