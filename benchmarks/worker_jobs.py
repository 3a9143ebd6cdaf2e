"""The worker's side, in a process of its own: the handler's replies, a JSON line each.

python -m benchmarks.worker_jobs JOB_INPUT...

Each is a job's input as JSON; the reply gets `wall_s`, the seconds until it came.
"""

import asyncio
import json
import sys
import time

import handler as entrypoint


async def answer(inputs: list[str]) -> None:
    handler = entrypoint.prepare()["handler"]
    for number, job_input in enumerate(inputs):
        started = time.perf_counter()
        reply = await handler({"id": f"bench-{number}", "input": json.loads(job_input)})
        if "error" in reply:
            sys.exit(f"{job_input}: {reply['error']}")
        print(json.dumps({**reply, "wall_s": time.perf_counter() - started}), flush=True)


if __name__ == "__main__":
    asyncio.run(answer(sys.argv[1:]))
