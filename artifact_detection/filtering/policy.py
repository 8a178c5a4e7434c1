"""From probabilities to keep, review or reject, each with its reason."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.special import expit, logit

from artifact_detection.detector.checkpoints import DIGITS
from artifact_detection.evaluation.bands import KEEP, REJECT, REVIEW, Band, Bands
from artifact_detection.filtering.decisions import Decisions, key_of
from artifact_detection.filtering.store import Record

NOTHING_CERTIFIED = (
    "nothing is decided automatically: allow more (--max-artifacts-left, --max-clean-loss), say how many artifacts "
    "there are (--prevalence), look at a sample (--audit, then --calibrate) or pass --threshold"
)
BY_A_PERSON = "decided by a person"


class PolicyError(Exception):
    """Bands that cannot be had as asked; the message says why."""


@dataclass(frozen=True)
class Verdict:
    """band: keep, review or reject, empty for an unusable file. threshold: the edge of the band that decided."""

    band: str
    threshold: float | None
    reason: str


@dataclass(frozen=True)
class Policy:
    """bands, whether they are certified, and what people decided.

    source: where bands come from that are not certified. notes: what else is to be said about the bands. advice: what
    to do where there are none. temperature and shift of the logits: what makes the checkpoint's probabilities right
    on these images.
    """

    bands: Bands
    certified: bool
    decisions: Decisions = field(default_factory=Decisions)
    source: str = "chosen with --threshold, without a promise"
    notes: tuple[str, ...] = ()
    advice: str = NOTHING_CERTIFIED
    temperature: float = 1.0
    shift: float = 0.0

    def calibrated(self, probabilities: np.ndarray) -> np.ndarray:
        """The checkpoint's probabilities (n,) after temperature and shift, rounded."""
        return expit((logits_of(probabilities) + self.shift) / self.temperature).round(DIGITS)

    def calibrate_all(self, records: Iterable[Record]) -> list[Record]:
        """The records with calibrated probabilities; those that have none stay without."""
        records = list(records)
        if (self.temperature, self.shift) == (1, 0):
            return records
        names = ("probability", "lowest", "highest")
        known = np.array([[getattr(record, name) for name in names] for record in records], float).reshape(-1, 3)
        rows = self.calibrated(known).astype(object)
        rows[np.isnan(known)] = None
        return [replace(one, **dict(zip(names, row, strict=True))) for one, row in zip(records, rows, strict=True)]

    def sentences(self) -> list[str]:
        low, high = self.edges()
        if self.certified:
            lines = [self.bands.keep.sentence(), self.bands.reject.sentence()]
        else:
            texts = ("keep: p <", low), ("reject: p >=", high)
            edges = [f"{text} {edge:g}" for text, edge in texts if edge is not None]
            lines = [f"{', '.join(edges)}; {self.source}"] if edges else []
        return [*lines, *self.notes, *([self.advice] if low is None and high is None else [])]

    def judge_all(self, records: Sequence[Record]) -> list[Verdict]:
        """The verdict on each record, `judge` for many: one call bands all probabilities."""
        bands = self.bands.decide(np.array([record.probability for record in records], float)).tolist()
        return [self.judge(record, band) for record, band in zip(records, bands, strict=True)]

    def judge(self, record: Record, band: str = "") -> Verdict:
        """band: that of its probability, where it is known already."""
        if record.probability is None:
            return Verdict("", None, "")
        decided = self.decisions.get(key_of(record))
        if decided:
            return Verdict(decided, None, BY_A_PERSON)
        band = band or self.band(record.probability)
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

    def are_borderline(self, probabilities: Sequence[float], margin: float) -> np.ndarray:
        """(n,) bool: which automatic verdicts lie within `margin` of the edge of their band."""
        probabilities = np.asarray(probabilities, float)
        bands = self.bands.decide(probabilities)
        edges = np.array([math.inf if edge is None else edge for edge in self.edges()])
        return (bands != REVIEW) & (np.abs(probabilities - edges[(bands == REJECT).astype(int)]) <= margin)


def logits_of(probabilities: np.ndarray) -> np.ndarray:
    """Of rounded probabilities: finite."""
    least = 10.0**-DIGITS
    return logit(np.clip(probabilities, least, 1 - least))


def manual_bands(thresholds: list[float]) -> Bands:
    """Bands at one threshold (no review) or at two, which promise nothing. Raises PolicyError."""
    low, high = min(thresholds), max(thresholds)
    if len(thresholds) > 2 or not all(0 <= threshold <= 1 for threshold in thresholds):  # NaN is no number between
        raise PolicyError("--threshold takes one or two probabilities between 0 and 1")
    return _unpromised(low, high)


def _unpromised(low: float | None, high: float | None) -> Bands:
    return Bands(Band(KEEP, low, 0, 0, math.nan), Band(REJECT, high, 0, 0, math.nan))


NO_BANDS = _unpromised(None, None)
