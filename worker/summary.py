"""What a reply says, for a terminal: who spoke when as bars, what was said as lines."""

from typing import Any

BAR_WIDTH = 48


def describe(result: dict[str, Any]) -> str:
    """What a reply holds of speakers, segments, text and notes; it is no error."""
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
