"""Run test_input.json through the RunPod SDK's local path and show what came out.

Prints the transcript; leaves out/<name>.json and one file per other format.
"""

import json
import sys
from pathlib import Path
from typing import Any

import handler as entrypoint
from worker.errors import StartupError

OUT = Path("out")
BAR_WIDTH = 48


def table(result: dict[str, Any]) -> str:
    """When each speaker speaks, as a time line, and what they said."""
    duration = result["audio"]["duration"]
    rows = [f"{'':12}0 s{duration:>{BAR_WIDTH - 5}.0f} s"]
    for speaker in result["speakers"]:
        label = speaker["speaker"]
        bar = ["·"] * BAR_WIDTH
        for turn in result["turns"]:
            if turn["speaker"] == label:
                left = min(int(turn["start"] / duration * BAR_WIDTH), BAR_WIDTH - 1)
                right = max(left + 1, round(turn["end"] / duration * BAR_WIDTH))
                bar[left:right] = "█" * (right - left)
        rows.append(
            f"{label:<12}{''.join(bar)}  {speaker['duration']:.1f} s in {speaker['turns']} turns"
        )
    rows.append("")
    for segment in result["segments"]:
        times = f"{segment['start']:6.2f} -{segment['end']:6.2f}"
        rows.append(f"{times}  {segment['speaker']}  {segment['text']}")
    rows += ["", f"{duration:.1f} s of audio in {result['timings']['total']:.2f} s"]
    return "\n".join(rows)


def save(result: dict[str, Any], name: str) -> list[Path]:
    """Write the reply and its files under out/."""
    OUT.mkdir(exist_ok=True)
    texts = {"json": json.dumps(result, indent=2, ensure_ascii=False) + "\n"}
    texts.update(result.get("files", {}))
    paths = []
    for suffix, text in texts.items():
        path = OUT / f"{name}.{suffix}"
        path.write_text(text, encoding="utf-8")
        paths.append(path)
    return paths


def main() -> None:
    try:
        config = entrypoint.prepare()
    except StartupError as error:
        sys.exit(f"The worker cannot start. {error}")

    import runpod.serverless

    replies: list[dict[str, Any]] = []
    names: list[str] = []

    async def remember(job: dict[str, Any]) -> dict[str, Any]:
        reply = dict(await config["handler"](job))
        replies.append(dict(reply))
        names.append(Path(job["input"]["audio"]).stem)
        return reply

    try:
        runpod.serverless.start({**config, "handler": remember})
    except SystemExit as stop:
        if stop.code:
            raise
    for reply, name in zip(replies, names, strict=True):
        print(f"\n{table(reply)}\n")
        print("Written:", ", ".join(str(path) for path in save(reply, name)))


if __name__ == "__main__":
    main()
