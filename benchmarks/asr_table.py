"""The results of speech recognition as tables of plain text, with the targets of each part."""

import math
from collections.abc import Iterator
from typing import Any

from benchmarks.asr_digits import FUNASR, FUNASR_CUT

Result = dict[str, Any]

LEAST_SPEED = {"float32": 1.5, "int8": 2.0}
"""How many times as fast as AutoModel SenseVoice is to be, by the worker's precision."""
LEAST_SPEAKER_SHARE = 0.95
CANCEL_S = 2.0


def render(results: Result) -> str:
    """Describe what was measured, part by part."""
    sections = [SECTIONS[part](result) for part, result in results.items()]
    return "\n\n".join("\n".join(section) for section in sections)


def _digits(result: Result) -> Iterator[str]:
    yield from _head("Digits through the tiny SenseVoice", result)
    yield f"word errors in {result['words']} words of {result['clips']} clips:"
    errors = result["word_errors"]
    for side, count in errors.items():
        yield f"  {side:<24}{count:3}   {100 * count / result['words']:.1f} %"
    for precision, compared in result["engine_beside_funasr"].items():
        yield (
            f"engine {precision} beside FunASR, whole clips: text equal in "
            f"{compared['same_text']} of {result['clips']}, as many words in "
            f"{compared['same_number_of_words']}, times at most {compared['furthest_ms']} ms apart"
        )
    for way, theirs in (("engine", FUNASR), ("service", FUNASR_CUT)):
        worst = max(count for side, count in errors.items() if side.startswith(way))
        title = f"{way}, no more word errors than {theirs}"
        yield _target(title, f"{worst} of {errors[theirs]}", reached=worst <= errors[theirs])


def _transcript(result: Result) -> Iterator[str]:
    yield from _head("Whisper tiny.en, one sentence and one conversation", result)
    sentence, sample = result["jfk"], result["sample"]
    for side, count in sentence["word_errors"].items():
        yield f"  jfk.flac, {side:<16}{count} errors in {sentence['words']} words"
    yield f"  sample.wav, {sample['words']} words, {sample['counted']} in one turn of the reference"
    errors, share = sentence["word_errors"]["worker"], sample["right"] / sample["counted"]
    yield _target("jfk.flac without an error", errors, reached=errors == 0)
    yield _target(
        f"right speaker ≥ {LEAST_SPEAKER_SHARE:.0%}",
        f"{sample['right']} of {sample['counted']}, {share:.1%}",
        reached=share >= LEAST_SPEAKER_SHARE,
    )


def _sensevoice(result: Result) -> Iterator[str]:
    model = result["model"]
    yield from _head(
        f"SenseVoiceSmall at its real size ({model['parameters'] / 1e6:.0f} M random parameters) "
        "beside FunASR's AutoModel",
        result,
    )
    yield from _speed(result)
    for side, ratio in result["peer_by_worker"].items():
        least = next(least for precision, least in LEAST_SPEED.items() if precision in side)
        title = f"{side}: ≥ {least:g} × AutoModel"
        yield _target(title, f"{ratio['median']:.2f}", reached=ratio["median"] >= least)
    memory = {side: own["peak_memory_mb"]["median"] for side, own in result["sides"].items()}
    ours = max(peak for side, peak in memory.items() if side.startswith("worker"))
    theirs = min(peak for side, peak in memory.items() if side.startswith("AutoModel"))
    title = "peak memory below AutoModel's, MB"
    yield _target(title, f"{ours:.0f} of {theirs:.0f}", reached=ours < theirs)


def _whisper(result: Result) -> Iterator[str]:
    yield from _head("Whisper tiny.en beside faster-whisper's BatchedInferencePipeline", result)
    yield from _speed(result)
    for side, ratio in result["peer_by_worker"].items():
        yield f"  {side}: {ratio['median']:.2f} × faster-whisper"


def _long(result: Result) -> Iterator[str]:
    yield from _head("Long recordings through the tiny SenseVoice", result)
    yield f"  {'task':<12}{'hours':>7}{'seconds':>10}{'peak MB':>10}"
    for run in result["runs"]:
        yield (
            f"  {run['task']:<12}{run['duration_s'] / 3600:7.2f}{run['wall_s']:10.1f}"
            f"{run['peak_memory_mb']:10.0f}"
        )
    for task, answers in result["cancelled"].items():
        for one in answers:
            yield (
                f"  {task} cancelled at {one['moment_s']:.1f} s, in {one['stage']}: "
                f"{one['answer']} after {one['seconds']:.2f} s"
            )
        took = [one["seconds"] for one in answers if one["answer"] == "CANCELLED"]
        slowest = max(took, default=math.inf)
        title = f"{task}, cancellation answered ≤ {CANCEL_S:g} s"
        yield _target(title, f"{slowest:.2f}", reached=slowest <= CANCEL_S)


SECTIONS = {
    "digits": _digits,
    "transcript": _transcript,
    "sensevoice": _sensevoice,
    "whisper": _whisper,
    "long": _long,
}


def _head(title: str, result: Result) -> Iterator[str]:
    machine = result["machine"]
    changes = " and uncommitted changes" if machine["uncommitted_changes"] else ""
    yield title
    yield (
        f"{machine['cpu']}, CPU only, two threads on each side, {machine['date']}, "
        f"commit {machine['commit']}{changes}"
    )


def _speed(result: Result) -> Iterator[str]:
    yield (
        f"{result['duration_s'] / 60:.0f} minutes of speech, warm, medians of {result['rounds']} "
        "with (least to greatest)"
    )
    yield (
        f"  {'':<30}{'seconds':>9}{'× real time':>25}{'processor s':>14}{'peak MB':>10}"
        f"{'characters':>12}{'load':>7}"
    )
    for side, own in result["sides"].items():
        rate = own["times_real_time"]
        spread = f"{rate['median']:.1f} ({rate['min']:.1f} to {rate['max']:.1f})"
        yield (
            f"  {side:<30}{own['wall_s']['median']:9.1f}{spread:>25}"
            f"{own['cpu_s']['median']:14.1f}{own['peak_memory_mb']['median']:10.0f}"
            f"{own['characters']:12}{own['load_average']['median']:7.1f}"
        )
    yield "  processor time and memory are those of the process, with loading and warm-up"


def _target(title: str, value: float | str, *, reached: bool) -> str:
    return f"  {title:<52}{value!s:<20}{'reached' if reached else 'MISSED'}"
