"""Run test_input.json through the RunPod SDK's local path and show what came out.

Prints who spoke when and what was said, as far as the job asked for it; leaves out/<name>.json and
one file per other format. Recordings of a list are numbered.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import handler as entrypoint
from worker.errors import StartupError
from worker.local import file_name, write
from worker.naming import name_of
from worker.summary import describe

OUT = Path("out")


def recordings(audio: Any, reply: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:  # noqa: ANN401
    """A name and the outcome of each recording; a list's are numbered, from 1."""
    if "results" not in reply:
        yield _name(audio), reply
        return
    for number, (source, result) in enumerate(zip(audio, reply["results"], strict=True), 1):
        yield f"{number}-{_name(source)}", result["output"] if result["ok"] else result


def _name(source: str | dict[str, Any]) -> str:
    """What the files of a recording are called: by its id, else its address."""
    entry = {"url": source} if isinstance(source, str) else source
    return file_name(entry.get("id") or name_of(entry["url"]))


def main() -> None:
    try:
        config = entrypoint.prepare()
    except StartupError as error:
        sys.exit(f"The worker cannot start. {error}")

    import runpod.serverless

    answered: list[tuple[dict[str, Any], dict[str, Any]]] = []

    async def remember(job: dict[str, Any]) -> dict[str, Any]:
        reply = await config["handler"](job)
        answered.append((job, dict(reply)))  # the SDK takes things out of what it is given
        return dict(reply)

    try:
        runpod.serverless.start({**config, "handler": remember})
    except SystemExit as stop:
        if stop.code:  # the SDK has said why
            raise
    num_failed = 0
    for job, reply in answered:
        for name, result in recordings(job["input"]["audio"], reply):
            paths = write(result, ["json"], OUT, name)
            if "error" in result:
                num_failed += 1
                print(f"\n{name}: {result['error']}\n")
            else:
                print(f"\n{describe(result)}\n")
            print("Written:", ", ".join(str(path) for path in paths))
    sys.exit(1 if num_failed else 0)


if __name__ == "__main__":
    main()
