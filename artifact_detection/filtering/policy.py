"""From probabilities to keep, review or reject, each with its reason."""

import csv
import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from artifact_detection.evaluation.bands import KEEP, REJECT, REVIEW, Band, Bands, choose_bands
from artifact_detection.filtering.store import Record
from artifact_detection.intervals import CONFIDENCE
from artifact_detection.system.paths import printable_path
from artifact_detection.system.tables import read_table

BANDS = (KEEP, REVIEW, REJECT)
NO_SCORES = "the checkpoint holds no validation scores, so nothing can be promised: pass --threshold, or train again"
NOTHING_CERTIFIED = (
    "nothing is decided automatically: allow more (--max-artifacts-left, --max-clean-loss) or pass --threshold"
)


class PolicyError(Exception):
    """Bands or decisions that cannot be had as asked; the message says why."""


@dataclass(frozen=True)
class Validation:
    """targets (n,) int in {0, 1} and probabilities (n,) of the images that the checkpoint was validated on."""

    targets: np.ndarray
    probabilities: np.ndarray

    @classmethod
    def of(cls, checkpoint: dict) -> "Validation | None":
        """What the checkpoint says, None if it does not say."""
        if not {"validation_targets", "validation_probabilities"} <= checkpoint.keys():
            return None
        targets, probabilities = checkpoint["validation_targets"], checkpoint["validation_probabilities"]
        return cls(targets.numpy().astype(int), probabilities.numpy().astype(np.float64))


@dataclass(frozen=True)
class Verdict:
    """band: keep, review or reject, empty for an unusable file. threshold: the edge of the band that decided."""

    band: str
    threshold: float | None
    reason: str


@dataclass(frozen=True)
class Policy:
    """bands, whether they are certified, and what people decided: (path, sha256) -> band."""

    bands: Bands
    certified: bool
    decisions: dict[tuple[str, str], str] = field(default_factory=dict)

    def sentences(self) -> list[str]:
        """What each band promises, for the summary and the report."""
        if self.certified:
            promises = [self.bands.keep.sentence(), self.bands.reject.sentence()]
            return promises if any(edge is not None for edge in self.edges()) else [*promises, NOTHING_CERTIFIED]
        low, high = self.bands.keep.threshold, self.bands.reject.threshold
        return [f"keep: p < {low:g}, reject: p >= {high:g}; chosen with --threshold, without a promise"]

    def judge(self, record: Record) -> Verdict:
        if record.probability is None:
            return Verdict("", None, "")
        decided = self.decisions.get((printable_path(record.path), record.sha256))
        if decided:
            return Verdict(decided, None, "decided by a person")
        band = self.band(record.probability)
        if record.lowest is not None and {self.band(record.lowest), self.band(record.highest)} != {band}:
            extremes = f"p {record.lowest:.3f} to {record.highest:.3f}"
            return Verdict(REVIEW, self._edge(REVIEW), f"flips when re-encoded ({extremes})")
        return Verdict(band, self._edge(band), self._reason(band))

    def band(self, probability: float) -> str:
        return str(self.bands.decide(np.array([probability]))[0])

    def _edge(self, band: str) -> float | None:
        return self.bands.keep.threshold if band == KEEP else self.bands.reject.threshold

    def _reason(self, band: str) -> str:
        if band == REVIEW:
            return "between the bands" if None not in self.edges() else "no band could be certified for it"
        return "p < threshold" if band == KEEP else "p >= threshold"

    def edges(self) -> tuple[float | None, float | None]:
        return self.bands.keep.threshold, self.bands.reject.threshold

    def is_borderline(self, probability: float, margin: float) -> bool:
        """Whether an automatic verdict lies within `margin` of the edge of its band."""
        band = self.band(probability)
        return band != REVIEW and abs(probability - self._edge(band)) <= margin


def manual_bands(thresholds: list[float]) -> Bands:
    """Bands at one threshold (no review) or at two, which promise nothing. Raises PolicyError."""
    low, high = min(thresholds), max(thresholds)
    if len(thresholds) > 2 or not 0 <= low <= high <= 1:
        raise PolicyError("--threshold takes one or two probabilities between 0 and 1")
    nothing = {"images": 0, "wrong": 0, "limit": math.nan, "confidence": math.nan}
    return Bands(Band(KEEP, low, **nothing), Band(REJECT, high, **nothing))


def certified_bands(checkpoint: dict, max_clean_loss: float, max_artifacts_left: float) -> Bands:
    """The bands that the checkpoint's validation scores support. Raises PolicyError if it holds none."""
    validation = Validation.of(checkpoint)
    if validation is None:
        raise PolicyError(NO_SCORES)
    return choose_bands(
        validation.targets,
        validation.probabilities,
        clean_rejected=max_clean_loss,
        artifacts_kept=max_artifacts_left,
        confidence=CONFIDENCE,
    )


def read_decisions(path: Path) -> dict[tuple[str, str], str]:
    """(path, sha256) -> band of a CSV that the review page exported. Raises PolicyError for any other file."""
    try:
        rows = list(read_table(path, ("path", "sha256", "decision")))
    except (ValueError, csv.Error) as error:
        raise PolicyError(str(error)) from error
    wrong = next((row for row in rows if row["decision"] not in BANDS), None)
    if wrong:
        raise PolicyError(f"{path}: decision {wrong['decision']!r} of {wrong['path']}; known: {', '.join(BANDS)}")
    return {(row["path"], row["sha256"]): row["decision"] for row in rows}
