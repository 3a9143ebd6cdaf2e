"""Diarization error rate with pyannote.metrics: no UEM, overlap counted."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pyannote.core import Annotation, Segment  # type: ignore[import-not-found]
from pyannote.metrics.diarization import DiarizationErrorRate  # type: ignore[import-not-found]

COLLARS_S = (0.25, 0.0)
DEV_OVERALL = "dev_* overall"


@dataclass(frozen=True, slots=True)
class Score:
    """Rates in percent of the reference's speech; speakers summed over the files."""

    der: float
    missed: float
    false_alarm: float
    confusion: float
    speakers: int
    reference_speakers: int


def dev_groups(recordings: Sequence[Path]) -> dict[str, list[Path]]:
    """Each recording by itself, and those called dev_* together."""
    groups = {path.stem: [path] for path in recordings}
    if dev := [path for path in recordings if path.stem.startswith("dev_")]:
        groups[DEV_OVERALL] = dev
    return groups


def accuracy(groups: Mapping[str, Sequence[Path]], side: Path) -> dict[str, Any]:
    """Score what one side found, each group as one.

    Parameters
    ----------
    groups : recordings, each with its reference beside it.
    side : folder with a folder of RTTM files per round; the last round is scored.
    """
    rounds = sorted(side.iterdir())
    scores = {}
    for name, paths in groups.items():
        references = [path.with_suffix(".rttm") for path in paths]
        hypotheses = [rounds[-1] / reference.name for reference in references]
        scores[name] = {
            f"collar_{collar_s:g}": asdict(score(references, hypotheses, collar_s))
            for collar_s in COLLARS_S
        }
    found = {
        tuple(path.read_text("utf-8") for path in sorted(folder.iterdir())) for folder in rounds
    }
    return {"scores": scores, "same_in_all_rounds": len(found) == 1}


def score(references: Sequence[Path], hypotheses: Sequence[Path], collar_s: float) -> Score:
    """Score RTTM files against their references, together.

    Parameters
    ----------
    collar_s : what is left out on each side of a reference's boundary, in seconds.
    """
    # pyannote's collar is what is left out around a boundary: both sides together.
    metric = DiarizationErrorRate(collar=2 * collar_s, skip_overlap=False)
    speakers = reference_speakers = 0
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="'uem' was approximated")
        for reference_path, hypothesis_path in zip(references, hypotheses, strict=True):
            reference, hypothesis = _read(reference_path), _read(hypothesis_path)
            metric(reference, hypothesis)
            speakers += len(hypothesis.labels())
            reference_speakers += len(reference.labels())
    total = metric["total"]
    return Score(
        der=100 * abs(metric),
        missed=100 * metric["missed detection"] / total,
        false_alarm=100 * metric["false alarm"] / total,
        confusion=100 * metric["confusion"] / total,
        speakers=speakers,
        reference_speakers=reference_speakers,
    )


def _read(path: Path) -> Annotation:
    annotation = Annotation()
    for line in path.read_text(encoding="utf-8").splitlines():
        fields = line.split()
        if fields and fields[0] == "SPEAKER":
            start, duration = float(fields[3]), float(fields[4])
            annotation[Segment(start, start + duration), len(annotation)] = fields[7]
    return annotation
