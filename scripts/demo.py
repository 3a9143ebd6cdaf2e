"""Run test_input.json through the RunPod SDK's local path and show what came out.

Prints who spoke when and what was said, as far as the job asked for it; leaves out/<name>.json and
one file per other format. Recordings of a list are numbered.
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import handler as entrypoint
from worker.errors import StartupError
from worker.naming import name_of

OUT = Path("out")
BAR_WIDTH = 48


def describe(result: dict[str, Any]) -> str:
    """What a reply holds of speakers, segments, text and notes, for a terminal."""
    duration = result["audio"]["duration"]
    parts = []
    if "turns" in result:
        parts.append(_time_line(result["turns"], result["speakers"], duration))
    if segments := result.get("segments"):
        parts.append("\n".join(_row(segment) for segment in segments))
    elif "text" in result:
        parts.append(result["text"] or "No speech.")
    parts += [f"Note: {note}" for note in result.get("notes", [])]
    parts.append(f"{duration:.1f} s of audio in {result['timings']['total']:.2f} s")
    return "\n\n".join(parts)


def _time_line(turns: list[dict[str, Any]], speakers: list[dict[str, Any]], duration: float) -> str:
    width = max((len(_who(speaker)) for speaker in speakers), default=0) + 2
    rows = [f"{'':{width}}0 s{duration:>{BAR_WIDTH - 5}.0f} s"]
    for speaker in speakers:
        bar = ["·"] * BAR_WIDTH
        for turn in turns:
            if turn["speaker"] == speaker["speaker"]:
                left = min(int(turn["start"] / duration * BAR_WIDTH), BAR_WIDTH - 1)
                right = max(left + 1, round(turn["end"] / duration * BAR_WIDTH))
                bar[left:right] = "█" * (right - left)
        rows.append(
            f"{_who(speaker):<{width}}{''.join(bar)}  "
            f"{speaker['duration']:.1f} s in {speaker['turns']} turns"
        )
    return "\n".join(rows)


def _row(segment: dict[str, Any]) -> str:
    times = f"{segment['start']:6.2f} -{segment['end']:6.2f}"
    # A segment of a transcript may be nobody's; without diarization there is no speaker to tell.
    who = [_who(segment)] if "speaker" in segment else []
    return "  ".join([times, *who, segment["text"]])


def _who(entry: dict[str, Any]) -> str:
    """What a reader calls a speaker: by name, or such as ``SPEAKER_00``."""
    return str(entry.get("name") or entry["speaker"] or "nobody")


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
    name = entry.get("id") or name_of(entry["url"])
    return re.sub(r"[^\w.-]+", "_", name)[:100]


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
            paths = save(result, name)
            if "error" in result:
                num_failed += 1
                print(f"\n{name}: {result['error']}\n")
            else:
                print(f"\n{describe(result)}\n")
            print("Written:", ", ".join(str(path) for path in paths))
    sys.exit(1 if num_failed else 0)


if __name__ == "__main__":
    main()
