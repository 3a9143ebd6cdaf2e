"""The results as tables of plain text."""

from collections.abc import Iterator
from typing import Any

Result = dict[str, Any]

SIDES = {"worker": "worker", "funasr": "FunASR"}
STAGES = ("decode", "vad", "embedding", "clustering", "total")
MAX_DER = {"dev_* overall": 5.0, "sample": 3.0}
MAX_STARTUP_RATIO = 1 / 3


def render(diarization: Result, startup: Result) -> str:
    """The whole report: figures, then the targets beside what was reached."""
    sections = (
        _machine(diarization["machine"], diarization["load_average"], startup["load_average"]),
        _accuracy(diarization["accuracy"]),
        _speed(diarization),
        _processes(diarization, startup),
        _checks(diarization["checks"], diarization["accuracy"]),
        _targets(diarization, startup),
    )
    return "\n\n".join("\n".join(section) for section in sections)


def _machine(machine: Result, *loads: Result) -> Iterator[str]:
    changes = " and uncommitted changes" if machine["uncommitted_changes"] else ""
    highest = max(load["max"] for load in loads)
    yield (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gb']} GB, "
        f"Python {machine['python']}, {machine['date']}"
    )
    yield f"commit {machine['commit']}{changes}; load average before each process ≤ {highest:.1f}"
    yield "CPU only, two threads on each side; medians, with (least to greatest)"


def _accuracy(accuracy: Result) -> Iterator[str]:
    yield "Diarization error rate in %, collar 0.25 s on each side, overlap counted"
    yield (
        f"{'':<15}{'':<8}{'DER':>7}{'miss':>7}{'false alarm':>13}{'confusion':>11}"
        f"{'speakers':>11}{'DER at collar 0':>18}"
    )
    for name in accuracy["worker"]["scores"]:
        for number, (side, label) in enumerate(SIDES.items()):
            scores = accuracy[side]["scores"][name]
            s = scores["collar_0.25"]
            yield (
                f"{'' if number else name:<15}{label:<8}{s['der']:7.2f}{s['missed']:7.2f}"
                f"{s['false_alarm']:13.2f}{s['confusion']:11.2f}"
                f"{s['speakers']:8} /{s['reference_speakers']:2}{scores['collar_0']['der']:18.2f}"
            )


def _speed(diarization: Result) -> Iterator[str]:
    yield "Real-time factor, warm (seconds of work per second of audio)"
    yield (
        f"{'':<15}{'':<8}"
        + "".join(f"{stage:>11}" for stage in STAGES)
        + f"{'':<21}{'FunASR/worker':<22}of least"
    )
    for name, duration in diarization["duration_s"].items():
        for number, (side, label) in enumerate(SIDES.items()):
            factors = diarization["real_time_factor"][side][name]
            cells = "".join(
                f"{factors[s]['median']:11.4f}" if s in factors else f"{'-':>11}" for s in STAGES
            )
            head = f"{duration:.0f} s" if number else name
            line = f"{head:<15}{label:<8}{cells}  {_range(factors['total'], 4):<19}"
            if number:
                ratio = diarization["funasr_by_worker"][name]
                line += f"{_figure(ratio, 2):<22}{ratio['of_least']:.2f}"
            yield line.rstrip()
    yield "The worker's total holds fetching and decoding; FunASR's begins with decoded samples."


def _processes(diarization: Result, startup: Result) -> Iterator[str]:
    yield f"{'':<45}{'worker':<26}FunASR"
    rows = (
        ("start-up, process start to first result, s", startup["seconds"], 2),
        ("  processor time of that process, s", startup["cpu_s"], 1),
        ("  peak memory of that process, MB", startup["peak_memory_mb"], 0),
        ("all files, processor time with start-up, s", diarization["cpu_s"], 1),
        ("  peak memory of that process, MB", diarization["peak_memory_mb"], 0),
    )
    for title, figures, digits in rows:
        ours, theirs = (_figure(figures[side], digits) for side in SIDES)
        yield f"{title:<45}{ours:<26}{theirs}"
    ratio = startup["worker_by_funasr"]
    yield (
        f"start-up, worker/FunASR: {_figure(ratio, 3)}; FunASR's ends with the models loaded, "
        "without a result"
    )


def _checks(checks: Result, accuracy: Result) -> Iterator[str]:
    vad = checks["golden_vad"]
    verdict = "; ".join(vad["different"]) or f"all equal, furthest boundary {vad['worst_ms']} ms"
    yield f"VAD against golden segments: {vad['segments']} in {vad['files']} files, {verdict}"
    yield f"FunASR loaded the same CAM++: cosine of an embedding {checks['embedding_cosine']:.6f}"
    for side, label in SIDES.items():
        same = "the same" if accuracy[side]["same_in_all_rounds"] else "not the same"
        yield f"{label}: {same} turns in every round"


def _targets(diarization: Result, startup: Result) -> Iterator[str]:
    scores = {
        name: by_collar["collar_0.25"]
        for name, by_collar in diarization["accuracy"]["worker"]["scores"].items()
    }
    slowest = min(ratio["median"] for ratio in diarization["funasr_by_worker"].values())
    ratio = startup["worker_by_funasr"]["median"]
    wrong = [n for n, s in scores.items() if s["speakers"] != s["reference_speakers"]]
    yield "Targets"
    for name, most in MAX_DER.items():
        if name in scores:
            der = scores[name]["der"]
            yield _target(f"{name} DER ≤ {most:g} %", der, reached=der <= most)
    yield _target("every speaker count right", ", ".join(wrong) or "yes", reached=not wrong)
    yield _target("faster than FunASR on every file, least", slowest, reached=slowest > 1)
    yield _target("start-up ≤ 1/3 of FunASR's", ratio, reached=ratio <= MAX_STARTUP_RATIO)


def _target(title: str, value: float | str, *, reached: bool) -> str:
    shown = value if isinstance(value, str) else f"{value:.2f}"
    return f"  {title:<45}{shown:<12}{'reached' if reached else 'MISSED'}"


def _figure(figure: Result, digits: int) -> str:
    return f"{figure['median']:.{digits}f} {_range(figure, digits)}"


def _range(figure: Result, digits: int) -> str:
    return f"({figure['min']:.{digits}f} to {figure['max']:.{digits}f})"
