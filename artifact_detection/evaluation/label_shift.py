"""Scores of unlabelled images against those of labelled ones: is it the same mixture, and how many are artifacts?

Label shift: images of a class score alike in both sets, only the share of artifacts differs.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from artifact_detection.detector.checkpoints import CERTIFIES, Validation
from artifact_detection.intervals import lower_bound, upper_bound
from artifact_detection.labels import ARTIFACT, CLEAN

RESAMPLES = 499
FOREIGN = 0.01  # p-value below which images are of another kind
GRID = 24  # scores at which the distributions are compared, from each of the two sets


@dataclass(frozen=True)
class Scores:
    """targets (n,) int in {0, 1} and probabilities (n,) of labelled images."""

    targets: np.ndarray
    probabilities: np.ndarray

    @classmethod
    def of(cls, validation: Validation, part: int) -> "Scores":
        """Of the images that have this part in validation."""
        chosen = validation.parts == part
        return cls(validation.targets[chosen], validation.probabilities[chosen])

    @classmethod
    def judging(cls, validation: Validation) -> "Scores":
        """What estimates rest on: the certifying images or, where there are none, all."""
        certifying = cls.of(validation, CERTIFIES)
        return certifying if len(certifying.targets) else cls(validation.targets, validation.probabilities)

    @cached_property
    def clean(self) -> np.ndarray:
        """The sorted probabilities of the clean images."""
        return np.sort(self.probabilities[self.targets == CLEAN])

    @cached_property
    def artifacts(self) -> np.ndarray:
        """The sorted probabilities of the artifacts."""
        return np.sort(self.probabilities[self.targets == ARTIFACT])


@dataclass(frozen=True)
class PrevalenceRange:
    """The share of artifacts lies in [low, high]; source: who says so."""

    low: float
    high: float
    source: str


ESTIMATED = "estimated from their scores, at that confidence"
ESTIMATED_FROM = 3  # one-sided bounds, each of which may fail, that an end of an estimated range rests on


def bound_prevalence(choosing: Scores, certifying: Scores, probabilities: np.ndarray, delta: float) -> PrevalenceRange:
    """Exact bounds of the share of artifacts behind `probabilities` (n,) under label shift, each end failing with
    probability <= ESTIMATED_FROM * delta.

    Adjusted count (Gart and Buck, Am. J. Epidemiol. 1966; BBSE: Lipton et al., ICML 2018): the share f at or above a
    cut is pi * TPR + (1 - pi) * FPR. The cut comes from `choosing`, the rates from `certifying`, which had no part in
    it; all three are replaced by their Clopper-Pearson bounds.
    """
    cut = best_cut(choosing)
    sets = probabilities, certifying.artifacts, certifying.clean
    counts = [((scores >= cut).sum(), len(scores)) for scores in sets]
    (f_low, f_high), (t_low, t_high), (a_low, a_high) = (
        (lower_bound(*one, delta), upper_bound(*one, delta)) for one in counts
    )
    low = (f_low - a_high) / (t_high - a_high) if t_high > a_high else 0.0
    high = (f_high - a_low) / (t_low - a_low) if t_low > a_low else 1.0
    return PrevalenceRange(float(np.clip(low, 0, 1)), float(np.clip(high, 0, 1)), ESTIMATED)


def best_cut(scores: Scores) -> float:
    """The threshold with the largest difference of true and false positive rate (Youden, Cancer 1950)."""
    values = np.unique(scores.probabilities)
    missed, passed = (
        np.searchsorted(one, values) / max(len(one), 1) for one in (scores.artifacts, scores.clean)
    )  # shares below each value
    return float(values[np.argmax(passed - missed)])


def mixture_p_value(labelled: Scores, probabilities: np.ndarray, within: tuple[float, float] = (0.0, 1.0)) -> float:
    """The chance of scores this far from the best mixture of the two classes, if they are such a mixture.

    within: the mixture's share of artifacts. Where it may be any, clean images that score like artifacts pass for them.

    Distance: mean squared difference of the distribution functions (Cramér and von Mises), least over the share of
    artifacts. Its distribution under the null by resampling all three sets, the third from the best mixture. That the
    scores of a trained network tell a shift best: Rabanser et al., arXiv 1810.11953. labelled: both classes.
    """
    known = labelled.probabilities
    ranks = np.linspace(0, 1, GRID)
    edges = np.unique(np.concatenate([np.quantile(one, ranks, method="lower") for one in (known, probabilities)]))
    sets = labelled.clean, labelled.artifacts, probabilities
    clean, artifacts, new = (cell_counts(one, edges) / len(one) for one in sets)  # (cells,) shares
    distance, share = _distance(*(one[None] for one in (clean, artifacts, new)), within)
    rng = np.random.default_rng(0)
    mixture = share[0] * artifacts + (1 - share[0]) * clean
    draws = (
        rng.multinomial(len(one), shares, RESAMPLES) / len(one)
        for one, shares in zip(sets, (clean, artifacts, mixture), strict=True)
    )
    by_chance, _ = _distance(*draws, within)
    return (1 + int((by_chance >= distance[0]).sum())) / (1 + RESAMPLES)


def cell_counts(scores: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """(cells,) numbers of scores below, between and above the edges."""
    return np.bincount(np.searchsorted(edges, scores, side="right"), minlength=len(edges) + 1)


def _distance(
    clean: np.ndarray, artifacts: np.ndarray, new: np.ndarray, within: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Of (R, cells) shares: distances (R,) of `new` to the best mixture, and the mixture's share of artifacts (R,)."""
    f0, f1, f = (np.cumsum(one, axis=1) for one in (clean, artifacts, new))
    apart = f1 - f0
    share = np.clip(((f - f0) * apart).sum(1) / np.maximum((apart**2).sum(1), 1e-12), *within)  # least squares
    return ((f - f0 - share[:, None] * apart) ** 2).mean(1), share
