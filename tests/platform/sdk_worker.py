"""A worker of the plain SDK: ``python -m tests.platform.sdk_worker``.

The job's input says what it does: `sleep_s`, `progress` (a list of updates), `parts` (streamed one
by one), `size` (characters of the answer), `error`. It answers with its input.
SDK_CONCURRENCY: jobs at a time.
"""

import asyncio
import os
from typing import Any

from handler import SDK_SETTINGS, import_sdk

CONCURRENCY = int(os.environ.get("SDK_CONCURRENCY", "1"))


async def handler(job: dict[str, Any]) -> dict[str, Any]:
    import runpod.serverless

    asked = job["input"]
    for update in asked.get("progress", []):
        runpod.serverless.progress_update(job, update)
        await asyncio.sleep(0.2)  # the SDK keeps no order
    await stream(job, asked.get("parts", []))
    await asyncio.sleep(asked.get("sleep_s", 0))
    if "error" in asked:
        return {"error": asked["error"]}
    return {"asked": asked, "text": "x" * asked.get("size", 0)}


async def stream(job: dict[str, Any], parts: list[Any]) -> None:
    from runpod.http_client import AsyncClientSession
    from runpod.serverless.modules.rp_http import stream_result

    async with AsyncClientSession() as session:
        for part in parts:
            await stream_result(session, {"output": part}, job)


def main() -> None:
    os.environ.update(SDK_SETTINGS)
    import_sdk()

    import runpod.serverless

    runpod.serverless.start({"handler": handler, "concurrency_modifier": lambda _: CONCURRENCY})


if __name__ == "__main__":
    main()
