"""Choices made on validation: temperature, shift and threshold."""

import math

import numpy as np
import pandas as pd
from scipy import optimize, special

from artifact_detection.evaluation.bands import choose_bands
from artifact_detection.evaluation.metrics import check_binary, check_probabilities
from artifact_detection.intervals import CONFIDENCE, wilson
from artifact_detection.labels import ARTIFACT


class ThresholdError(ValueError):
    """A threshold that cannot be chosen; the message says why."""


def fit_platt(targets: np.ndarray, logits: np.ndarray, weights: np.ndarray | None = None) -> tuple[float, float]:
    """Temperature T in [0.05, 20] and shift b with which sigmoid((logits + b) / T) has the least cross-entropy.

    Platt (1999); the temperature alone is that of Guo et al. (ICML 2017). The shift undoes what a temperature cannot:
    training on more artifacts than there are (oversampling, injection). Against Platt's targets (N+ + 1) / (N+ + 2)
    and 1 / (N- + 2) in place of 1 and 0, so that the slope does not run away on a set that is separated without error.
    targets: (n,) in {0, 1}; logits: (n,); weights: (n,), how many images each stands for where they were not drawn
    with equal probability (pseudo maximum likelihood: Binder, Int. Stat. Rev. 1983).
    """
    targets, logits = check_binary("targets", targets), np.asarray(logits, np.float64)
    weights = np.ones(len(targets)) if weights is None else weights / np.mean(weights)
    positives, negatives = weights @ targets, weights @ (1 - targets)
    soft = np.where(targets == ARTIFACT, (positives + 1) / (positives + 2), 1 / (negatives + 2))

    def cross_entropy(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        scaled = parameters[0] * logits + parameters[1]
        surplus = weights * (special.expit(scaled) - soft)  # the gradient at each image
        gradient = np.array([np.mean(surplus * logits), np.mean(surplus)])
        return np.mean(weights * (np.logaddexp(0, scaled) - soft * scaled)), gradient

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


def assured_threshold(targets: np.ndarray, probabilities: np.ndarray, target: str) -> float:
    """The threshold that reaches recall=R or precision=P on new images like these with CONFIDENCE.

    targets, probabilities: (n,) of images that had no part in any choice. recall: the highest such threshold, a
    one-sided tolerance limit (Wilks, Ann. Math. Stat. 1941): as many artifacts may lie below it as the binomial tail
    allows. precision: the lowest, at the same share of artifacts, see `choose_bands`. f1 and cost promise nothing: they
    are `choose_threshold`'s. Raises ThresholdError where these images are too few or too hard.
    """
    kind, level = parse_target(target)
    if kind == "precision":
        band = choose_bands(targets, probabilities, clean_rejected=max(1 - level, 1e-6)).reject
        if band.threshold is None:
            raise ThresholdError(band.reason)
        return band.threshold
    if kind != "recall":
        return choose_threshold(targets, probabilities, target)
    found = np.sort(np.asarray(probabilities)[np.asarray(targets) == ARTIFACT])
    tails = special.bdtr(np.arange(len(found)), len(found), 1 - level)  # of at most so many misses
    allowed = int((tails <= 1 - CONFIDENCE).sum())  # one more than may lie below
    if not allowed:
        needed = math.ceil(math.log(1 - CONFIDENCE) / math.log(level)) if level < 1 else "infinitely many"
        raise ThresholdError(f"{needed} artifacts are needed, there are {len(found)} that chose nothing")
    return float(found[allowed - 1])


def reached(targets: np.ndarray, probabilities: np.ndarray, threshold: float) -> str:
    """`recall 19 of 20 (76 % to 99 %), precision …` on the images that the threshold was chosen on, and intervals."""
    targets, flagged = np.asarray(targets), np.asarray(probabilities) >= threshold
    hits = int(targets[flagged].sum())
    shares = {"recall": (hits, int(targets.sum())), "precision": (hits, int(flagged.sum()))}
    parts = ("{} {} of {} ({:.0%} to {:.0%})".format(name, *count, *wilson(*count)) for name, count in shares.items())
    return f"{', '.join(parts)} on the images that it was chosen on, less on new ones"


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
    targets, thresholds = check_binary("targets", targets), np.asarray(thresholds, float)
    flagged = check_probabilities(probabilities, len(targets)) >= thresholds[:, None]  # (k, n)
    positives, tp, found = targets.sum(), flagged @ targets, flagged.sum(axis=1)
    left, kept = positives - tp, len(targets) - found
    counts = {"threshold": thresholds, "images_kept": kept, "artifacts_left": left, "clean_lost": found - tp}
    low, high = np.transpose([wilson(int(k), int(positives)) for k in tp])
    with np.errstate(invalid="ignore"):  # 0 of 0 is NaN
        recall = {"recall": tp / positives, "recall_low": low, "recall_high": high}
        return pd.DataFrame({**counts, **recall, "precision": tp / found, "residual": left / kept})
