"""Choices made on validation: temperature, threshold, and keep / review / reject bands with a guarantee."""

import math
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from scipy import optimize, special

from artifact_detection.intervals import CONFIDENCE, wilson
from artifact_detection.labels import ARTIFACT, CLEAN
from artifact_detection.metrics import check_binary, check_probabilities

REVIEW, KEEP, REJECT = "review", "keep", "reject"
FEWEST = 0.02  # share of the images that a band is first tried with, where the smallest certifiable number is less
STEP = 0.05  # how much larger each tried band is than the one before


class ThresholdError(ValueError):
    """A threshold that cannot be chosen; the message says why."""


def fit_platt(targets: np.ndarray, logits: np.ndarray) -> tuple[float, float]:
    """Temperature T in [0.05, 20] and shift b with which sigmoid((logits + b) / T) has the least cross-entropy.

    Platt (1999); the temperature alone is that of Guo et al. (ICML 2017). The shift undoes what a temperature cannot:
    training on more artifacts than there are (oversampling, injection). Against Platt's targets (N+ + 1) / (N+ + 2)
    and 1 / (N- + 2) in place of 1 and 0, so that the slope does not run away on a set that is separated without error.
    targets: (n,) in {0, 1}; logits: (n,).
    """
    targets, logits = check_binary("targets", targets), np.asarray(logits, np.float64)
    positives, negatives = targets.sum(), (1 - targets).sum()
    soft = np.where(targets == ARTIFACT, (positives + 1) / (positives + 2), 1 / (negatives + 2))

    def cross_entropy(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        scaled = parameters[0] * logits + parameters[1]
        surplus = special.expit(scaled) - soft  # the gradient at each image
        gradient = np.array([np.mean(surplus * logits), np.mean(surplus)])
        return np.mean(np.logaddexp(0, scaled) - soft * scaled), gradient

    best = optimize.minimize(cross_entropy, (1.0, 0.0), jac=True, bounds=((1 / 20, 20), (None, None)))
    slope, offset = (float(value) for value in best.x)
    return 1 / slope, offset / slope


def parse_target(target: str) -> tuple[str, float]:
    """("f1", 0), ("recall", R), ("precision", P) or ("cost", FN / FP) from f1, recall=R, precision=P, cost=FN:FP.

    cost=5:1 says that a missed artifact costs as much as five clean images lost. Raises ValueError.
    """
    kind, _, text = target.partition("=")
    try:
        if kind == "f1" and not text:
            return kind, 0.0
        if kind in ("recall", "precision") and 0 < float(text) <= 1:
            return kind, float(text)
        if kind == "cost":
            missed, lost = (float(part) for part in text.split(":"))
            if missed > 0 and lost > 0:
                return kind, missed / lost
    except ValueError:
        pass
    raise ValueError(f"unknown target {target!r}: use f1, recall=0.95, precision=0.95 or cost=5:1")


def choose_threshold(targets: np.ndarray, probabilities: np.ndarray, target: str = "f1") -> float:
    """The threshold t that serves `target` best on these images; "artifacts" is p >= t. t lies between two images.

    f1: largest F1 of the artifacts. recall=R: the highest t that finds a share R of the artifacts.
    precision=P: the lowest t at which a share P of what is found are artifacts. cost=FN:FP: least cost. Of
    equal ones the highest.
    Raises ValueError for an unknown target, ThresholdError without images of both classes or if P is out of
    reach.
    """
    kind, level = parse_target(target)
    targets = check_binary("targets", targets)
    probabilities = check_probabilities(probabilities, len(targets))
    positives = targets.sum()
    if positives in (0, len(targets)):
        raise ThresholdError("a threshold cannot be chosen: the images are all of one class")
    thresholds, tp, fp = _cuts(targets, probabilities)
    if kind == "recall":
        return float(thresholds[np.argmax(tp >= level * positives - 1e-9)])
    if kind == "precision":
        return float(thresholds[_last_precise(tp, fp, level)])
    score = 2 * tp / (tp + fp + positives) if kind == "f1" else -(level * (positives - tp) + fp)
    return float(thresholds[np.argmax(score)])


def _cuts(targets: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every way to cut: thresholds (k,) from the highest (nothing found) down, true and false positives (k,)."""
    values, inverse = np.unique(probabilities, return_inverse=True)
    found = np.bincount(inverse, weights=targets)[::-1].cumsum()
    alarms = np.bincount(inverse, weights=1 - targets)[::-1].cumsum()
    edges = np.concatenate([[0.0], values, [1.0]])
    between = ((edges[1:] + edges[:-1]) / 2)[::-1]
    between[0] = max(between[0], np.nextafter(values[-1], 2))  # above the highest image, even one at 1.0
    return between, np.append(0, found), np.append(0, alarms)


def _last_precise(tp: np.ndarray, fp: np.ndarray, level: float) -> int:
    precision = tp / np.maximum(tp + fp, 1)
    reached = np.flatnonzero((precision >= level - 1e-9) & (tp > 0))
    if len(reached) == 0:
        raise ThresholdError(f"no threshold reaches precision {level:g}; the best is {precision.max():.3f}")
    return reached[-1]


def threshold_table(targets: np.ndarray, probabilities: np.ndarray, thresholds: np.ndarray) -> pd.DataFrame:
    """What filtering at each threshold would do to these images: one row a threshold.

    Columns: threshold, images_kept, artifacts_left, clean_lost (numbers of images), recall and its 95 %
    interval recall_low, recall_high, precision, and residual: the share of artifacts in what is kept.
    """
    targets, rows = check_binary("targets", targets), []
    probabilities = check_probabilities(probabilities, len(targets))
    for threshold in thresholds:
        flagged = probabilities >= threshold
        tp, fp = int((flagged & (targets == ARTIFACT)).sum()), int((flagged & (targets == CLEAN)).sum())
        positives, kept = int(targets.sum()), int((~flagged).sum())
        low, high = wilson(tp, positives)
        rows.append(
            {
                "threshold": float(threshold),
                "images_kept": kept,
                "artifacts_left": positives - tp,
                "clean_lost": fp,
                "recall": tp / positives if positives else math.nan,
                "recall_low": low,
                "recall_high": high,
                "precision": tp / (tp + fp) if tp + fp else math.nan,
                "residual": (positives - tp) / kept if kept else math.nan,
            }
        )
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class Band:
    """One end of the scale that is decided without a person; threshold None: nothing can be certified.

    limit: the largest share of wrong decisions, certified with `confidence`. images, wrong: what validation
    shows.
    """

    action: str
    threshold: float | None
    images: int
    wrong: int
    limit: float
    confidence: float
    reason: str = ""

    def sentence(self) -> str:
        side, fault = ("rejected", "clean") if self.action == REJECT else ("kept", "an artifact")
        promise = f"of what is {side} automatically at most {self.limit:.3g} is {fault}"
        certain = f"with {self.confidence:.0%} confidence"
        if self.threshold is None:
            return f"{self.action}: {self.reason} (wanted: {promise}, {certain})"
        sign = ">=" if self.action == REJECT else "<"
        return (
            f"{self.action}: p {sign} {self.threshold:.4f}; {promise}, {certain} "
            f"({self.wrong} of {self.images} in validation)"
        )


@dataclass(frozen=True)
class Bands:
    """keep: p < keep.threshold; reject: p >= reject.threshold; review: everything else."""

    keep: Band
    reject: Band

    def decide(self, probabilities: np.ndarray) -> np.ndarray:
        """(n,) array of "keep", "review", "reject"."""
        probabilities = np.asarray(probabilities)
        low = -math.inf if self.keep.threshold is None else self.keep.threshold
        high = math.inf if self.reject.threshold is None else self.reject.threshold
        return np.select([probabilities >= high, probabilities < low], [REJECT, KEEP], REVIEW)

    def to_dict(self) -> dict:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict) -> "Bands":
        return cls(Band(**values["keep"]), Band(**values["reject"]))


def choose_bands(
    targets: np.ndarray,
    probabilities: np.ndarray,
    *,
    clean_rejected: float = 0.1,
    artifacts_kept: float = 0.02,
    confidence: float = CONFIDENCE,
) -> Bands:
    """The widest bands with a finite-sample guarantee from validation targets and probabilities, both (n,).

    Of new images like these, at most a share `clean_rejected` of the rejected is clean, and at most
    `artifacts_kept` of the kept has artifacts; each holds with probability `confidence` over the validation
    set.

    Learn then test (Angelopoulos et al., arXiv 2110.01052) with fixed-sequence testing: bands of a given
    number of images, the strictest first, are tested with the exact binomial tail (Clopper-Pearson) until
    one fails. The numbers depend on n alone, and given the probability just outside, the images inside are
    a plain sample of the band, so each test is exact. "Like these" includes the share of artifacts: it must
    not differ from production.
    """
    targets = check_binary("targets", targets)
    probabilities = check_probabilities(probabilities, len(targets))
    keep = _widest(KEEP, -probabilities, targets == ARTIFACT, artifacts_kept, confidence)
    kept_below = -math.inf if keep.threshold is None else keep.threshold
    reject = _widest(REJECT, probabilities, targets == CLEAN, clean_rejected, confidence, floor=kept_below)
    return Bands(keep, reject)


def _widest(action, scores, wrong, limit, confidence, floor=-math.inf) -> Band:
    """The largest band of highest `scores` that is certified and has no image below `floor`."""
    needed = math.ceil(math.log(1 - confidence) / math.log(1 - limit))  # with no error at all
    right = int((~wrong).sum())
    if right < needed:
        what = "artifacts" if action == REJECT else "clean images"
        return Band(action, None, 0, 0, limit, confidence, f"not certifiable with {right} {what}: {needed} needed")
    order = np.argsort(-scores, kind="stable")
    ranked, errors = scores[order], np.append(0, np.cumsum(wrong[order]))
    sizes = [size for size in _certified(ranked, errors, needed, limit, 1 - confidence) if ranked[size - 1] >= floor]
    if not sizes:
        return Band(action, None, 0, 0, limit, confidence, f"not certified: too many errors among the first {needed}")
    edge = ranked[sizes[-1]]  # the first score outside, itself not in the band
    # Where two bands meet in a gap without images, the gap is left to the band that was there first.
    threshold = -edge if action == KEEP else max(np.nextafter(edge, math.inf), floor)
    return Band(action, float(threshold), sizes[-1], int(errors[sizes[-1]]), limit, confidence)


def _certified(ranked: np.ndarray, errors: np.ndarray, needed: int, limit: float, delta: float) -> list[int]:
    """Sizes of the bands that pass, strictest first. ranked: scores, falling; errors[k]: wrong ones of the first k."""
    passed, rank = [], max(needed, math.ceil(FEWEST * len(ranked)))
    while rank < len(ranked):
        size = int(np.searchsorted(-ranked, -ranked[rank]))  # equal scores share a side
        if size >= needed:
            if special.bdtr(errors[size], size, limit) > delta:
                break
            passed.append(size)
        rank += math.ceil(STEP * rank)
    return passed
